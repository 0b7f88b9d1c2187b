"""Community ID v1, seed 0: the name of a flow that Zeek, Suricata, Hubble and Wireshark give it, too.

A hash of the five-tuple, the same for both directions, so it changes where NAT changes an address or a port: each side of
a crossing has its own. ICMP has no ports; its types and codes take their place, as in Zeek.
"""

from __future__ import annotations

import functools
import hashlib
from binascii import b2a_base64
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.layout import ARP, CUT, FRAGMENT, QUOTES
from analyzer.flow.keys import is_v4
from analyzer.flow.point import ICMP, ICMP6, TCP, UDP

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point

PORTED = (TCP, UDP, 132, ICMP, ICMP6)
"""Protocols that have ports, or what takes their place; 132 is SCTP."""
# Types that ask and answer: ICMP echo, router discovery (RFC 1256), timestamp, information, mask; ICMPv6 echo, listener
# and neighbour discovery, node information, home agents. What stands here has no direction; all else goes one way.
ANSWERS = {
    ICMP: {8: 0, 0: 8, 10: 9, 9: 10, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17},
    ICMP6: {
        128: 129, 129: 128, 130: 131, 131: 130, 133: 134, 134: 133, 135: 136, 136: 135, 139: 140, 140: 139, 144: 145, 145: 144,
    },
}  # fmt: skip
_ECHO = {ICMP: 8, ICMP6: 128}
_V4 = {"src_lo": 4, "dst_lo": 4}
_V6 = {"src_hi": 8, "src_lo": 8, "dst_hi": 8, "dst_lo": 8}


def community_ids(point: Point) -> NDArray[np.object_]:
    """Return the Community ID of each flow of *point*, as text.

    None for what has none: ARP, and flows whose ports were not captured, such as fragments. Of an echo whose request
    was not captured, the side that answered is taken for the one that asked.
    """
    flows = point.flows
    ports, one_way = flows.ports.copy(), np.zeros(len(flows), bool)
    ported = np.isin(flows.proto, PORTED)
    unknown = (flows.proto == ARP) | (ported & (ports == 0))
    for proto, answers in ANSWERS.items():
        mine = np.flatnonzero(flows.proto == proto)
        first = point.order[point.starts[2 * mine]]
        bits = point.packets.bits[first]
        unknown[mine] = (bits & (CUT | FRAGMENT) != 0) & (
            bits & QUOTES == 0
        )  # an error may lack what it quotes alone
        ports[mine], one_way[mine] = _types(ports[mine], point.packets.flags[first], _ECHO[proto], answers)
    turned = ports << 16 | ports >> 16
    swap = ~one_way & np.select(
        [flows.src_hi != flows.dst_hi, flows.src_lo != flows.dst_lo],
        [flows.src_hi > flows.dst_hi, flows.src_lo > flows.dst_lo],
        ports > turned,
    )
    fields = {
        "src_hi": np.where(swap, flows.dst_hi, flows.src_hi),
        "src_lo": np.where(swap, flows.dst_lo, flows.src_lo),
        "dst_hi": np.where(swap, flows.src_hi, flows.dst_hi),
        "dst_lo": np.where(swap, flows.src_lo, flows.dst_lo),
        "proto": flows.proto.astype(np.uint64) << 8,  # and a byte of padding
        "ports": np.where(swap, turned, ports),
    }
    v4 = is_v4(flows.src_hi, flows.src_lo)
    texts = np.full(len(flows), None, object)
    for version, addresses in ((v4, _V4), (~v4, _V6)):
        for with_ports, end in ((ported, {"ports": 4}), (~ported, {})):
            rows = np.flatnonzero(version & with_ports & ~unknown)
            widths = addresses | {"proto": 2} | end
            texts[rows] = _hashed(
                [np.zeros((len(rows), 2), np.uint8)]  # the seed
                + [_big_endian(fields[name][rows], width) for name, width in widths.items()]
            )
    return texts


def _types(
    ports: NDArray[np.uint32], code: NDArray[np.uint16], echo: int, answers: dict[int, int]
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Put ICMP types and codes in the place of ports; say what goes one way only.

    An echo's ports are its identifier twice, and its code is 0; of all else they are type and code, of which no type
    but echo's equals a code of 0.
    """
    is_echo = (ports >> 16 == ports & 0xFFFF) & (code == 0)
    kind = np.where(is_echo, echo, ports >> 16)
    answer = np.full(1 << 16, -1, np.int32)
    answer[list(answers)] = list(answers.values())
    other = answer[kind]
    one_way = other < 0
    return (kind << 16 | np.where(one_way, ports & 0xFFFF, other)).astype(np.uint32), one_way


def _big_endian(values: NDArray[Any], width: int) -> NDArray[np.uint8]:
    """The low *width* bytes of each value, as on the wire."""
    return values.astype(np.uint64).astype(f">u{width}").view(np.uint8).reshape(-1, width)


def _hashed(parts: Sequence[NDArray[np.uint8]]) -> list[str]:
    """Hash each row of *parts* side by side."""
    rows = np.hstack(parts)
    raw, step = rows.tobytes(), rows.shape[1]
    sha1 = functools.partial(hashlib.sha1, usedforsecurity=False)
    return [
        f"1:{b2a_base64(sha1(raw[at : at + step]).digest(), newline=False).decode()}"
        for at in range(0, len(raw), step)
    ]
