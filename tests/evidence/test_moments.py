"""What files' names tell of before and after."""

from __future__ import annotations

import pytest

from analyzer.evidence.moments import moment, removed
from analyzer.evidence.network import Route


@pytest.mark.parametrize(
    ("label", "expected"),
    [("before/ip-route.txt", -1), ("conntrack-S-AFTER.txt", 1), ("ip-route.txt", 0), ("beforehand.txt", 0)],
)
def test_moments(label: str, expected: int) -> None:
    """By whole words, in whichever case."""
    assert expected == moment(label)


def route(file: str, dst: str = "198.51.100.0/24", **more: object) -> Route:
    """Make one by eth0."""
    given = {"kind": "unicast", "gateway": "192.0.2.1", "dev": "eth0", "table": "main"} | more
    return Route(dst=dst, file=file, **given)  # type: ignore[arg-type]


def test_removed_routes() -> None:
    """What the same listing has no more; not what another listing never had, nor one that lost its link only."""
    gone, stays = route("before/r"), route("before/r", "0.0.0.0/0")
    later = route("after/r", "0.0.0.0/0", flags=frozenset({"linkdown"}))

    assert {gone} == removed([gone, stays, later])
    assert set() == removed([gone, stays, route("after/other", "0.0.0.0/0")])
    assert set() == removed([gone, stays])
    assert set() == removed([route("after/r"), route("r", "0.0.0.0/0")])
