"""What two points compare packets by, where one of them recorded less of each packet than the other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import CUT
from analyzer.flow.keys import scramble
from analyzer.flow.point import TCP, slices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from analyzer.flow.point import Point

ENOUGH = 160
"""Bytes of a frame in which all that `Packets.print` is made of lies, but in tunnels: a VLAN tag, IPv6, a TCP header with all
options or a UDP header with 32 bytes of payload."""


def held(point: Point) -> int:
    """Tell how many bytes the point recorded of a frame, as far as it matters."""
    cut = int(np.count_nonzero(point.packets.bits & CUT)) * 100 > len(point.packets)
    return min(point.recording.snaplen or ENOUGH, ENOUGH - cut)


def plain(point: Point) -> Point:
    """Return the point with prints that are made of the columns alone: no TCP options, no payload.

    For two points of which one cut what the other has. Such prints tell less apart, above all retransmissions.
    """
    p, flows = point.packets, point.flows
    prints: NDArray[np.uint32] = point.storage.empty(len(p), np.uint32)
    for begin, stop in slices(len(p)):
        some = slice(begin, stop)
        # TSO counts the IP ID up in the pieces of one segment.
        ip_id = np.where(flows.proto[p.flow[some]] == TCP, 0, p.ip_id[some])
        mark = scramble(p.seq[some], 1) ^ scramble(p.ack[some], 2)
        mark ^= scramble(p.length[some], 3) ^ scramble(ip_id, 4)
        mark ^= scramble(p.flags[some].astype(np.uint32) << np.uint32(16) | p.window[some], 5)
        prints[some] = mark.astype(np.uint32)
    return replace(
        point,
        packets=replace(p, print=prints),
        flows=replace(flows, syn_print=(flows.syn_print != 0).astype(np.uint32)),
    )
