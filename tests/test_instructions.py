"""A change that costs more than a tenth fails, however busy the machine: instructions and calls are counted, not seconds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.instructions import KNOWN, calls, loops, toolchain

TENTH = 1.1
OTHERS = 1.5
"""With another compiler, Python or numpy than the numbers are of, they say less."""
RENEW = "if that is what it must cost, python -m tests.instructions writes the number anew"


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    """The numbers, and by how much they may be exceeded."""
    told = json.loads(KNOWN.read_text())
    return {**told, "bound": TENTH if told["toolchain"] == toolchain() else OTHERS}


def test_hot_loops_cost_no_more_instructions(known: dict[str, Any]) -> None:
    """From the first byte to paired packets, module by module."""
    counted, bound = loops(), known["bound"]
    dearer = {
        name: f"{count:,} instead of {known['loops'].get(name, 0):,}"
        for name, count in counted.items()
        if count > bound * known["loops"].get(name, 0)
    }

    assert {} == dearer, RENEW


def test_an_analysis_makes_no_more_calls(known: dict[str, Any]) -> None:
    """Of functions in Python and of C, for a fixture with many losses."""
    assert calls() <= known["bound"] * known["calls"], RENEW
