"""How long handshakes took in each gap, and beyond the uplink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analyzer.capture.layout import TCP_ACK, TCP_SYN
from analyzer.flow.point import TCP
from analyzer.node.ways import OUT
from analyzer.plot.canvas import BAD, GOOD, INK, OTHER, WARN, canvas, legend, nothing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.nat.gap import Gap
    from analyzer.result.analysis import Result

LINES = 5
"""Gaps drawn: those with the most handshakes."""
STEPS = 1000
"""Steps of a line; more than that no screen shows."""
_COLOURS = (INK, GOOD, WARN, OTHER, BAD)


def latency(analysis: Result, ax: Axes | None = None) -> Axes:
    """Draw the share of handshakes that took no longer than so long: a line for each gap, and one for what lies beyond.

    Args:
        analysis: What is drawn of.
        ax: Drawn onto; new axes by default.
    """
    from matplotlib.ticker import EngFormatter, LogLocator

    ax = canvas(ax, "Time that handshakes spent in each gap, SYN and SYN-ACK together")
    table = handshakes(analysis)
    if not len(table):
        return nothing(ax, "The captures hold no handshake that crossed a gap.")
    ways = table.groupby("gap", sort=False)["latency_s"]
    most = ways.size().sort_values(ascending=False, kind="stable").index[:LINES]
    for name, colour in zip([gap for gap in ways.groups if gap in most], _COLOURS, strict=False):
        took = np.maximum(ways.get_group(name).to_numpy(), 1e-9)  # a logarithm has no place for 0
        line = took if len(took) <= STEPS else np.quantile(took, np.linspace(0, 1, STEPS))
        ax.ecdf(line, color=colour, linewidth=1.8, label=f"{name}: {len(took):,}")
    hidden = ways.ngroups - len(most)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(EngFormatter(unit="s"))
    ax.minorticks_off()
    ax.set_xlabel("time")
    ax.set_ylabel("share of handshakes")
    legend(ax, "upper left", f"{hidden} further gaps not drawn" if hidden else None)
    return ax


def handshakes(analysis: Result) -> pd.DataFrame:
    """Return how long each handshake took in each gap that it crossed, and beyond the uplink.

    Of the SYN that was answered, and of the first answer: the time of each in the gap, added up. So a SYN that was lost
    before does not count, and neither does the time that the other side took.

    Returns:
        Columns `gap` (`cni0 - eth0`, `beyond eth0`), `point` and `flow` (at the inner point), `latency_s`.
    """
    scene = analysis.captured
    found = [_within(gap) for gap in scene.gaps]
    found += [
        _beyond(point, scene.node.heading[point.name] == OUT)
        for point in scene.points
        if point.role == "uplink"
    ]
    filled = [table for table in found if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else _table("", "", [], [])


def _within(gap: Gap) -> pd.DataFrame:
    inner, there = gap.inner.packets, gap.in_outer.whole()
    transit = np.abs(gap.outer.packets.time[there] - inner.time)
    asked, answered = _answered(gap.inner, there >= 0)
    return _table(
        " - ".join(gap.names), gap.inner.name, inner.flow[asked], transit[asked] + transit[answered]
    )


def _beyond(point: Point, out: NDArray[np.bool_]) -> pd.DataFrame:
    packets = point.packets
    asked, answered = _answered(point, out[packets.flow])
    took = packets.time[answered] - packets.time[asked]
    return _table(f"beyond {point.name}", point.name, packets.flow[asked], took)


def _answered(point: Point, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of each flow's first SYN-ACK, and of the last SYN before it; of the packets chosen."""
    packets = point.packets
    kind = packets.flags & (TCP_SYN | TCP_ACK)
    chosen = chosen & (point.flows.proto[packets.flow] == TCP)
    answers = np.flatnonzero(chosen & (kind == TCP_SYN | TCP_ACK))
    answers = answers[np.argsort(packets.time[answers], kind="stable")]
    flows, first = np.unique(packets.flow[answers], return_index=True)
    answer_of = np.full(len(point.flows), -1, np.int64)
    answer_of[flows] = answers[first]
    syns = np.flatnonzero(chosen & (kind == TCP_SYN))
    syns = syns[answer_of[packets.flow[syns]] >= 0]
    syns = syns[packets.time[syns] <= packets.time[answer_of[packets.flow[syns]]]]
    syns = syns[np.argsort(-packets.time[syns], kind="stable")]
    flows, last = np.unique(packets.flow[syns], return_index=True)
    return syns[last], answer_of[flows]


def _table(
    gap: str, point: str, flow: NDArray[np.int32] | list[int], took: NDArray[np.int64] | list[int]
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "gap": pd.Series([gap] * len(flow), dtype="str"),
            "point": pd.Series([point] * len(flow), dtype="str"),
            "flow": np.asarray(flow, np.int32),
            "latency_s": np.asarray(took, np.int64) / 1e9,
        }
    )
