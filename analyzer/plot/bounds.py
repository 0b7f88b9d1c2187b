"""The TCP window as conntrack followed it, and the packet that fell out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.plot.canvas import BAD, GOOD, INK, WARN, canvas, legend, nothing, seconds
from analyzer.report import window_series
from analyzer.report.words import short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from analyzer.incident.model import Finding, WindowPoint
    from analyzer.result.analysis import Result

LIMIT = 2000
"""Packets drawn: those nearest in time to the one that fell out."""


def window(analysis: Result, ax: Axes | None = None, *, finding: Finding | None = None) -> Axes:
    """Draw the bounds that conntrack kept, the packets between them, and the one that it called INVALID.

    Args:
        analysis: What is drawn of.
        ax: Drawn onto; new axes by default.
        finding: Of the analysis; the first that has a window by default.
    """
    told = [finding] if finding else [f for i in analysis.incidents for f in i.findings]
    found = ((f, window_series.build(f, LIMIT)) for f in told)
    of, series = next(((f, s) for f, s in found if s is not None), (None, None))
    ax = canvas(ax, f"Window of {short(of.inner, 80)}" if of else "Window")
    if series is None:
        return nothing(ax, "No packet was judged by the window.")
    zero = series.culprit.time

    def places(rows: Sequence[WindowPoint]) -> tuple[NDArray[np.float64], list[int]]:
        return seconds(ax, [r.time for r in rows], zero)[0], [series.number(r) for r in rows]

    begin, end = series.rows[0].time, series.rows[-1].time
    for steps, style, label in (
        (series.upper, "-", f"upper bound: {series.sender} sent" if series.by_ack else "upper bound"),
        (series.lower, "--", "lower bound"),
    ):
        if steps:
            # A bound is drawn from edge to edge, as it was before it was first told.
            at, _ = seconds(ax, [begin, *(time for time, _ in steps), end], zero)
            bounds = [steps[0][1], *(bound for _, bound in steps), steps[-1][1]]
            ax.step(at, bounds, where="post", color=GOOD, linestyle=style, label=label)
    accepted = [r for r in series.mine if r not in series.judged]
    ax.plot(*places(accepted), "o", color=INK, markersize=3.5, label=f"packets of the {_answering(series)}")
    for row in series.judged:
        # What fell out, and how far the bound that it failed is.
        at, (number,) = places([row])
        if row.bound is not None:
            ax.plot(at.repeat(2), [number, series.value(row.bound)], color=BAD, linewidth=1.2)
    shorts = "; ".join(f"{row.short_by:,}" for row in series.judged[:3])
    ax.plot(*places(series.judged), "o", color=BAD, markersize=8, label=f"INVALID, beyond by {shorts} bytes")
    resets, _ = seconds(
        ax, [r.time for r in series.rows if "R" in r.flags and r.reply != series.culprit.reply], zero
    )
    for n, at_reset in enumerate(resets):
        ax.axvline(at_reset, color=WARN, linestyle=":", label="RST by the host" if not n else None)
    ax.set_ylabel(series.quantity)
    ax.yaxis.set_major_formatter(lambda value, _: f"{round(value) % 2**32:,}")
    legend(ax, "upper left")
    return ax


def _answering(series: window_series.Series) -> str:
    return "answering side" if series.culprit.reply else "opening side"
