"""The window chart on matplotlib: the same numbers as in the report."""

from __future__ import annotations

from analyzer import Analysis
from analyzer.plot import window
from tests.conftest import Case, analysed


def test_the_late_ack(cases: dict[str, Case]) -> None:
    """The ACK of libnetwork issue 1090 stands 39,008 bytes under its bound, at the axis' zero; accepted ones between them."""
    ax = window(analysed("late-ack-seed"))
    upper, lower, accepted, short, judged = ax.lines[:5]

    assert [10110467] == judged.get_ydata()
    assert [0] == judged.get_xdata()
    assert 39_008 == short.get_ydata()[1] - short.get_ydata()[0]
    assert "INVALID, beyond by 39,008 bytes" in [t.get_text() for t in ax.get_legend().get_texts()]
    for at, number in zip(*accepted.get_data(), strict=True):
        bounds = [dict(zip(*line.get_data(), strict=True)) for line in (lower, upper)]
        low, high = (next(v for t, v in reversed(steps.items()) if t <= at) for steps in bounds)
        assert low <= number <= high


def test_resets_of_the_host(cases: dict[str, Case]) -> None:
    """Every RST with which the host answered is a line, and has one entry in the legend."""
    analysis = analysed("ack-over")
    ax = window(analysis, finding=analysis.incidents[0].findings[0])

    assert 1 == [t.get_text() for t in ax.get_legend().get_texts()].count("RST by the host")


def test_a_finding_without_a_window(lossy: Analysis) -> None:
    """What no window judged is said."""
    (text,) = window(lossy, finding=lossy.incidents[0].findings[0]).texts

    assert "No packet was judged by the window." == text.get_text()
