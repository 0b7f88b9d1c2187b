"""Writes pcapng: a section, interfaces, packets with comments. Layout: draft-ietf-opsawg-pcapng.

dpkt writes neither names of interfaces nor nanoseconds, and scapy takes half a second to be imported.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

_COMMENT, _NAME, _DESCRIPTION, _RESOLUTION, _PROGRAM, _OFFSET = 1, 2, 3, 9, 4, 14
_LONGEST = 4000
"""Bytes of one text; an option has room for 65,535."""


def section(comment: str, program: str) -> bytes:
    """Begin a file: a Section Header Block, section 4.1."""
    body = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    return _block(0x0A0D0D0A, body, [(_COMMENT, _text(comment)), (_PROGRAM, _text(program))])


def interface(name: str, description: str, link: int, offset: int) -> bytes:
    """Describe the next interface: an Interface Description Block, section 4.2, in nanoseconds.

    Args:
        name: if_name.
        description: if_description.
        link: LINKTYPE_ number.
        offset: Seconds to add to the times of its packets.
    """
    options = [(_NAME, _text(name)), (_DESCRIPTION, _text(description)), (_RESOLUTION, b"\x09")]
    if offset:
        options.append((_OFFSET, struct.pack("<q", offset)))
    return _block(1, struct.pack("<HHI", link, 0, 0), options)


def packet(index: int, time: int, data: bytes, wirelen: int, comments: Iterable[str]) -> bytes:
    """Write a packet: an Enhanced Packet Block, section 4.3.

    Args:
        index: Of the interface, in the order of their description.
        time: Nanoseconds since the interface's offset.
        data: What is kept of the packet.
        wirelen: Its length on the wire.
        comments: Each becomes a comment of its own.
    """
    body = struct.pack("<IIIII", index, time >> 32, time & 0xFFFFFFFF, len(data), wirelen)
    return _block(6, body + _padded(data), [(_COMMENT, _text(text)) for text in comments])


def _block(kind: int, body: bytes, options: Iterable[tuple[int, bytes]]) -> bytes:
    tail = b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options)
    tail += bytes(4) if tail else b""
    total = 12 + len(body) + len(tail)
    return struct.pack("<II", kind, total) + body + tail + struct.pack("<I", total)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace")[:_LONGEST].decode("utf-8", "ignore").encode()
