"""The limits."""

from __future__ import annotations

import os
from pathlib import Path

from analyzer.web.settings import Settings


def test_the_largest_upload() -> None:
    """It is told in the unit that it is given in."""
    assert "20 GiB" == Settings(data=Path()).largest


def test_processor_time_follows_the_time() -> None:
    """An analysis may use each processor for as long as it may run, and for a second at least."""
    cores = os.cpu_count() or 1

    assert 60 * cores == Settings(data=Path(), time=60).cpu
    assert 1 == Settings(data=Path(), time=0.01).cpu
