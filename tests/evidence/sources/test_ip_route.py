"""`ip route`, as text and as JSON."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzer.evidence.facts import Caveat, Route
from analyzer.evidence.sources import ip_route


def routes(text: str) -> list[Route]:
    """Parse what is recognised and wholly understood."""
    assert ip_route.recognises(text)
    found = list(ip_route.parse(text, "a"))
    assert all(isinstance(fact, Route) for fact in found)
    return [fact for fact in found if isinstance(fact, Route)]


def test_same_in_both_formats(sample: Callable[[str], str]) -> None:
    """Text and JSON of one command tell the same, with the next hops of a multipath route."""
    text, told = (routes(sample(f"ip-route.{ending}")) for ending in ("txt", "json"))
    assert set(text) == set(told)
    assert 25 < len(text)


def test_kinds(sample: Callable[[str], str]) -> None:
    """Default routes of both families, blackholes and local addresses are told apart."""
    found = {
        (route.dst, route.kind, route.gateway, route.dev, route.table)
        for route in routes(sample("ip-route.txt"))
    }
    assert {
        ("0.0.0.0/0", "unicast", "192.0.2.1", "eth0", "main"), ("::/0", "unicast", "2001:db8::1", "eth0", "main"),
        ("10.99.0.0/26", "blackhole", None, None, "main"), ("10.99.0.5/32", "unicast", None, "cni0", "main"),
        ("198.51.100.0/24", "unreachable", None, None, "main"), ("192.0.2.10/32", "local", None, "eth0", "local"),
    } <= found  # fmt: skip


def test_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Routes beyond the limit are counted."""
    monkeypatch.setattr(ip_route, "MOST", 2)
    *kept, caveat = ip_route.parse("".join(f"10.0.{n}.0/24 dev eth0 scope link\n" for n in range(5)), "a")
    assert 2 == len(kept)
    assert Caveat(says="a: 3 routes beyond the first 2 were left out") == caveat


def test_cut_and_other_text(sample: Callable[[str], str]) -> None:
    """JSON cut short is a caveat; neighbours and rules are not routes."""
    assert isinstance(list(ip_route.parse(sample("ip-route.json")[:-5], "a"))[-1], Caveat)
    for text in (
        "192.0.2.1 dev eth0 lladdr 02:00:00:00:00:01 STALE\n",
        "0:\tfrom all lookup local\n",
        "default settings\n",
    ):
        assert not ip_route.recognises(text)
    assert [] == list(ip_route.parse("10.0.0.0/99 dev eth0\n10.0.0\n", "a"))


def test_all_tables_in_both_formats(sample: Callable[[str], str]) -> None:
    """Routes of other tables, several next hops, and destinations that lead nowhere."""
    text, told = (routes(sample(f"ip-route-all.{ending}")) for ending in ("txt", "json"))
    assert set(text) == set(told)
    by_dst = {route.dst: route for route in text}
    assert [("10.9.0.2", "br0", 1), ("10.9.0.3", "br0", 2)] == [
        (hop.gateway, hop.dev, hop.weight) for hop in by_dst["10.50.0.0/16"].hops
    ]
    assert ("blackhole", "unreachable", 5, "7") == (
        by_dst["10.60.0.0/16"].kind, by_dst["10.61.0.0/16"].kind, by_dst["10.61.0.0/16"].metric, by_dst["10.70.0.0/16"].table,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["route-n.txt", "netstat-rn.txt"])
def test_net_tools(sample: Callable[[str], str], name: str) -> None:
    """net-tools lists the main table, of several next hops the first."""
    assert [
        ("10.9.0.0/24", "unicast", None, "br0"), ("10.50.0.0/16", "unicast", "10.9.0.2", "br0"),
        ("10.60.0.0/16", "blackhole", None, None), ("10.61.0.0/16", "unreachable", None, None),
    ] == [(route.dst, route.kind, route.gateway, route.dev) for route in routes(sample(name))]  # fmt: skip


def test_one_line() -> None:
    """`ip -o route` has the next hops on the route's own line."""
    text = "10.50.0.0/16 proto bird \\\tnexthop via 10.9.0.2 dev br0 weight 1 \\\tnexthop via 10.9.0.3 dev br1 weight 2 \n"
    (route,) = routes(text)
    assert ["br0", "br1"] == [hop.dev for hop in route.hops]
