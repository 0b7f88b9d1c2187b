"""What the plots share."""

from __future__ import annotations

import subprocess
import sys

import pytest
from matplotlib import pyplot

from analyzer import Analysis, plot
from analyzer.plot.canvas import canvas, seconds
from tests.conftest import ROOT


@pytest.mark.parametrize("name", ["attempts", "latency", "occupancy", "window"])
def test_nothing_to_draw(name: str, nothing: Analysis) -> None:
    """Where there is nothing the axes say so, instead of being empty or failing."""
    ax = getattr(plot, name)(nothing)

    assert 1 == len(ax.texts)
    assert ax.texts[0].get_text().endswith(".")
    assert [] == list(ax.get_xticks())


@pytest.mark.parametrize("name", ["attempts", "latency", "occupancy", "window"])
def test_given_axes(name: str, lossy: Analysis) -> None:
    """What is given is drawn onto, and no other figure is made."""
    figure, given = pyplot.subplots()

    assert given is getattr(plot, name)(lossy, given)
    assert [figure.number] == pyplot.get_fignums()


def test_everything_is_exported() -> None:
    """The package's functions are those that it says."""
    assert {"attempts", "latency", "occupancy", "sequence", "window"} == set(plot.__all__)
    assert all(callable(getattr(plot, name)) for name in plot.__all__)


def test_seconds_after_a_named_moment() -> None:
    """Times are told from the first one on, whose date the axis names."""
    ax = canvas(None, "")
    at, zero = seconds(ax, [2_000_000_000, 1_000_000_000])

    assert ([1.0, 0.0], 1_000_000_000) == (at.tolist(), zero)
    assert "time after 1970-01-01 00:00:01.000000 UTC" == ax.get_xlabel()


def test_without_matplotlib() -> None:
    """Where the extra is missing one sentence says how to get it; the analysis itself needs none of it."""
    program = (
        "import sys; sys.modules['matplotlib'] = None; import analyzer.api\n"
        "try:\n    from analyzer import plot\nexcept Exception as error:\n    print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert "MissingTool plots need matplotlib: pip install 'lostsyn[plot]'\n" == done.stdout
