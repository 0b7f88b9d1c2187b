"""`lostsyn why`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from analyzer import analyze
from tests.conftest import CASES


def test_a_connection(lostsyn: Callable[..., Any]) -> None:
    """Told on stdout, exit 0."""
    folder = CASES["snat-race"].folder
    ran = lostsyn("why", analyze(folder).incidents[0].findings[0].inner, str(folder))

    assert 0 == ran.code
    assert "incident syn-vanished-1" in ran.out


def test_nothing_of_that_name(lostsyn: Callable[..., Any]) -> None:
    """One sentence, exit 2."""
    ran = lostsyn("why", "cni0:999999", str(CASES["snat-race"].folder))

    assert (2, "") == (ran.code, ran.out)
    assert "is not a connection in these captures" in ran.err
