"""What other points show of a connection that the capture of its own point lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture.layout import SYN_X, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from analyzer.connection.asking import answered
from analyzer.connection.equals import handed_on
from analyzer.flow import tally
from analyzer.flow.point import TCP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from analyzer.connection.chain import Chains
    from analyzer.flow.point import Point


def opener(chains: Chains, some: NDArray[np.bool_]) -> NDArray[np.uint16]:
    """Of TCP connections the bits of `analyzer.flow.tally` that its opener's later packets tell: WENT_ON and FIN.

    Only the opener's: that a reply got to another point does not say that it got to its receiver.

    Args:
        chains: All connections.
        some: Which of them are asked for; 0 for the others, and where no SYN is.
    """
    found = np.zeros(len(chains), np.uint16)
    for point, flows, of in _others(chains, some):
        rows = point.rows_of(flows, 0)
        flags, of = point.packets.flags[rows], np.repeat(of, np.diff(point.starts)[2 * flows])
        for bit, mask, value in (
            (tally.WENT_ON, TCP_ACK | TCP_SYN | TCP_RST, TCP_ACK),
            (tally.FIN, TCP_FIN, TCP_FIN),
        ):
            found[of[flags & mask == value]] |= np.uint16(bit)
    return found


def repeated(chains: Chains, some: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Ns that each TCP connection's SYN had to be repeated for before it was answered, where another point shows it; else 0."""
    found = np.zeros(len(chains), np.int64)
    for point, flows, of in _others(chains, some):
        rows, first, _ = answered(point, TCP)
        number = np.full(len(point.flows), -1, np.int32)
        number[flows] = of
        flow = point.packets.flow.take(rows)
        mine = number.take(flow) >= 0
        rows, first, flow = rows[mine], first[mine], flow[mine]
        order = np.argsort(flow, kind="stable")
        flow, begin = np.unique(flow[order], return_index=True)
        last = np.append(begin, len(rows))[1:] - 1
        one, other = order[begin], order[last]
        unanswered = first[one] == first[other]  # no answer in between
        late = unanswered & ~handed_on(point, rows[one], rows[other])
        waited = point.packets.time[rows[other]] - point.packets.time[rows[one]]
        np.maximum.at(found, number[flow[late]], waited[late])
    return found


def _others(
    chains: Chains, some: NDArray[np.bool_]
) -> Iterator[tuple[Point, NDArray[np.int64], NDArray[np.int32]]]:
    """Points with the flows there of which the SYN shows who opened them, and their connections; not where those begin."""
    for number, point in enumerate(chains.points):
        of = chains.of[number]
        flows = np.flatnonzero((of >= 0) & (point.flows.marks & SYN_X != 0))
        flows = flows[some[of[flows]]]
        flows = flows[(chains.point[of[flows]] != number) | (chains.flow[of[flows]] != flows)]
        if len(flows):
            yield point, flows, of[flows]
