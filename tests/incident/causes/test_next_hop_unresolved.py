"""A next hop that does not answer: recognised by what the node asks in vain for these very packets."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import ARP, Ether

from tests.conversation import BRIDGE, UPLINK, Conversation
from tests.conversation import GATEWAY as ROUTER
from tests.incident.evidence import Frames, causes, connection, counters, findings, judged, vanishing, whole
from tests.incident.node import LINKS, told

CODE = "next-hop-unresolved"
DEAD, BEHIND, GATEWAY = "192.0.2.77", "198.51.100.20", "192.0.2.1"


def lost(n: int = 0, server: str = DEAD) -> Conversation:
    """Pod number *n* tries a server in vain."""
    return vanishing(connection(n, server=f"{server}:80"), 0, 1, 3)


def asked(who: str = DEAD, *times: float, **how: object) -> Frames:
    """The node's three requests, a second apart."""
    return Frames().asks(who, *(times or (0.0001, 1.02, 2.05)), **how)  # type: ignore[arg-type]


def test_asked_in_vain_and_told_so(tmp_path: Path) -> None:
    """Three ARP requests without an answer, then ICMP host unreachable to the pod."""
    counters(tmp_path)
    talk = lost()
    (finding,) = findings(judged(tmp_path, talk, asked().unreachable(talk, 3.07)))

    assert (CODE, "proven", ("cni0", "eth0")) == (finding.cause, finding.confidence, finding.gap)
    assert (DEAD, 3) == (finding.facts["next_hop"], finding.facts["requests"])
    assert "eth0 sent 3 ARP/ND requests for 192.0.2.77" in finding.evidence[0].says
    assert "3.07 s after the first lost attempt" in finding.evidence[1].says
    assert "conntrack counted no drop" in [e.because for e in finding.excluded]


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_without_the_error(proto: str, tmp_path: Path) -> None:
    """The capture ended before it, or the kernel sent none: the destination itself was asked for."""
    talk = vanishing(connection(server=f"{DEAD}:80", proto=proto), 0, 1)
    analysis = judged(tmp_path, talk, asked())
    (finding,) = findings(analysis)

    assert analysis.incidents[0].summary.endswith(": the node does not reach the next hop.")
    assert (CODE, "likely", DEAD) == (finding.cause, finding.confidence, finding.facts["next_hop"])


@pytest.mark.parametrize(("answered", "expected"), [(False, CODE), (True, "unknown")])
def test_a_pod_that_asks_and_does_not_answer(answered: bool, expected: str, tmp_path: Path) -> None:
    """The replies to a pod wait for its link-layer address, though it sends packets itself."""
    talk = connection()
    for at in (0, 1.02, 2.05):
        talk.syn(at)
        talk.synack(at + 0.001).lost_after("eth0")
    asks = Frames().asks(
        "10.244.0.11", 0.0011, 1.02, 2.05, by="10.244.0.1", mac=BRIDGE, point="cni0", answered=answered
    )
    analysis = judged(tmp_path, talk, asks)
    (finding,) = findings(analysis)

    assert ("reply-vanished", expected) == (finding.kind, finding.cause)
    assert answered != analysis.incidents[0].summary.endswith(
        ": the pod that they are for does not answer on cni0."
    )


def test_an_error_for_another_connection(tmp_path: Path) -> None:
    """The kernel limits their rate: one error for one destination stands for all."""
    talks = [lost(n) for n in range(3)]
    analysis = judged(tmp_path, *talks, asked().unreachable(talks[1], 3.07))

    assert [(CODE, "proven")] * 3 == [(f.cause, f.confidence) for f in findings(analysis)]


def test_a_silent_gateway(tmp_path: Path) -> None:
    """The destination is behind a gateway, and that is the one which is asked for; a destination is dead, too."""
    far, near = lost(server=BEHIND), lost(1)
    frames = asked(GATEWAY).asks(DEAD, 0.0002, 1.01, 2.01, 3.02).unreachable(far, 3.07)
    analysis = judged(tmp_path, far, near, frames)

    assert [(CODE, GATEWAY), (CODE, DEAD)] == [(f.cause, f.facts["next_hop"]) for f in findings(analysis)]


def test_routes_tell_the_gateway(tmp_path: Path) -> None:
    """Of several silent neighbours it is the one of the longest route that leads there."""
    (tmp_path / "ip-route.json").write_text(
        '[{"dst": "default", "gateway": "192.0.2.254", "dev": "eth0", "flags": []}, '
        f'{{"dst": "198.51.100.0/24", "gateway": "{GATEWAY}", "dev": "eth0", "flags": []}}, '
        '{"dst": "198.51.100.128/25", "gateway": "192.0.2.253", "dev": "eth0", "flags": []}, '
        '{"dst": "192.0.2.0/24", "dev": "eth0", "scope": "link", "flags": []}]'
    )
    talk = lost(server=BEHIND)
    frames = asked("192.0.2.254", 0.1, 1.1, 2.1, 3.1).asks(GATEWAY, 0.0002, 1.02).unreachable(talk, 3.07)
    frames.asks("192.0.2.253", 0.2, 1.2, 2.2, 3.2)
    (finding,) = findings(judged(tmp_path, talk, frames))

    assert (CODE, GATEWAY) == (finding.cause, finding.facts["next_hop"])


def test_ipv6(tmp_path: Path) -> None:
    """Neighbour solicitations go to the group of the target's last bits; so do nobody's answers."""
    ends = {"pod": "[2001:db8:1::11]:20000", "nat": "[2001:db8::10]:20000"}
    talk = vanishing(connection(server="[2001:db8::abcd]:80", **ends), 0, 1, 3)
    frames = asked("2001:db8::abcd", by="2001:db8::10").unreachable(talk, 3.07, code=3)
    (finding,) = findings(judged(tmp_path, talk, frames))

    assert (CODE, "proven", "2001:db8::abcd") == (
        finding.cause,
        finding.confidence,
        finding.facts["next_hop"],
    )


@pytest.mark.parametrize(
    "frames",
    [
        Frames(),
        asked(answered=True),
        asked(DEAD, 0.0001),
        asked(DEAD, -30, -29, -28),
        asked(DEAD, 20, 21, 22),
        asked("192.0.2.88"),
        asked(by="192.0.2.33", mac="02:00:00:00:00:33"),
        asked(by="10.244.0.1", mac=BRIDGE),
        asked("192.0.2.88").asks(DEAD, 0.0001, answered=True),
    ],
    ids=[
        "not asked",
        "answered",
        "asked once",
        "long before",
        "long after",
        "another address",
        "by another machine",
        "by another interface",
        "another address in vain",
    ],
)
def test_near_misses(frames: Frames, tmp_path: Path) -> None:
    """Requests that were answered, or are of another time, another machine, another target: the cause is open."""
    told(tmp_path, **{"ip-addr": LINKS})
    assert ["unknown"] == causes(judged(tmp_path, lost(), *([frames] if frames.heard else [])))


@pytest.mark.parametrize(("answered", "expected"), [(False, [CODE]), (True, ["unknown"])])
def test_ipv6_gateway(answered: bool, expected: list[str], tmp_path: Path) -> None:
    """Of a gateway's link-local address only the group is known that is asked, and who of it advertises."""
    ends = {"pod": "[2001:db8:1::11]:20000", "nat": "[2001:db8::10]:20000"}
    talk = vanishing(connection(server="[2001:db8:9::20]:80", **ends), 0, 1, 3)
    frames = asked("fe80::1", by="2001:db8::10", answered=answered).unreachable(talk, 3.07, code=3)

    assert expected == causes(judged(tmp_path, talk, frames))


def test_ipv6_answered(tmp_path: Path) -> None:
    """An advertisement answers."""
    ends = {"pod": "[2001:db8:1::11]:20000", "nat": "[2001:db8::10]:20000"}
    talk = vanishing(connection(server="[2001:db8::abcd]:80", **ends), 0, 1, 3)

    assert ["unknown"] == causes(
        judged(tmp_path, talk, asked("2001:db8::abcd", by="2001:db8::10", answered=True))
    )


def test_a_destination_that_speaks(tmp_path: Path) -> None:
    """It answers no ARP that the capture has, but others talk to it."""
    other = whole(connection(3, server=f"{DEAD}:443"), 0.01)
    for at in (0.5, 1.03, 2.06, 3):
        other.data(100, at)
        other.reply()

    assert CODE not in causes(judged(tmp_path, lost(), asked(), other))


def test_back_after_three_requests(tmp_path: Path) -> None:
    """It was silent long enough to lose packets, and answers the fourth request."""
    frames = asked().asks(DEAD, 3.1, answered=True)

    assert [CODE] == causes(judged(tmp_path, lost(), frames))


def test_a_race_beside_a_dead_neighbour(tmp_path: Path) -> None:
    """The node asks in vain for somebody else all the time; this SYN lost its port to a partner."""
    counters(tmp_path, insert_failed=1, drop=1)
    loser = whole(vanishing(connection(0, pod="10.244.0.11:3000", nat="192.0.2.10:9"), 0), 1)
    winner = whole(connection(1, pod="10.244.0.12:3000", nat="192.0.2.10:3000"), 0.00002)

    assert ["snat-port-race"] == causes(judged(tmp_path, loser, winner, asked("192.0.2.88")))


def test_an_error_for_another_destination(tmp_path: Path) -> None:
    """The same pod is told that another place cannot be reached."""
    elsewhere = lost(server="192.0.2.88")
    talk = vanishing(connection(pod="10.244.0.11:20001", server="198.51.100.7:80", isn=7), 0, 1, 3)
    frames = asked("192.0.2.88").unreachable(elsewhere, 3.07)

    assert ["next-hop-unresolved", "unknown"] == [
        f.cause for f in sorted(findings(judged(tmp_path, elsewhere, talk, frames)), key=lambda f: f.inner)
    ]


def test_an_error_without_any_request(tmp_path: Path) -> None:
    """A route that says unreachable; nobody was asked for anything."""
    talk = lost()

    assert CODE not in causes(judged(tmp_path, talk, Frames().unreachable(talk, 0.0002)))


def test_requests_on_the_bridge(tmp_path: Path) -> None:
    """The node asks on cni0 for a pod that is gone: that is no next hop of what leaves by eth0."""
    assert CODE not in causes(judged(tmp_path, lost(), asked(point="cni0")))


def test_lost_before_the_bridge(tmp_path: Path) -> None:
    """Between veth and bridge there is no next hop to resolve."""
    talk = vanishing(connection(server=f"{DEAD}:80"), 0, 1, 3, after="veth-a")

    assert ["unknown"] == causes(judged(tmp_path, talk, asked()))


def test_what_the_node_answers_is_no_question(tmp_path: Path) -> None:
    """The near miss: the node's ARP replies go to that address, which asked."""
    reply = Ether(src=UPLINK, dst=BRIDGE) / ARP(op=2, hwsrc=UPLINK, psrc="192.0.2.10", pdst=DEAD)
    frames = Frames([("eth0", at, reply) for at in (0.0001, 1.02, 2.05)])

    assert CODE not in causes(judged(tmp_path, lost(), frames))


@pytest.mark.parametrize("hop", ["172.17.5.5", "172.17.0.9"])
@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [("FAILED", 1, (CODE, "proven")), ("INCOMPLETE", 1, (CODE, "proven")), ("STALE", 1, ("unknown", "likely")),
     ("FAILED", 13, ("policy-reject", "possible"))],
)  # fmt: skip
def test_the_nodes_own_word(
    state: str, code: int, expected: tuple[str, str], hop: str, tmp_path: Path
) -> None:
    """It refuses as unreachable what it seeks on a bridge that nobody captured, and that claims the server's network."""
    via = f"via {hop} " if hop != "172.17.5.5" else ""
    told(
        tmp_path,
        **{
            "ip-neigh": f"{hop} dev docker0 {state}\n192.0.2.1 dev eth0 lladdr 02:00:00:00:00:03 REACHABLE\n",
            "ip-route": f"default via 192.0.2.1 dev eth0\n172.17.0.0/16 {via}dev docker0\n10.244.0.0/24 dev cni0\n",
        },
    )
    talk = vanishing(connection(server="172.17.5.5:80", nat=None), 0)
    (finding,) = findings(judged(tmp_path, talk, Frames().unreachable(talk, 3.07, code=code)))

    assert expected == (finding.cause, finding.confidence)
    assert (expected[0] == CODE) == any(
        f"by this route: 172.17.0.0/16 {via}dev docker0" in e.says for e in finding.evidence
    )


@pytest.mark.parametrize(
    ("state", "expected"), [("INCOMPLETE", (CODE, True)), ("REACHABLE", ("unknown", False))]
)
def test_answers_that_the_node_does_not_take(state: str, expected: tuple[str, bool], tmp_path: Path) -> None:
    """A rule drops ARP: the gateway answers at the uplink, and the node's table lacks it."""
    told(
        tmp_path,
        **{"ip-neigh": f"192.0.2.1 dev eth0 {state}\n", "ip-route": "default via 192.0.2.1 dev eth0\n"},
    )
    talk = vanishing(connection(), 0, 1, 3)
    frames = Frames().asks("192.0.2.1", 0.001, 1.001, 2.001, answered=True).unreachable(talk, 3.07)
    (finding,) = findings(judged(tmp_path, talk, frames))

    taken = any("does not take it" in e.says for e in finding.evidence)
    assert expected == (finding.cause, taken)
    assert expected[1] == any("drops ARP" in one.do for one in finding.remedies)


@pytest.mark.parametrize(("code", "expected"), [(1, CODE), (3, "policy-reject")], ids=["host", "port"])
def test_an_endpoint_that_no_rule_names(code: int, expected: str, tmp_path: Path) -> None:
    """What came in, and this node refused, was for the one pod that it asks for in vain, wherever a rule had it translated."""
    client, node = ("198.51.100.9", 5000), ("192.0.2.10", 30080)
    talk = connection(
        pod="10.244.0.88:80", nat="192.0.2.10:30080", server="198.51.100.9:5000", way="veth-b cni0 | eth0"
    )
    for at in (0, 1, 2):
        talk.send("S", by_pod=False, at=at, seq=9).lost_after("eth0")
    frames = Frames().asks("10.244.0.88", 0.001, 1.001, 2.001, by="10.244.0.1", mac=BRIDGE, point="cni0")
    quoted = IP(src=client[0], dst=node[0]) / TCP(sport=client[1], dport=node[1], seq=9)
    error = Ether(src=UPLINK, dst=ROUTER) / IP(src=node[0], dst=client[0]) / ICMP(type=3, code=code) / quoted
    frames.heard.append(("eth0", 3.01, error))
    analysis = judged(tmp_path, talk, frames)

    assert [expected] == causes(analysis)
