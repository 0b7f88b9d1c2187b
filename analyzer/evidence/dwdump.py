"""`dwdump`'s files: netlink messages of the kernel's drop monitor, one per dropped packet, in pcap (LINKTYPE_NETLINK).

A capture by its form, side evidence by what it holds. Behind a cooked header of 16 bytes each frame has a message of the
family NET_DM (include/uapi/linux/net_dropmon.h) with where the packet was dropped, why, when, and the packet itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Literal

from analyzer.capture.formats import is_netlink
from analyzer.capture.naming import printable
from analyzer.evidence import frame
from analyzer.evidence.drops import MOST, VERSIONS, DropRecord, reason, symbol
from analyzer.evidence.facts import Caveat, Fact, limited

Order = Literal["little", "big"]

_MAGICS: dict[bytes, Order] = {
    b"\xd4\xc3\xb2\xa1": "little",
    b"\x4d\x3c\xb2\xa1": "little",
    b"\xa1\xb2\xc3\xd4": "big",
    b"\xa1\xb2\x3c\x4d": "big",
}
_FILE, _RECORD, _COOKED, _MESSAGE, _GENERIC = 24, 16, 16, 16, 4
"""Bytes of the headers: of the file, of a frame, and in it the cooked one, struct nlmsghdr and struct genlmsghdr."""
_PACKET_ALERT = 5  # NET_DM_CMD_PACKET_ALERT
_SYMBOL, _IN_PORT, _TIMESTAMP, _PROTO, _PAYLOAD, _TRAP, _REASON = 3, 4, 5, 6, 7, 16, 23  # enum net_dm_attr
_PORT_NAME = 1  # NET_DM_ATTR_PORT_NETDEV_NAME
_TYPE = 0x3FFF
"""Of an attribute's type; the two highest bits are flags (NLA_F_NESTED, NLA_F_NET_BYTEORDER)."""


@limited("dropped packets", lambda: MOST)
def parse(data: bytes, file: str) -> Iterator[Fact]:
    """Yield the packets; frames are counted as lines, from 1."""
    order = _MAGICS.get(data[:4])
    if order is None or not is_netlink(data):
        return
    at, count = _FILE, 0
    while at + _RECORD <= len(data):
        length = int.from_bytes(data[at + 8 : at + 12], order)
        begin, at = at + _RECORD, at + _RECORD + length
        count += 1
        if at > len(data):
            break
        if record := _frame(data[begin + _COOKED : at], order, file, count):
            yield record
    if at != len(data):
        yield Caveat(
            says=f"{file}: damaged or cut short in frame {max(count, 1)}; the frames before it were used"
        )


def _frame(message: bytes, order: Order, file: str, line: int) -> DropRecord | None:
    """Read a message; None for another than a packet's: the list of families, with which dwdump begins."""
    if len(message) < _MESSAGE + _GENERIC or message[_MESSAGE] != _PACKET_ALERT:
        return None
    end = min(len(message), int.from_bytes(message[:4], order))
    said = dict(_attributes(message[_MESSAGE + _GENERIC : end], order))
    if len(said.get(_TIMESTAMP, b"")) != 8:
        return None
    port = dict(_attributes(said.get(_IN_PORT, b""), order))
    told: Any = {"version": VERSIONS.get(int.from_bytes(said.get(_PROTO, b"")[:2], order))}
    return DropRecord(
        file=file,
        line=line,
        source="dwdump",
        time=int.from_bytes(said[_TIMESTAMP], order),
        clock="wall",
        offset=0,
        reason=reason(_text(said.get(_REASON))),
        location=symbol(_text(said.get(_SYMBOL))) or printable(_text(said.get(_TRAP))),
        device=printable(_text(port.get(_PORT_NAME))),
        **(told | frame.ethernet(said.get(_PAYLOAD, b""))),
    )


def _attributes(data: bytes, order: Order) -> Iterator[tuple[int, bytes]]:
    """Walk struct nlattr: length with its header, type, value, padded to four bytes."""
    at = 0
    form = "<HH" if order == "little" else ">HH"
    while at + 4 <= len(data):
        length, kind = struct.unpack_from(form, data, at)
        if length < 4 or at + length > len(data):
            return
        yield kind & _TYPE, data[at + 4 : at + length]
        at += (length + 3) & ~3


def _text(value: bytes | None) -> str:
    return (value or b"")[:128].split(b"\0")[0].decode("ascii", "replace")
