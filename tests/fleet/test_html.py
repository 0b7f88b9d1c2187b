"""The page of a fleet: self-contained, bounded, and harmless whatever folders are called."""

from __future__ import annotations

import base64
import hashlib
import re

from analyzer.fleet import html
from tests.fleet import sample


def test_it_tells_all() -> None:
    """Every part of the report is there, with its numbers."""
    page = html.render(sample.usual())

    sections = ["over-time", "nodes", "destinations", "pods", "bundles", "between", "bad", "inconclusive"]
    assert sections == re.findall(r'<section id="([a-z-]+)"', page)
    for said in (
        "15 packets lost at 3 of 3 nodes; 3 SYNs lost between nodes", "9 bundles: 2 analysed now, 7 before",
        "2000-01-01 00:00:00 to 2000-01-02 00:00:00 UTC", "3 bad bundles", "SNAT port race", "0.31%", "680 µs", "-2.5 s",
        "not known", "node-b: no capture found",
    ):  # fmt: skip
        assert said in page


def test_its_policy_allows_its_style_alone() -> None:
    """No script, no request: the policy names the hash of the one style that there is."""
    page = html.render(sample.usual())
    (style,) = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)

    assert f"style-src &#39;sha256-{digest}&#39;" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "script" not in policy
    assert "<script" not in page
    assert [] == re.findall(r'(?:src|href)="(?!data:,)', page)


def test_hostile_and_large() -> None:
    """Names act on nothing; thousands of rows are cut, counted, and still a page that opens."""
    page = html.render(sample.large())

    assert "<script" not in page
    assert 'onload="' not in page
    assert not set("\x1b\u202e") & set(page)
    assert "1,800 further nodes not shown here; the dataset has all." in page
    assert len(page.encode()) < 2_000_000


def test_nothing() -> None:
    """A fleet of which nothing could be analysed has a page that says so."""
    page = html.render(sample.nothing())

    assert "No bundle could be analysed" in page
    assert ["bad"] == re.findall(r'<section id="([a-z-]+)"', page)
