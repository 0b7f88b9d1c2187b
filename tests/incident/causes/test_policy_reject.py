"""A refusal of this node: by the rule that gives it, or by an error that only rules give."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether

from analyzer import analyze
from tests.conversation import BRIDGE, START, Conversation, bystander, record
from tests.incident.evidence import Frames, connection, findings, judged, vanishing
from tests.incident.node import told

CODE = "policy-reject"
RULES = (
    "table ip f {{\n\tchain c {{\n\t\ttype filter hook forward priority 0; policy accept;\n\t\t{}\n\t}}\n}}\n"
)
RULE = "the packet matches this rule: ip f c: "


def reset() -> Conversation:
    """A RST in the server's name, which the uplink never saw."""
    talk = vanishing(connection(), 0)
    talk.send("RA", by_pod=False).only_at("veth-a", "cni0")
    return talk


@pytest.mark.parametrize(
    ("rule", "code", "expected", "says"),
    [
        ("tcp dport 80 reject", 3, (CODE, "proven"), f"{RULE}tcp dport 80 reject"),
        ("tcp dport 80 drop", 13, (CODE, "likely"), f"{RULE}tcp dport 80 drop"),
        ("tcp dport 81 reject", 3, ("unknown", "likely"), None),
        (None, 3, (CODE, "likely"), "10.244.0.1 answered with an ICMP error, port unreachable"),
        (None, 13, (CODE, "possible"), "10.244.0.1 answered with an ICMP error, communication admin"),
        (None, 1, ("unknown", "likely"), None),
        ("tcp dport 80 reject with tcp reset", None, (CODE, "proven"), f"{RULE}tcp dport 80 reject"),
        (None, None, (CODE, "likely"), "a RST in the name of 192.0.2.100:80 answered"),
    ],
)
def test_a_refusal(
    rule: str | None, code: int | None, expected: tuple[str, str], says: str | None, tmp_path: Path
) -> None:
    """Proven by the rule that rejects the packet; an error that a route gives as well is less; others tell of no rule."""
    if rule:
        told(tmp_path, nft=RULES.format(rule))
    talk = vanishing(connection(), 0)
    refusal = [reset()] if code is None else [talk, Frames().unreachable(talk, 0.001, code=code)]
    (finding,) = findings(judged(tmp_path, *refusal))

    assert ("refused", expected) == (finding.kind, (finding.cause, finding.confidence))
    assert says is None or finding.evidence[0].says.startswith(says)
    remedies = [one.command.split()[0] for one in finding.remedies if finding.cause == CODE]
    assert (["nft", "kubectl"] if rule and finding.cause == CODE else []) == remedies


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("127.0.0.1:80", "a socket of the node is bound to 127.0.0.1:80"),
        ("0.0.0.0:8080", "no socket of the node listens on tcp port 80"),
    ],
)
def test_sockets_are_asked_of_a_refusal(local: str, expected: str, tmp_path: Path) -> None:
    """Where the node itself refused and no rule does, the list of its sockets says whether anybody listens."""
    head = "State  Recv-Q Send-Q Local Address:Port  Peer Address:Port Process\n"
    told(tmp_path, ss=f"{head}LISTEN 0      5          {local}       0.0.0.0:*     \n")
    (finding,) = findings(judged(tmp_path, reset()))

    assert expected in [one.says for one in finding.evidence]


def neighbours(number: int = 0) -> Conversation:
    """A pod asks another one on its bridge, and the question gets no further than the bridge."""
    talk = Conversation(
        pod=f"10.244.0.11:{41_000 + number}", server="10.244.0.12:53", proto="udp", way="veth-a cni0 / veth-b"
    )
    for at in (0.0, 5.0):
        talk.data(b"question", at + number).lost_after("cni0")
    return talk


def refusing(talk: Conversation, sender: str = "10.244.0.1", code: int = 3, mac: str = BRIDGE) -> Frames:
    """ICMP errors for both questions."""
    (pod, sport), (server, dport) = (end.rsplit(":", 1) for end in (talk.pod, talk.server))
    frames = Frames()
    for sent in talk.sent:
        quoted = IP(src=pod, dst=server, id=sent.number, flags="DF") / UDP(sport=int(sport), dport=int(dport))
        error = IP(src=sender, dst=pod, ttl=64) / ICMP(type=3, code=code) / quoted
        for point in ("cni0", "veth-a"):
            at = (sent.time - START) / 1e9 + (0.00002 if point == "cni0" else 0.00003)
            frames.heard.append((point, at, Ether(src=mac, dst="02:0a:0a:0a:0a:0a") / error))
    return frames


AROUND = (bystander(-2, "veth-a cni0 | eth0"), bystander(30, "veth-a cni0 | eth0"))


@pytest.mark.parametrize(
    ("points", "gap"),
    [
        (("veth-a", "veth-b", "cni0", "eth0"), ("veth-b", "cni0")),
        (("veth-a", "cni0", "eth0"), ("cni0", "eth0")),
        (("cni0", "eth0"), ("cni0", "eth0")),
    ],
)
def test_a_neighbour_on_the_bridge(points: tuple[str, ...], gap: tuple[str, str], tmp_path: Path) -> None:
    """What is bridged never is for the node: its refusal is a rule's, and told of the pod that was asked, if it is known."""
    talk, whole_b = (
        neighbours(),
        Conversation(
            pod="10.244.0.12:30000",
            server="198.51.100.77:443",
            nat="192.0.2.10:30000",
            way="veth-b cni0 | eth0",
        ),
    )
    whole_b.syn(-1)
    whole_b.accept()
    analysis = analyze(record(tmp_path, talk, refusing(talk), whole_b, *AROUND, points=points))  # type: ignore[arg-type]

    assert ["policy-reject"] == [one.cause for one in analysis.incidents]
    assert gap == analysis.incidents[0].gap
    assert (1, 0) == (analysis.account.node, analysis.account.outside)


def test_refused_by_the_neighbour(tmp_path: Path) -> None:
    """The pod that was asked says so itself: nobody listens there."""
    talk = neighbours()
    talk.sent[0].seen = talk.sent[1].seen = list(range(3))
    own = refusing(talk, sender="10.244.0.12", mac="02:0b:0b:0b:0b:0b")
    analysis = analyze(record(tmp_path, talk, own, *AROUND))  # type: ignore[arg-type]

    assert () == analysis.incidents
    assert 0 == analysis.account.node < analysis.account.outside


def test_a_record_of_the_very_packet(tmp_path: Path) -> None:
    """Nothing shows whose the error is, but `nft monitor trace` has the packet and the rule that rejected it."""
    talk = neighbours()
    record(tmp_path, talk, refusing(talk, code=10))  # type: ignore[arg-type]
    (tmp_path / "trace.txt").write_text(
        'trace id 6a6c58fe inet firewalld filter_FORWARD packet: iif "cni0" oif "cni0" ip saddr 10.244.0.11 ip daddr 10.244.0.12 '
        "ip ttl 64 ip id 1 ip protocol udp ip length 36 udp sport 41000 udp dport 53 udp length 16 @th,64,96 0\n"
        "trace id 6a6c58fe inet firewalld filter_FORWARD rule reject with icmpx admin-prohibited (verdict drop)\n"
    )

    assert [("policy-reject", "proven")] == [
        (one.cause, one.confidence) for one in analyze(tmp_path).incidents
    ]
