"""What the tests of side evidence share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture(scope="session")
def sample() -> Callable[[str], str]:
    """A function that returns the text of a recorded output."""
    return lambda name: (SAMPLES / name).read_text()
