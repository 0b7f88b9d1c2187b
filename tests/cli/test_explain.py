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
    assert ("What happens" in ran.out) is (code not in pages.KINDS)


def test_list(lostsyn: Callable[..., Any]) -> None:
    """Without a code, a line for each."""
    lines = lostsyn("explain").out.splitlines()

    assert list(pages.CODES) == [line.split()[0] for line in lines]
    assert all(line.endswith(".") for line in lines)


def test_an_incident(lostsyn: Callable[..., Any]) -> None:
    """Its kind is explained, and where its cause is to be found."""
    ran = lostsyn("explain", "syn-vanished-12")

    assert (0, "") == (ran.code, ran.err)
    assert ran.out.startswith("syn-vanished\n\nA connection's first packet")
    assert "what caused syn-vanished-12: `lostsyn explain CAUSE`" in ran.out


def test_no_such_cause(lostsyn: Callable[..., Any]) -> None:
    """One sentence that asks what was meant, or lists the codes; exit 2."""
    slip = lostsyn("explain", "snat-port-rase")
    ran = lostsyn("explain", "gremlins")

    assert (2, "", 2, "") == (slip.code, slip.out, ran.code, ran.out)
    assert slip.err.startswith(
        "lostsyn: 'snat-port-rase' is neither a cause nor a kind; did you mean snat-port-race"
    )
    assert ran.err.startswith(
        "lostsyn: 'gremlins' is neither a cause nor a kind; the codes are ack-over-upper-bound, "
    )
