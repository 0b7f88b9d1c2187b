"""`ip neigh`, as text and as JSON."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.facts import Caveat, Neighbour
from analyzer.evidence.sources import ip_neigh


def test_same_in_both_formats(sample: Callable[[str], str]) -> None:
    """`ip -s neigh` and `ip -j neigh` tell the same."""
    text, told = sample("ip-neigh-s.txt"), sample("ip-neigh.json")
    assert ip_neigh.recognises(text)
    assert ip_neigh.recognises(told)
    assert list(ip_neigh.parse(text, "a")) == list(ip_neigh.parse(told, "a"))
    assert [
        ("192.0.2.77", "INCOMPLETE", None),
        ("10.244.0.11", "DELAY", "cni0"),
        ("192.0.2.100", "REACHABLE", "eth0"),
    ] == [
        (one.address, one.state, one.dev if one.mac else None)
        for one in ip_neigh.parse(text, "a")
        if isinstance(one, Neighbour)
    ]


def test_plain() -> None:
    """Routers, and neighbours that a daemon set."""
    text = (
        "fe80::1 dev eth0 lladdr 02:00:00:00:00:01 router STALE \n"
        "10.0.0.1 dev vxlan.calico lladdr 66:00:00:00:00:02 PERMANENT proto 80\n"
    )
    assert [("fe80::1", "STALE"), ("10.0.0.1", "PERMANENT")] == [
        (one.address, one.state) for one in ip_neigh.parse(text, "a") if isinstance(one, Neighbour)
    ]


def test_cut_and_other_text(sample: Callable[[str], str]) -> None:
    """A cut line is a caveat, as is cut JSON; routes are no neighbours."""
    (cut,) = ip_neigh.parse("10.0.0.1 dev eth0 lladdr 02:00:00:00:00:01 REACHA", "a")
    assert (
        Caveat(
            says="a: 1 neighbours not understood, the first: '10.0.0.1 dev eth0 lladdr 02:00:00:00:00:01 REACHA'"
        )
        == cut
    )
    assert [Caveat] == [type(fact) for fact in ip_neigh.parse(sample("ip-neigh.json")[:-5], "a")]
    assert not ip_neigh.recognises(sample("ip-route.txt"))
    assert not ip_neigh.recognises(sample("ip-route.json"))
    odd = '[{"dst":5,"state":["STALE"]},{"dst":"10.0.0.1","dev":"x","state":"?"}]'
    assert [Neighbour(address="10.0.0.1", dev="x", mac=None, state="", file="a")] == list(
        ip_neigh.parse(odd, "a")
    )
