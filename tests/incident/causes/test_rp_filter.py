"""The reverse path filter: recognised by the kernel's word on this sender and this interface, never by the setting alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.incident.routing import conf
from tests.conversation import Conversation
from tests.incident.evidence import causes, connection, findings, judged, vanishing
from tests.incident.node import known, risen, told

CODE = "rp-filter"
COUNTER = "TcpExtIPReversePathFilter"
STRICT = "net.ipv4.conf.all.rp_filter = 0\nnet.ipv4.conf.eth0.rp_filter = 1\n"
MARTIAN = "[   12.500000] IPv4: martian source 10.244.0.11 from 198.51.100.7, on dev eth0\n"


def inbound(n: int = 0, *, passes: bool = False, client: str = "198.51.100.7") -> Conversation:
    """A client outside asks the pod, three times in vain or once with success."""
    talk = Conversation(
        pod="10.244.0.11:80", server=f"{client}:{40000 + n}", isn=1_000 + n, server_isn=2_000 + n
    )
    for at in (n,) if passes else (n, n + 1, n + 3):
        syn = talk.send("S", by_pod=False, at=at, seq=50 + n)
        if not passes:
            syn.lost_after("eth0")
    if passes:
        talk.send("SA", ack=51 + n)
        talk.send("A", by_pod=False, seq=51 + n)
    return talk


def test_setting_and_log(tmp_path: Path) -> None:
    """The filter is strict there, and the log names this sender, this destination and this interface."""
    told(tmp_path, sysctl=STRICT, dmesg=MARTIAN)
    (finding,) = findings(judged(tmp_path, known(), inbound()))

    assert (CODE, "proven", "syn-vanished") == (finding.cause, finding.confidence, finding.kind)
    assert ("eth0", 1, "198.51.100.7") == tuple(
        finding.facts[name] for name in ("interface", "rp_filter", "sender")
    )
    assert "martian source" in finding.evidence[0].says
    assert ["lost before the node", "snat-port-race"] == [one.cause for one in finding.excluded]


@pytest.mark.parametrize(
    ("all_", "own", "confidence", "says"),
    [(1, 0, "proven", "all.rp_filter is 1: strict"), (1, 2, "likely", "eth0.rp_filter is 2: loose")],
)
def test_the_greater_setting_counts(all_: int, own: int, confidence: str, says: str, tmp_path: Path) -> None:
    """`all` is strict, the interface's own is off: strict; or that is loose: loose, so a line may be of another time."""
    settings = f"net.ipv4.conf.all.rp_filter = {all_}\nnet.ipv4.conf.eth0.rp_filter = {own}\n"
    told(tmp_path, sysctl=settings, dmesg=MARTIAN)
    (finding,) = findings(judged(tmp_path, known(), inbound()))

    assert (CODE, confidence) == (finding.cause, finding.confidence)
    assert f"net.ipv4.conf.{says}" == finding.evidence[1].says


def test_counter_and_routes(tmp_path: Path) -> None:
    """Without log: the counter rose, and a listed rule sends answers to this client out by another interface."""
    told(
        tmp_path,
        sysctl=STRICT,
        rules="0:\tfrom all lookup local\n512:\tfrom 10.244.0.11 lookup 2\n32766:\tfrom all lookup main\n",
        routes="default via 192.0.2.1 dev eth0 \n10.244.0.0/24 dev cni0 scope link \ndefault via 192.0.2.65 dev eth1 table 2 \n",
    )
    risen(tmp_path, COUNTER, 3)
    (finding,) = findings(judged(tmp_path, known(), inbound()))

    assert (CODE, "likely") == (finding.cause, finding.confidence)
    assert [
        "TcpExtIPReversePathFilter rose by 3",
        "net.ipv4.conf.eth0.rp_filter is 1: strict",
        "answers to 198.51.100.7 would leave by eth1, not by eth0",
    ] == [one.says for one in finding.evidence]
    assert ["lost before the node"] == [one.cause for one in finding.excluded]


def test_only_the_counter(tmp_path: Path) -> None:
    """It may have counted others: possible."""
    told(tmp_path, sysctl=STRICT)
    risen(tmp_path, COUNTER, 3)

    assert [(CODE, "possible")] == [
        (f.cause, f.confidence) for f in findings(judged(tmp_path, known(), inbound()))
    ]


@pytest.mark.parametrize(
    "files",
    [
        {"sysctl": STRICT},
        {"sysctl": STRICT.replace("= 1", "= 0"), "dmesg": MARTIAN},
        {"sysctl": STRICT, "dmesg": MARTIAN.replace("eth0", "eth1")},
        {"sysctl": STRICT, "dmesg": MARTIAN.replace("from 198.51.100.7", "from 198.51.100.8")},
    ],
    ids=["only-the-setting", "off", "another-interface", "another-sender"],
)
def test_near_misses(tmp_path: Path, files: dict[str, str]) -> None:
    """Every distribution sets the filter; a line on others is not of this loss."""
    told(tmp_path, **files)

    assert ["unknown"] == causes(judged(tmp_path, known(), inbound()))


def test_a_counter_that_did_not_rise(tmp_path: Path) -> None:
    """The filter dropped nothing meanwhile, whatever an old log says."""
    told(tmp_path, sysctl=STRICT, dmesg=MARTIAN)
    risen(tmp_path, COUNTER, 0)

    assert ["unknown"] == causes(judged(tmp_path, known(), inbound()))


def test_others_of_the_same_sender_pass(tmp_path: Path) -> None:
    """The filter judges senders, not ports: what passes later shows that it was not the filter."""
    told(tmp_path, sysctl=STRICT, dmesg=MARTIAN)

    assert ["unknown"] == causes(judged(tmp_path, known(), inbound(), inbound(7, passes=True)))


def test_the_setting_and_the_routes(tmp_path: Path) -> None:
    """A strict filter, and a route back by another interface: possible, since rules of routing may send it elsewhere."""
    told(
        tmp_path,
        sysctl=STRICT,
        routes="default via 192.0.2.1 dev eth0 \n10.244.0.0/24 dev cni0 scope link \n198.51.100.0/24 via 203.0.113.1 dev eth1 \n",
    )

    assert [(CODE, "possible")] == [
        (f.cause, f.confidence) for f in findings(judged(tmp_path, known(), inbound()))
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (MARTIAN, [(CODE, "proven")]),
        (MARTIAN.replace("dev eth0", "dev eth1"), []),
        (MARTIAN.replace("martian source", "martian destination"), []),
    ],
    ids=["named", "another-interface", "another-message"],
)
def test_a_packet_to_nobody_that_was_seen(tmp_path: Path, line: str, expected: list[tuple[str, str]]) -> None:
    """Where the pod is nobody saw; that the kernel logs the packet as a martian says that it got no further."""
    told(tmp_path, sysctl=STRICT, dmesg=line)
    talk = Conversation(
        pod="198.51.100.7:40000", server="10.244.0.11:80", way="eth0", nat="198.51.100.7:40000"
    )
    for at in (0, 1):
        talk.syn(at).lost_after("eth0")

    assert expected == [(f.cause, f.confidence) for f in findings(judged(tmp_path, talk))]


def test_a_martian_that_was_answered(tmp_path: Path) -> None:
    """The near miss: the line is of another packet of these addresses, since this one was answered."""
    told(tmp_path, sysctl=STRICT, dmesg=MARTIAN)
    talk = Conversation(
        pod="198.51.100.7:40000", server="10.244.0.11:80", way="eth0", nat="198.51.100.7:40000"
    )
    talk.syn(0)
    talk.accept()

    assert [] == findings(judged(tmp_path, talk))


@pytest.mark.parametrize(
    ("priority", "table", "fix"),
    [(100, 7, 99), (2, 7, 1), (1, 7, None), (100, 8, None)],
)
def test_answers_that_a_rule_leads_away_from_a_pod(
    priority: int, table: int, fix: int | None, tmp_path: Path
) -> None:
    """Loose mode would let the pod's SYN pass and not its answer: the fix goes before the rule that has another way."""
    told(
        tmp_path,
        sysctl=STRICT.replace("eth0", "cni0"),
        dmesg="[   12.500000] IPv4: martian source 192.0.2.100 from 10.244.0.11, on dev cni0\n",
        routes="default via 192.0.2.1 dev eth0 \n10.244.0.0/24 dev cni0 scope link \ndefault via 192.0.2.1 dev eth0 table 7 \n",
        rules=f"0:\tfrom all lookup local\n{priority}:\tfrom all to 10.244.0.11 lookup {table}\n32766:\tfrom all lookup main\n",
    )
    (finding,) = findings(
        judged(tmp_path, known(), vanishing(connection(1, pod="10.244.0.11:30000"), 0, 1, 3))
    )

    assert CODE == finding.cause
    assert [
        *([f"ip rule add to 10.244.0.11 lookup main priority {fix}"] if fix else []),
        "sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.cni0.rp_filter; nstat -az TcpExtIPReversePathFilter; ip rule",
        *([] if fix else ["sysctl -w net.ipv4.conf.cni0.rp_filter=2"]),
    ] == [remedy.command for remedy in finding.remedies]


def test_an_interface_with_a_dot(tmp_path: Path) -> None:
    """sysctl(8) would take the dot of a VLAN's name for its own."""
    assert "net.ipv4.conf.eth0/100.rp_filter" == conf("eth0.100", "rp_filter")
