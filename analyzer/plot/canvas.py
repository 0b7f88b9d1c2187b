"""What the plots share: axes, colours, a time axis that counts from a named moment, and words where there is nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from analyzer.errors import MissingTool
from analyzer.report.words import clock, day

try:
    from matplotlib import pyplot
    from matplotlib.ticker import EngFormatter, MaxNLocator
except ModuleNotFoundError:
    raise MissingTool("plots need matplotlib: pip install 'lostsyn[plot]'") from None

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

# Of middle lightness: they can be told apart, also by eyes that see no red or green, on white and on black.
INK, QUIET, BAD, GOOD, WARN, OTHER = "#5b6b7b", "#a3acb5", "#d1495b", "#2a9d6f", "#d98e04", "#7b61c4"


def canvas(ax: Axes | None, title: str) -> Axes:
    """Return *ax*, or new axes, with a title and without ink that says nothing."""
    if ax is None:
        _, ax = pyplot.subplots(figsize=(9, 4), layout="constrained")
    ax.set_title(title, loc="left", fontsize="medium")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color=QUIET, alpha=0.3, linewidth=0.6)
    ax.set_axisbelow(True)
    return ax


def nothing(ax: Axes, why: str) -> Axes:
    """Say in the middle of the axes why they are empty."""
    ax.text(0.5, 0.5, why, transform=ax.transAxes, ha="center", va="center", color=INK)
    ax.set_xticks([])
    ax.set_yticks([])
    return ax


def seconds(
    ax: Axes, times: NDArray[np.integer[Any]] | Sequence[int], zero: int | None = None
) -> tuple[NDArray[np.float64], int]:
    """Label the time axis; return *times*, which are not none, after its zero in seconds, and the zero.

    Args:
        ax: The axes.
        times: Nanoseconds since the epoch.
        zero: Of the axis, the earliest time by default.
    """
    given = np.asarray(times, np.int64)
    start = int(given.min()) if zero is None else zero
    ax.set_xlabel(f"time after {day(start)} {clock(start)} UTC")
    ax.xaxis.set_major_formatter(EngFormatter(unit="s"))
    after: NDArray[np.float64] = (given - start) / 1e9
    return after, start


def whole(axis: Any) -> None:
    """Let an axis that counts have whole numbers only, with commas."""
    axis.set_major_locator(MaxNLocator(integer=True))
    axis.set_major_formatter("{x:,.0f}")


def legend(
    ax: Axes, where: Literal["upper left", "upper right", "lower right"], title: str | None = None
) -> None:
    """Name what is drawn, if anything is.

    Args:
        ax: The axes.
        where: As matplotlib says it. To let it look for the best place takes as long as all the rest.
        title: Above the names.
    """
    if ax.get_legend_handles_labels()[0]:
        ax.legend(frameon=False, loc=where, title=title)
