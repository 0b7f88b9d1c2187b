"""Doing the same for several at once."""

from __future__ import annotations

import threading

import pytest

from analyzer.compute.threads import MOST, beside, side_by_side


def test_results_come_in_order() -> None:
    """Whoever ends first; also of more than there are threads, of one, and of none."""
    for count in (0, 1, 5, 3 * MOST):
        assert [n * n for n in range(count)] == side_by_side(lambda n: n * n, list(range(count)))


def test_they_run_at_once() -> None:
    """Three that wait for each other all end."""
    together = threading.Barrier(3)

    assert [0, 1, 2] == sorted(side_by_side(lambda _: together.wait(10), [1, 2, 3]))


def test_an_error_is_raised() -> None:
    """What goes wrong in one is not lost."""
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda n: 1 // n, [1, 0, 2])


def test_work_beside_has_ended_behind() -> None:
    """It runs while the body does, and its result is there afterwards; its error is nobody's who does not ask."""
    together = threading.Barrier(2)
    with beside(lambda: together.wait(10) >= 0) as done:
        together.wait(10)
    with beside(lambda: 1 // 0) as failed:
        pass

    assert done()
    with pytest.raises(ZeroDivisionError):
        failed()
