"""How full conntrack's table was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.plot.canvas import BAD, GOOD, canvas, legend, nothing, seconds, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from analyzer.result.analysis import Result


def occupancy(analysis: Result, ax: Axes | None = None) -> Axes:
    """Draw how many entries the captured connections held in conntrack's table, and its limit where that is known.

    Entries that were there before the captures began are not among them.

    Args:
        analysis: What is drawn of.
        ax: Drawn onto; new axes by default.
    """
    ax = canvas(ax, "Entries of the captured connections in conntrack's table")
    told = analysis.occupancy
    if told is None or not told.times:
        return nothing(ax, "The captures hold no connection.")
    at, _ = seconds(ax, told.times)
    ax.step(at, told.entries, where="post", color=GOOD, linewidth=1.6, label="entries")
    ax.fill_between(at, told.entries, step="post", color=GOOD, alpha=0.15)
    if told.limit is not None:
        # A limit far above would press the line to the ground; then its number alone is told.
        if told.limit <= 4 * max(*told.entries, 1):
            ax.axhline(told.limit, color=BAD, linestyle="--", label=f"nf_conntrack_max {told.limit:,}")
        else:
            ax.plot([], [], color=BAD, linestyle="--", label=f"nf_conntrack_max {told.limit:,}, far above")
    ax.set_ylabel("entries")
    ax.set_ylim(bottom=0)
    whole(ax.yaxis)
    legend(ax, "lower right")
    return ax
