"""No route: by the error that only this gives, or by the routes themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.evidence.network import NextHop, Route
from analyzer.incident.routing import written
from tests.conversation import Conversation, record
from tests.incident.evidence import Frames, causes, connection, findings, judged, vanishing, whole
from tests.incident.node import LINKS, told
from tests.incident.test_records import record as record_of

CODE = "no-route"
ROUTES = "10.244.0.0/24 dev cni0 scope link src 10.244.0.1\n192.0.2.0/24 dev eth0 scope link src 192.0.2.10\n"
FORWARD = "table inet f {{\n\tchain c {{\n\t\ttype filter hook forward priority 0; policy accept;\n\t\t{}\n\t}}\n}}\n"
DEFAULT = "default via 192.0.2.1 dev eth0\n"


def lost(*times: float) -> Conversation:
    """A pod asks a server in another network, in vain."""
    return vanishing(connection(server="203.0.113.5:80"), *(times or (0, 1, 3)))


def test_the_node_says_so(tmp_path: Path) -> None:
    """ICMP network unreachable that only the inside saw: this node has no route."""
    talk = lost(0)
    (finding,) = findings(judged(tmp_path, talk, Frames().unreachable(talk, 0.0001, code=0)))

    assert (CODE, "likely", "refused") == (finding.cause, finding.confidence, finding.kind)
    assert "network unreachable" in finding.evidence[0].says


def test_the_kernel_recorded_it(tmp_path: Path) -> None:
    """Its record says it first, and proves it."""
    talk = lost(0)
    record_of(tmp_path, talk, 0, reason="IP_INNOROUTES", at="ip_error")
    (finding,) = findings(judged(tmp_path, talk))

    assert (CODE, "proven", 1) == (finding.cause, finding.confidence, len(finding.evidence))
    assert finding.evidence[0].says.startswith("the kernel recorded")


def test_refused_otherwise(tmp_path: Path) -> None:
    """Who has no route sends no RST, whatever the listing lacks, and says so by an error of its own."""
    told(tmp_path, routes=ROUTES)
    reset, error = lost(0), lost(0)
    reset.send("RA", by_pod=False, window=0, options=[]).only_at("veth-a", "cni0")

    assert CODE not in causes(judged(tmp_path, reset))
    assert CODE not in causes(judged(tmp_path, error, Frames().unreachable(error, 0.0001, code=1)))


def test_routes_and_error(tmp_path: Path) -> None:
    """Both agree: proven."""
    told(tmp_path, routes=ROUTES)
    talk = lost(0)
    (finding,) = findings(judged(tmp_path, talk, Frames().unreachable(talk, 0.0001, code=0)))

    assert (CODE, "proven", "none") == (finding.cause, finding.confidence, finding.facts["route"])
    assert "its routes have none for 203.0.113.5" == finding.evidence[1].says


def test_a_route_that_was_removed(tmp_path: Path) -> None:
    """Listed before and not after, with the error: proven, and the fix is that route again."""
    told(tmp_path, **{"route-before": DEFAULT + ROUTES, "route-after": ROUTES})
    talk = lost(0)
    (finding,) = findings(judged(tmp_path, talk, Frames().unreachable(talk, 0.0001, code=0)))

    assert (CODE, "proven") == (finding.cause, finding.confidence)
    assert "its route 0.0.0.0/0 via 192.0.2.1 dev eth0 was listed before" in finding.evidence[1].says
    assert "ip route replace 0.0.0.0/0 via 192.0.2.1 dev eth0" == finding.remedies[0].command


@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit"])
def test_a_route_that_leads_nowhere(tmp_path: Path, kind: str) -> None:
    """Silent, or its errors were not sent: the errors are limited in rate."""
    told(
        tmp_path,
        routes=f"{DEFAULT}{ROUTES}{kind} 203.0.113.0/24\n",
        rules="0:\tfrom all lookup local\n32766:\tfrom all lookup main\n",
    )
    (finding,) = findings(judged(tmp_path, lost()))

    assert (CODE, "proven", kind) == (finding.cause, finding.confidence, finding.facts["route"])
    assert f"its routes have only a {kind} route for 203.0.113.5" == finding.evidence[0].says


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [("unreachable", 1, CODE), ("prohibit", 13, CODE), ("unreachable", 13, "policy-reject"), ("prohibit", 1, "unknown"),
     ("blackhole", 13, "policy-reject")],
)  # fmt: skip
def test_the_error_of_a_route(kind: str, code: int, expected: str, tmp_path: Path) -> None:
    """Each kind of route has its own error; another one is not the route's."""
    told(tmp_path, routes=f"{DEFAULT}{ROUTES}{kind} 203.0.113.0/24\n")
    talk = lost(0)
    (finding,) = findings(judged(tmp_path, talk, Frames().unreachable(talk, 0.0001, code=code)))

    assert expected == finding.cause


@pytest.mark.parametrize(
    ("kind", "code", "expected"),
    [("unreachable", 0, CODE), ("unreachable", 3, CODE), ("prohibit", 1, CODE), ("prohibit", 3, "unknown")],
)
def test_the_error_of_a_route_of_ipv6(kind: str, code: int, expected: str, tmp_path: Path) -> None:
    """Its errors have other codes."""
    told(
        tmp_path,
        routes=f"default via 2001:db8::1 dev eth0 metric 1\n{kind} 2001:db8:5::/48 dev lo metric 1\n",
    )
    talk = vanishing(
        connection(pod="[2001:db8:1::11]:20000", server="[2001:db8:5::5]:80", nat="[2001:db8::10]:20000"), 0
    )
    (finding,) = findings(judged(tmp_path, talk, Frames().unreachable(talk, 0.0001, code=code)))

    assert expected == finding.cause


@pytest.mark.parametrize(
    ("pod", "port", "expected"),
    [("10.244.0.12", 30000, CODE), ("10.244.0.11", 20009, "unknown")],
    ids=["another", "the same"],
)
def test_a_rule_of_routing_that_leads_nowhere(pod: str, port: int, expected: str, tmp_path: Path) -> None:
    """It is about one pod: what another one sends to the same destination passes and says nothing of it."""
    rules = "0:\tfrom all lookup local\n9:\tfrom 10.244.0.11 blackhole\n32766:\tfrom all lookup main\n"
    told(tmp_path, routes=DEFAULT + ROUTES, rules=rules)
    other = whole(
        connection(server="203.0.113.5:80", pod=f"{pod}:{port}", nat=f"192.0.2.10:{port}", isn=9), 5
    )
    (finding,) = findings(judged(tmp_path, lost(), other))

    assert expected == finding.cause


def test_a_listing_alone(tmp_path: Path) -> None:
    """Without the rules of routing another table may be asked: likely."""
    told(tmp_path, routes=ROUTES)

    assert [(CODE, "likely")] == [(f.cause, f.confidence) for f in findings(judged(tmp_path, lost()))]


@pytest.mark.parametrize(
    "routes",
    [
        DEFAULT + ROUTES,
        "blackhole 203.0.113.0/28 table 7\n" + DEFAULT + ROUTES,
        "blackhole 203.0.113.0/24 \n203.0.113.5 via 192.0.2.1 dev eth0\n" + DEFAULT + ROUTES,
    ],
    ids=["default", "another-table", "a-longer-prefix"],
)
def test_near_misses(tmp_path: Path, routes: str) -> None:
    """There is a route for this very packet."""
    told(tmp_path, routes=routes)

    assert CODE not in causes(judged(tmp_path, lost()))


def test_replies_to_a_source_that_nobody_routes(tmp_path: Path) -> None:
    """A pod asks from an address of its own choice: translated back, the answers have nowhere to go; those of others do."""
    told(tmp_path, routes=ROUTES, rules="0:\tfrom all lookup local\n32766:\tfrom all lookup main\n")
    told(tmp_path, nft=FORWARD.format("ip daddr 10.99.0.5 reject"))  # a route is looked up before the rule
    talk = Conversation(pod="10.99.0.5:20000", server="192.0.2.100:80", nat="192.0.2.10:20000")
    for at in (0, 1):
        talk.syn(at)
        talk.synack(at + 0.001).lost_after("eth0")
    (finding,) = findings(judged(tmp_path, talk))

    assert (CODE, "proven", "reply-vanished") == (finding.cause, finding.confidence, finding.kind)
    assert "10.99.0.5" == finding.facts["destination"]


def test_it_passes_later(tmp_path: Path) -> None:
    """What passes to the same destination shows that the listing is of another time."""
    told(tmp_path, routes=ROUTES)
    talk = lost(0)
    talk.syn(1)
    talk.accept()

    assert CODE not in causes(judged(tmp_path, talk))


@pytest.mark.parametrize("pod", [0, 1], ids=["the same pod", "another pod"])
def test_a_table_of_one_pod(pod: int, tmp_path: Path) -> None:
    """A rule leads one pod to a table with a blackhole: what another pod gets through says nothing of that, its own does."""
    told(
        tmp_path,
        routes=f"{DEFAULT}{ROUTES}blackhole default table 7\n",
        rules="0:\tfrom all lookup local\n9:\tfrom 10.244.0.11 lookup 7\n32766:\tfrom all lookup main\n",
    )
    other = connection(pod, server="203.0.113.5:81", isn=5_000_000)

    assert bool(pod) == (CODE in causes(judged(tmp_path, lost(), whole(other, 2))))


def test_a_rule_says_it(tmp_path: Path) -> None:
    """`reject with icmp net-unreachable`: the error is the rule's."""
    told(tmp_path, nft=FORWARD.format("ip daddr 203.0.113.5 reject with icmp net-unreachable"))
    talk = lost(0)

    assert ["policy-reject"] == causes(judged(tmp_path, talk, Frames().unreachable(talk, 0.0001, code=0)))


def test_another_table_was_not_listed(tmp_path: Path) -> None:
    """A rule asks a table that no file lists: it cannot be told, so nothing is claimed."""
    told(
        tmp_path,
        rules="0:\tfrom all lookup local\n9:\tfrom all lookup 7\n32766:\tfrom all lookup main\n",
        **{"ip-addr": LINKS},
    )

    assert CODE not in causes(judged(tmp_path, lost()))


def test_a_part_of_a_listing(tmp_path: Path) -> None:
    """What `ip route | grep cni0` leaves does not say that there is no other route."""
    told(tmp_path, routes="10.244.0.0/24 dev cni0 proto kernel scope link src 10.244.0.1\n")

    assert "no-route" not in causes(judged(tmp_path, lost()))


BLACKHOLE = "blackhole 10.96.7.128/26 proto bird\n"


@pytest.mark.parametrize(
    ("routes", "seen", "expected"),
    [
        (BLACKHOLE, "lost", [CODE]),
        (BLACKHOLE + "10.96.7.140 dev cali0a1b2c3d4e5 scope link\n", "lost", []),
        ("blackhole 10.96.8.128/26 proto bird\n", "lost", []),
        (BLACKHOLE, "answered", []),
        (BLACKHOLE, "delivered", []),
        (BLACKHOLE, "at the uplink alone", [CODE]),
    ],
    ids=[
        "the pod's own route is missing",
        "it is there",
        "another block",
        "answered",
        "delivered",
        "no other point",
    ],
)
def test_what_comes_in_for_a_blackhole(tmp_path: Path, routes: str, seen: str, expected: list[str]) -> None:
    """A block of pods has a blackhole route behind the pods' own: what comes in for a pod without one is dropped."""
    around = "default via 192.0.2.1 dev eth0\n10.96.7.129 dev cali0a1b2c3d4e5 scope link\n192.0.2.0/24 dev eth0 scope link\n"
    told(tmp_path, **{"ip-route": around + routes})
    way = "eth0 | cali0a1b2c3d4e5"
    talks = [Conversation(pod=f"192.0.2.12:{41_000 + n}", server="10.96.7.140:80", way=way) for n in range(2)]
    for n, talk in enumerate(talks):
        for at in (0, 1, 3)[: 1 if seen == "answered" else 3]:
            sent = talk.syn(10 * n + at)
            if seen != "delivered":
                sent.only_at("eth0")
        if seen == "answered":
            talk.synack().only_at("eth0")
    whole = [Conversation(pod=f"192.0.2.12:{at}", server="10.96.7.129:80", way=way) for at in (1, 41)]
    for talk in whole:
        talk.syn(int(talk.pod.rpartition(":")[2]) - 5)
        talk.accept()

    points = ("eth0",) if seen == "at the uplink alone" else None
    analysis = analyze(record(tmp_path, *talks, *whole, points=points))
    assert expected == [one.cause for one in analysis.incidents if one.cause == CODE]


def test_a_name_in_a_route() -> None:
    """Whoever wrote the listing: each word of a route is one word to the shell."""
    hops = (NextHop(gateway="192.0.2.1", dev="eth0;reboot"), NextHop(gateway=None, dev="eth1", weight=3))
    route = Route(
        dst="198.51.100.0/24",
        kind="unicast",
        gateway=None,
        dev=None,
        table="7",
        file="r",
        nexthops=hops,
        metric=5,
    )

    assert (
        "198.51.100.0/24 nexthop via 192.0.2.1 dev 'eth0;reboot' nexthop dev eth1 weight 3 table 7 metric 5"
        == written(route)
    )
