"""Capture files of other formats: not read, but called by their names, with the line that converts them."""

from __future__ import annotations

from typing import Literal

_MAGIC = {
    b"snoop\0\0\0": "snoop (Solaris)",
    b"RTSS": "Microsoft Network Monitor 1",
    b"GMBU": "Microsoft Network Monitor 2",
    b"TRSNIFF data    \x1a": "DOS Sniffer",
    b"XCP\0": "Windows Sniffer or NetXRay",
    b"iptrace ": "iptrace (AIX)",
}
_ERF = "ERF (Endace)"
_LINKTYPE_NETLINK = 253
_ERF_TYPES = 48
"""Types of ERF records that are assigned; bit 7 says that extension headers follow."""
_ERF_RECORDS = 3
"""Records that must follow one another: the format has no magic number."""


def other_format(head: bytes) -> str | None:
    """Name the format of a file that begins like this; None if it is none that is known.

    Args:
        head: At least 64 bytes, or all that the file has.
    """
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    return _ERF if _is_erf(head) else None


def advice(name: str) -> str:
    """Say what the file is, and how to convert it."""
    # An ERF record has a header of its own before the frame, which only another link type makes editcap leave out.
    frames = " -T ether" * (name == _ERF)
    return f"a capture in the format of {name}, convert it with: editcap -F pcapng{frames} IN OUT"


def _is_erf(head: bytes) -> bool:
    """Follow the records: a time of this age, a known type, a length that holds a header; colour and loss may be anything."""
    at = records = 0
    while at + 16 <= len(head) and records < _ERF_RECORDS:
        seconds, kind = int.from_bytes(head[at + 4 : at + 8], "little"), head[at + 8] & 0x7F
        length = int.from_bytes(head[at + 10 : at + 12], "big")
        # From 1995 on, when the format was new, to 2038.
        if not 788_918_400 <= seconds < 1 << 31 or not 0 < kind <= _ERF_TYPES or length < 16:
            return False
        at, records = at + length, records + 1
    return records == _ERF_RECORDS or (records > 0 and at == len(head))


def is_netlink(head: bytes) -> bool:
    """Say whether a file that begins like this is a pcap of netlink messages: dropped packets, not traffic."""
    order: Literal["little", "big"] = (
        "little" if head[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else "big"
    )
    known = order == "little" or head[:4] in (b"\xa1\xb2\xc3\xd4", b"\xa1\xb2\x3c\x4d")
    link = head[20:22] if order == "little" else head[22:24]
    return known and len(head) >= 24 and int.from_bytes(link, order) == _LINKTYPE_NETLINK
