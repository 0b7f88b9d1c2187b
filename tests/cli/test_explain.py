"""`lostsyn explain`: the public pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from analyzer.incident import pages


@pytest.mark.parametrize("code", pages.CODES)
def test_every_cause(code: str, lostsyn: Callable[..., Any]) -> None:
    """Its page on stdout, beginning with its code."""
    ran = lostsyn("explain", code)

    assert (0, "") == (ran.code, ran.err)
    assert ran.out.startswith(f"{code}\n\n")
    assert "What happens" in ran.out


def test_list(lostsyn: Callable[..., Any]) -> None:
    """Without a code, a line for each."""
    lines = lostsyn("explain").out.splitlines()

    assert list(pages.CODES) == [line.split()[0] for line in lines]
    assert all(line.endswith(".") for line in lines)


def test_no_such_cause(lostsyn: Callable[..., Any]) -> None:
    """One sentence that lists the causes, exit 2."""
    ran = lostsyn("explain", "gremlins")

    assert (2, "") == (ran.code, ran.out)
    assert ran.err.startswith("lostsyn: 'gremlins' is no cause; the causes are ack-over-upper-bound, ")
