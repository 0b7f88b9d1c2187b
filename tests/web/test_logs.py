"""The log is bounded."""

from __future__ import annotations

import io
import logging

import pytest

from analyzer.web import logs
from analyzer.web.logs import ROOM, SPAN, Bounded


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> tuple[logging.Logger, io.StringIO, list[float]]:
    """Return a logger, what it wrote, and the time, which can be changed."""
    now, out = [1000.0], io.StringIO()
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    logger = logging.Logger("test")
    logger.addHandler(Bounded(out))
    return logger, out, now


def test_a_flood_is_cut(written: tuple[logging.Logger, io.StringIO, list[float]]) -> None:
    """As much as there is room for; how much was left out is said when there is room again."""
    logger, out, now = written
    for _ in range(100_000):
        logger.warning("Invalid HTTP request received.")
    assert len(out.getvalue()) < ROOM + 1000
    kept = len(out.getvalue().splitlines())
    now[0] += SPAN
    logger.warning("again")

    assert [f"{100_000 - kept} messages were left out of the log"] == out.getvalue().splitlines()[-2:-1]
    assert out.getvalue().endswith("again\n")


def test_a_traceback_is_written(written: tuple[logging.Logger, io.StringIO, list[float]]) -> None:
    """What went wrong is told whole while there is room."""
    logger, out, _ = written
    try:
        raise ValueError("why")
    except ValueError:
        logger.exception("a job failed")

    assert "a job failed" in out.getvalue()
    assert "ValueError: why" in out.getvalue()


def test_a_stream_that_fails_costs_nothing() -> None:
    """A full disk stops no request."""

    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError("no space left")

    logger = logging.Logger("test")
    logger.addHandler(Bounded(Full()))
    logger.warning("lost")
