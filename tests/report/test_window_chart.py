"""The window chart."""

from __future__ import annotations

import dataclasses

import pytest

from analyzer.incident.model import Finding, WindowPoint
from analyzer.report import window_chart


def row(time: int, ack: int, **given: object) -> WindowPoint:
    """Return an accepted ACK of the answering side."""
    base: dict[str, object] = {
        "point": "eth0",
        "frame": 1,
        "reply": True,
        "flags": "A",
        "seq": 1,
        "end": 1,
        "window": 1000,
        "verdict": "accept",
        "bound": 0,
        "upper": 5000,
    }
    return WindowPoint(time=time, ack=ack, **(base | given))  # type: ignore[arg-type]


def with_window(sample, *rows: WindowPoint) -> Finding:
    """Return a finding with these rows."""
    return dataclasses.replace(sample.LATE_ACK.findings[0], window=rows)


def test_the_late_ack(sample) -> None:
    """The chart of libnetwork issue 1090 names the ACK, both bounds, and what it was short by."""
    chart = window_chart.build(sample.LATE_ACK.findings[0])
    assert chart is not None
    assert chart.upper is not None
    assert chart.lower is not None
    (verdict,) = chart.verdicts

    assert "39,008 bytes short" == verdict.label
    assert "10110467" == verdict.number
    assert "10322531" == chart.upper.value
    assert "10149475" == chart.lower.value
    assert verdict.bound_y < verdict.y
    assert "client" == chart.sender


def test_the_scale_is_linear(sample) -> None:
    """The bar from the late ACK to its bound has the length of 39,008 bytes on the axis."""
    chart = window_chart.build(sample.LATE_ACK.findings[0])
    assert chart is not None
    (verdict,) = chart.verdicts
    low, high = chart.y_ticks[0], chart.y_ticks[-1]
    per_byte = (low.at - high.at) / (int(high.label.replace(",", "")) - int(low.label.replace(",", "")))

    assert 39_008 * per_byte == pytest.approx(verdict.y - verdict.bound_y, abs=0.2)


def test_accepted_acks_lie_between_the_bounds(sample) -> None:
    """Every accepted ACK lies in the band, the late one under it: the drawing agrees with the kernel."""
    chart = window_chart.build(sample.LATE_ACK.findings[0])
    assert chart is not None
    assert chart.upper is not None
    assert chart.lower is not None

    def bound(text: str, x: float) -> float:
        corners = [tuple(map(float, pair.split(","))) for pair in text.split()]
        return next(y for at, y in reversed(corners) if at <= x)

    for dot in chart.dots:
        assert bound(chart.upper.points, dot.x) - 0.1 <= dot.y <= bound(chart.lower.points, dot.x) + 0.1
    assert chart.verdicts[0].y > bound(chart.lower.points, chart.verdicts[0].x)


def test_resets_of_host_and_peer(sample) -> None:
    """The host's RST stands at its sequence number, the late ACK's; the peer's stand on the axis."""
    chart = window_chart.build(sample.LATE_ACK.findings[0])
    assert chart is not None

    assert [False, True, True, True] == [reset.peer for reset in chart.resets]
    assert chart.verdicts[0].y == chart.resets[0].y
    assert {chart.bottom} == {reset.y for reset in chart.resets if reset.peer}


def test_numbers_wrap(sample) -> None:
    """Past 2**32 the chart goes on upwards, and its labels start again at zero."""
    top = 2**32
    chart = window_chart.build(
        with_window(
            sample,
            row(0, top - 900, bound=top - 1000, upper=top - 500),
            row(10, 600, bound=top - 600, upper=700),
            row(
                20, 100, bound=200, upper=1200, verdict="invalid", test="ack-under-lower-bound", short_by=100
            ),
        )
    )
    assert chart is not None

    assert chart.dots[0].y > chart.dots[1].y
    assert "100" == chart.verdicts[0].number
    assert {"0", "500"} <= {tick.label for tick in chart.y_ticks}


@pytest.mark.parametrize(
    ("test", "given", "label", "above"),
    [
        ("ack-over-upper-bound", {"ack": 6000, "bound": 5000, "upper": 5000}, "1,000 bytes too far", True),
        (
            "seq-over-upper-bound",
            {"ack": 10, "seq": 9000, "end": 9100, "bound": 8000},
            "1,000 bytes too far",
            True,
        ),
        (
            "seq-under-lower-bound",
            {"ack": 10, "seq": 100, "end": 200, "bound": 1200},
            "1,000 bytes short",
            False,
        ),
    ],
)
def test_the_other_tests(sample, test: str, given: dict[str, object], label: str, above: bool) -> None:
    """Each failed test is drawn against its own bound, on the side it was failed."""
    judged = row(50, verdict="invalid", test=test, short_by=1000, **given)  # type: ignore[arg-type]
    chart = window_chart.build(
        with_window(sample, row(0, 3000, bound=2000), judged, row(90, 3500, bound=2500))
    )
    assert chart is not None
    (verdict,) = chart.verdicts

    assert label == verdict.label
    assert above == (verdict.y < verdict.bound_y)
    assert ("acknowledged byte" if test.startswith("ack") else "sequence number") == chart.quantity


def test_nothing_judged_nothing_drawn(sample) -> None:
    """A connection has no chart without an INVALID packet; the host's own RST is none."""
    reset = row(5, 0, reply=False, flags="R", verdict="invalid")

    assert window_chart.build(with_window(sample)) is None
    assert window_chart.build(with_window(sample, row(0, 1), reset)) is None


def test_long_connections_are_cut_around_the_event(sample) -> None:
    """Of thousands of packets those nearest to the judged one are drawn, and the rest is counted."""
    rows = [row(number * 1000, 3000, bound=2000) for number in range(5000)]
    rows[4000] = dataclasses.replace(rows[4000], verdict="invalid", test="ack-under-lower-bound", bound=3500)
    chart = window_chart.build(with_window(sample, *rows))
    assert chart is not None

    assert 5000 - window_chart.LIMIT == chart.hidden
    assert 1 == len(chart.verdicts)


def test_everything_at_once(sample) -> None:
    """A single packet, with neither time nor height to scale, is still a chart."""
    judged = row(7, 7, bound=7, upper=7, verdict="invalid", test="ack-under-lower-bound")
    chart = window_chart.build(with_window(sample, judged))
    assert chart is not None

    assert chart.left <= chart.verdicts[0].x <= chart.right
    assert chart.top <= chart.verdicts[0].y <= chart.bottom


def test_one_axis(sample) -> None:
    """A packet that failed a test of the other direction is not drawn on this one's axis."""
    judged = row(50, 1, verdict="invalid", test="ack-under-lower-bound", bound=500, short_by=499)
    other = row(60, 1, verdict="invalid", test="seq-over-upper-bound", bound=9, reply=False)
    chart = window_chart.build(with_window(sample, row(0, 3000, bound=2000), judged, other))
    assert chart is not None

    assert ["499 bytes short"] == [verdict.label for verdict in chart.verdicts]
