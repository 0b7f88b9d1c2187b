"""The pcapng blocks that are not packets: interface descriptions, statistics, options.

Layout: draft-ietf-opsawg-pcapng. Bodies are bytes between a block's two lengths; every length inside is
checked against them, and what does not fit is left out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

SECTION = 0x0A0D0D0A
INTERFACE = 1
SIMPLE_PACKET = 3
STATISTICS = 5
PACKETS = (2, 6)
LEAST = {SECTION: 28, INTERFACE: 20, 2: 32, SIMPLE_PACKET: 16, STATISTICS: 24, 6: 32}
"""Bytes of a block's fixed fields and both lengths."""
OTHER_FRAMES = frozenset({9, 0x00000BAD, 0x40000BAD})
"""Journal entries and custom blocks: no packets, but Wireshark numbers them among the frames."""

_NAME, _RESOLUTION, _OFFSET = 2, 9, 14
_BEGAN, _ENDED = 2, 3
_INTERFACE_DROPS, _SYSTEM_DROPS = 5, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What an Interface Description Block says."""

    link: int
    """LINKTYPE_ value."""
    snaplen: int
    """0 for no limit."""
    name: str | None
    factor: int
    """Nanoseconds of a clock tick; negative: ticks of a nanosecond."""
    shift: int
    """k where a tick is 2**-k seconds, else 0."""
    offset: int
    """Nanoseconds to add to the clock."""


def options(body: memoryview, at: int, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield code and value of each whole option from *at* on."""
    while at + 4 <= len(body):
        code, length = struct.unpack_from(order + "HH", body, at)
        if code == 0 or at + 4 + length > len(body):
            return
        yield code, bytes(body[at + 4 : at + 4 + length])
        at += 4 + (length + 3 & ~3)


def only_name(head: bytes) -> str | None:
    """Give the name of the interface that a pcapng file which begins like this tells of, if it is one before the packets."""
    order = "<" if head[8:12] == b"\x4d\x3c\x2b\x1a" else ">"
    names, at = [], 0
    while at + 12 <= len(head):
        kind, total = struct.unpack_from(order + "II", head, at)
        if (
            total < LEAST.get(kind, 12)
            or total % 4
            or kind in (SIMPLE_PACKET, *PACKETS)
            or at + total > len(head)
        ):
            break
        if kind == INTERFACE:
            names.append(description(memoryview(head)[at + 8 : at + total - 4], order).name)
        at += total
    return names[0] if len(names) == 1 else None


def description(body: memoryview, order: str) -> Description:
    """Read an Interface Description Block, section 4.2.

    Args:
        body: At least 8 bytes.
        order: `<` or `>`.
    """
    link, _, snaplen = struct.unpack_from(order + "HHI", body)
    name, resolution, seconds = None, 6, 0
    for code, value in options(body, 8, order):
        if code == _NAME:
            name = value[:256].split(b"\0")[0].decode("utf-8", "replace") or None
        elif code == _RESOLUTION and len(value) == 1:
            resolution = value[0]
        elif code == _OFFSET and len(value) == 8:
            (seconds,) = struct.unpack(order + "q", value)
    factor, shift = _clock(resolution)
    # An offset of more than 136 years is no clock's.
    offset = seconds * 1_000_000_000 if abs(seconds) < 1 << 32 else 0
    return Description(link=link, snaplen=snaplen, name=name, factor=factor, shift=shift, offset=offset)


def recorded(body: memoryview, order: str, clock: Description) -> tuple[int, int] | None:
    """Read from an Interface Statistics Block, section 4.6, when the interface was being captured.

    Args:
        body: At least 12 bytes.
        order: `<` or `>`.
        clock: Of the interface.

    Returns: isb_starttime and isb_endtime, ns since the epoch; None where the block does not have both.
    """
    times = {}
    for code, value in options(body, 12, order):
        if code in (_BEGAN, _ENDED) and len(value) == 8:
            high, low = struct.unpack(order + "II", value)
            ticks = high << 32 | low
            scaled = ticks * clock.factor if clock.factor >= 0 else ticks // -clock.factor
            times[code] = (ticks * 1_000_000_000 >> clock.shift if clock.shift else scaled) + clock.offset
    if len(times) < 2 or not 0 <= times[_BEGAN] <= times[_ENDED] < 1 << 63:
        return None
    return times[_BEGAN], times[_ENDED]


def _clock(resolution: int) -> tuple[int, int]:
    """Turn if_tsresol into factor and shift; a tick under 2**-63 s or 10**-27 s counts as no time."""
    if resolution & 0x80:
        power = resolution & 0x7F
        return (1_000_000_000 if power == 0 else 0), (power if power < 64 else 0)
    if resolution <= 9:
        return 10 ** (9 - resolution), 0
    return (-(10 ** (resolution - 9)) if resolution <= 27 else 0), 0


def drops(body: memoryview, order: str) -> tuple[int, int | None]:
    """Read an Interface Statistics Block, section 4.6: interface of the section, packets dropped so far.

    Args:
        body: At least 12 bytes.
        order: `<` or `>`.

    Returns:
        The second value is None where the block does not count drops.
    """
    (interface,) = struct.unpack_from(order + "I", body)
    counted = [
        struct.unpack(order + "Q", value)[0]
        for code, value in options(body, 12, order)
        if code in (_INTERFACE_DROPS, _SYSTEM_DROPS) and len(value) == 8
    ]
    return interface, sum(counted) if counted else None
