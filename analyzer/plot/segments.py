"""One flow's sequence numbers over time, as one point saw them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.layout import REPLY, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from analyzer.capture.storage import Memory
from analyzer.connection.passages import flow_name
from analyzer.flow.point import TCP
from analyzer.incident.following import located
from analyzer.plot.canvas import BAD, GOOD, INK, WARN, canvas, legend, nothing, seconds, whole
from analyzer.report.words import short

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from analyzer.result.analysis import Result

MOST = 20_000
"""Packets drawn: the first ones."""


def sequence(
    analysis: Result,
    row: Mapping[Any, Any] | pd.Series[Any],
    ax: Axes | None = None,
    *,
    reply: bool | None = None,
) -> Axes:
    """Draw what one side of a TCP flow sent, byte by byte, and what the other acknowledged, over time.

    Each bar is a segment, from its first byte to its last; red, one whose bytes the point had seen before.

    Args:
        analysis: What is drawn of.
        row: Names the flow, as `Analysis.follow` takes it; of a row of `crossings` the inner flow is drawn.
        ax: Drawn onto; new axes by default.
        reply: True for what the answering side sent, False for the opening side; by default the one that sent more.

    Raises:
        KeyError: *row* names no flow.
    """
    point, flow = located(analysis.captured, row)
    name = short(flow_name(point.flows, flow), 80)
    ax = canvas(ax, f"{name} at {short(point.name, 20)}")
    if point.flows.proto[flow] != TCP:
        return nothing(ax, "Only TCP has sequence numbers.")
    rows = point.rows(flow)
    rows = rows[np.argsort(point.packets.time[rows], kind="stable")]
    packets = point.packets.take(rows[:MOST], Memory())
    theirs = (packets.bits & REPLY).astype(bool)
    if reply is None:
        reply = int(packets.length[theirs].sum()) > int(packets.length[~theirs].sum())
    mine = theirs == reply
    at, _ = seconds(ax, packets.time)
    flags = packets.flags[mine]
    begin = _unwrapped(packets.seq[mine])
    end = begin + packets.length[mine] + (flags & TCP_SYN > 0) + (flags & TCP_FIN > 0)
    if len(begin):
        again = (packets.length[mine] > 0) & (end <= np.maximum.accumulate(np.append(begin[0], end[:-1])))
        for chosen, colour, label in ((~again, INK, "sent"), (again, BAD, "sent again")):
            if not chosen.any():
                continue
            ax.vlines(at[mine][chosen], begin[chosen], end[chosen], color=colour, linewidth=2, label=label)
            ax.plot(at[mine][chosen], end[chosen], "_", color=colour, markersize=5)
        for bit, letter in ((TCP_SYN, "SYN"), (TCP_FIN, "FIN"), (TCP_RST, "RST")):
            for place in np.flatnonzero(flags & bit)[:20]:
                colour = WARN if bit == TCP_RST else INK
                ax.annotate(
                    letter,
                    (at[mine][place], end[place]),
                    (0, 5),
                    textcoords="offset points",
                    ha="center",
                    fontsize="x-small",
                    color=colour,
                )
    acks = ~mine & (packets.flags & TCP_ACK > 0) & (packets.flags & TCP_RST == 0)
    if acks.any():
        first = int(packets.seq[mine][0]) if mine.any() else int(packets.ack[acks][0])
        ax.step(
            at[acks], _unwrapped(packets.ack[acks], first), where="post", color=GOOD, label="acknowledged"
        )
    ax.set_ylabel(f"bytes of the {'answering' if reply else 'opening'} side")
    whole(ax.yaxis)
    hidden = len(rows) - len(packets)
    legend(ax, "upper left", f"{hidden:,} later packets not drawn" if hidden else None)
    return ax


def _unwrapped(numbers: NDArray[np.uint32], base: int | None = None) -> NDArray[np.int64]:
    """Sequence numbers after *base*, their first by default, however often they passed 2**32 (RFC 9293 section 3.4)."""
    if not len(numbers):
        return np.zeros(0, np.int64)
    given = numbers.astype(np.int64)
    steps = np.diff(given, prepend=given[0] if base is None else base)
    found: NDArray[np.int64] = np.cumsum((steps + 2**31) % 2**32 - 2**31)
    return found
