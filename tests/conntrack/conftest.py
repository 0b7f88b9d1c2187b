"""Fixtures of the conntrack tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from analyzer.conntrack import CLASSIC, MODERN, Connection, Generation, Settings

sys.path.insert(0, str(Path(__file__).parent))

from talk import Start, Talk


@pytest.fixture
def start() -> Start:
    """Begin a dialogue under a generation's rules, with some settings."""

    def begin(generation: Generation = MODERN, **settings: object) -> Talk:
        return Talk(Connection(generation, Settings(**settings)))  # type: ignore[arg-type]

    return begin


@pytest.fixture(params=[CLASSIC, MODERN], ids=lambda generation: generation.name)
def generation(request: pytest.FixtureRequest) -> Generation:
    """Be both generations that were compared with real kernels."""
    value: Generation = request.param
    return value
