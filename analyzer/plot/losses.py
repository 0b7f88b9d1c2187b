"""Attempts and losses over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.flow.point import TCP, UDP
from analyzer.plot.canvas import BAD, QUIET, canvas, legend, nothing, seconds, whole
from analyzer.report.words import duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from analyzer.result.analysis import Result

BINS = 60


def attempts(analysis: Result, ax: Axes | None = None, *, udp: bool = False) -> Axes:
    """Draw how many SYNs were sent, and how many of them vanished in the node, over time.

    Args:
        analysis: What is drawn of.
        ax: Drawn onto; new axes by default.
        udp: Draw UDP requests instead.
    """
    name = "UDP requests" if udp else "SYNs"
    ax = canvas(ax, f"{name} sent, and vanished in this node")
    table = analysis.passages
    table = table[table["proto"] == (UDP if udp else TCP)]
    sent = table["time"][table["first"]].astype("int64").to_numpy()
    lost = table["time"][table["fate"] == "vanished"].astype("int64").to_numpy()
    if not len(sent):
        return nothing(ax, f"The captures hold no {name}.")
    at, zero = seconds(ax, sent)
    edges = np.histogram_bin_edges(at, BINS)
    gone, _ = seconds(ax, lost, zero)
    width = edges[1] - edges[0]
    for times, colour, label in ((at, QUIET, "sent"), (gone, BAD, "vanished")):
        counts, _ = np.histogram(np.clip(times, edges[0], edges[-1]), edges)
        ax.bar(edges[:-1], counts, width, align="edge", color=colour, label=f"{len(times):,} {label}")
    ax.set_ylabel(f"{name} per {duration(round(width * 1e9))}")
    whole(ax.yaxis)
    legend(ax, "upper right")
    return ax
