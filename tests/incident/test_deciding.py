"""What the captures leave open and rules or counters decide: packets to the node itself, replies, echoes, another bridge."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether

from analyzer import Analysis, analyze
from tests.connection.reasons import asks, reasons
from tests.conversation import GATEWAY, UPLINK, Conversation, bystander, record
from tests.golden import ROOT
from tests.incident.evidence import Frames, connection, counters, vanishing
from tests.incident.node import LINKS, known, told
from tests.incident.test_records import record as drop_record

RULES = "table ip f {{\n\tchain c {{\n\t\ttype filter hook {hook} priority 0; policy accept;\n\t\t{rule}\n\t}}\n}}\n"


def judged(
    folder: Path, *talks: Conversation, hook: str = "forward", rule: str = "", **files: str
) -> Analysis:
    """The analysis of these talks, with one rule and the node's interfaces in the bundle."""
    told(folder, **{"ip-addr": LINKS, "nft-ruleset": RULES.format(hook=hook, rule=rule), **files})
    return analyze(record(folder, *talks, known(), known("10.244.0.12", at=60)))


def in_vain(
    server: str, proto: str = "tcp", way: str = "veth-a cni0 | eth0", after: str = "cni0"
) -> Conversation:
    """A pod asks twice and is never answered."""
    talk = Conversation(pod="10.244.0.11:20000", server=server, proto=proto, way=way, nat="192.0.2.10:20000")
    for at in (0, 1):
        (talk.syn(at) if proto == "tcp" else talk.send("", b"asks", at=at)).lost_after(after)
    return talk


def told_of(analysis: Analysis) -> list[tuple[str, str, tuple[str, str] | None, int]]:
    """Kind, cause, gap and lost packets of every incident."""
    return [
        (i.kind, i.cause, i.gap, sum(int(str(f.facts["attempts_vanished"])) for f in i.findings))
        for i in analysis.incidents
    ]


def test_what_input_drops(tmp_path: Path) -> None:
    """A pod asks the node itself; a rule of INPUT drops that. That the capture ends with a RST of others is nothing to it."""
    talk = in_vain("10.244.0.1:9100", way="veth-a cni0")
    other = asks(connection(9), 61)
    other.send("RA", by_pod=False)
    analysis = judged(
        tmp_path, talk, other, hook="input", rule="tcp dport 9100 counter packets 2 bytes 120 drop"
    )

    assert [("syn-vanished", "policy-drop", ("cni0", "eth0"), 2)] == told_of(analysis)
    assert "to this node itself" in analysis.incidents[0].summary
    assert "lost outside the node" in [one.cause for one in analysis.incidents[0].findings[0].excluded]


def test_a_rule_that_drops_at_random(tmp_path: Path) -> None:
    """The walk cannot tell which packets it drops, but nothing else on their way drops any."""
    rule = "tcp dport 8080 numgen inc mod 2 0 counter packets 2 bytes 120 drop"
    (one,) = told_of(judged(tmp_path, in_vain("192.0.2.100:8080"), rule=rule))

    assert ("syn-vanished", "policy-drop", ("cni0", "eth0"), 2) == one


def test_a_random_rule_that_counted_nothing(tmp_path: Path) -> None:
    """Near miss: it dropped none."""
    rule = "tcp dport 8080 numgen inc mod 2 0 counter packets 0 bytes 0 drop"

    assert {"unknown"} == {
        cause for _, cause, _, _ in told_of(judged(tmp_path, in_vain("192.0.2.100:8080"), rule=rule))
    }


def test_echoes_that_a_rule_drops(tmp_path: Path) -> None:
    """The uplink is silent from then on: what a rule drops for certain is lost all the same."""
    talk = Conversation(pod="10.244.0.11:77", server="192.0.2.100:77", proto="icmp", nat="192.0.2.10:77")
    for at in (100, 101, 102):
        talk.send("", b"echo", at=at).lost_after("cni0")
    analysis = judged(tmp_path, talk, rule="icmp type echo-request counter packets 3 bytes 252 drop")

    assert [("icmp-vanished", "policy-drop", ("cni0", "eth0"), 3)] == told_of(analysis)


def test_between_two_bridges(tmp_path: Path) -> None:
    """The route leads to another bridge, where the requests never show."""
    other = Conversation(
        pod="10.245.0.9:30000",
        server="198.51.100.78:443",
        way="veth-b docker0 | eth0",
        nat="192.0.2.10:39000",
        isn=9_000_000,
    )
    for at in (-4, 61):
        other.syn(at)
        other.accept(at + 0.1)
    routes = "default via 192.0.2.1 dev eth0\n10.244.0.0/24 dev cni0 scope link\n10.245.0.0/24 dev docker0 scope link\n"
    analysis = judged(
        tmp_path,
        in_vain("10.245.0.9:80"),
        other,
        rule='iifname "cni0" oifname "docker0" counter packets 2 bytes 120 drop',
        **{"ip-route": routes},
    )

    assert [("syn-vanished", "policy-drop", ("cni0", "docker0"), 2)] == told_of(analysis)


def _silent(folder: Path, *talks: Conversation | Frames) -> Analysis:
    """Analyse what happened after the uplink's last packet."""
    early = bystander(-5)
    home = Conversation(pod="10.244.0.99:5000", server="10.244.0.1:22", way="veth-z cni0")
    home.syn(40)
    home.accept()
    return analyze(record(folder, early, home, *talks))  # type: ignore[arg-type]


def _rules(folder: Path, rule: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nft.txt").write_text(RULES.format(hook="forward", rule=rule))


def _said(analysis: Analysis) -> tuple[list[str], int, int]:
    """The causes, what is of this node, what nobody can tell."""
    return [i.cause for i in analysis.incidents], analysis.account.node, analysis.account.open


@pytest.mark.parametrize(("drop", "decided"), [(5, True), (4, False), (6, False), (0, False)])
def test_counters(drop: int, decided: bool, tmp_path: Path) -> None:
    """Five packets of two connections: decided where `drop` rose by five, open where it did not."""
    counters(tmp_path, drop=drop)
    analysis = _silent(tmp_path, vanishing(connection(), 0, 1, 3), vanishing(connection(1), 5, 6))

    expected = (["conntrack-table-full"], 2, 0) if decided else ([], 0, 2)
    assert expected == _said(analysis)


@pytest.mark.parametrize(
    ("drop", "port", "expected"),
    [
        (4, 80, (["conntrack-table-full"], 2, 0)),
        (2, 80, (["conntrack-table-full"], 1, 1)),
        (5, 80, (["unknown"], 1, 1)),
        (2, 81, (["conntrack-table-full", "policy-drop"], 2, 0)),
        (4, 81, (["policy-drop"], 1, 1)),
    ],
)
def test_counters_of_lost_and_open(
    drop: int, port: int, expected: tuple[list[str], int, int], tmp_path: Path
) -> None:
    """What was lost while the uplink was recorded is counted too, but not what a rule drops."""
    counters(tmp_path, drop=drop)
    _rules(tmp_path, "tcp dport 81 drop")
    lost = vanishing(connection(server=f"192.0.2.100:{port}"), -7, -6)
    analysis = _silent(tmp_path, bystander(-8), lost, vanishing(connection(1), 5, 6))

    causes, *account = _said(analysis)
    assert expected == (sorted(causes), *account)


@pytest.mark.parametrize(
    ("died", "counted"),
    [
        ({"stack": "POSTROUTING"}, True),
        ({"stack": "PREROUTING"}, True),
        ({"at": "nf_hook_slow"}, True),
        ({"reason": "NOT_SPECIFIED", "at": "somewhere"}, True),
        ({"stack": "FORWARD"}, False),
        ({"reason": "QDISC_DROP", "at": "__dev_xmit_skb"}, False),
    ],
    ids=["insertion", "entry", "some hook", "anywhere", "rule", "queue"],
)
@pytest.mark.parametrize("drop", [4, 2])
def test_counters_and_records(died: dict[str, str], counted: bool, drop: int, tmp_path: Path) -> None:
    """Of a loss the kernel's record says whether conntrack may have counted it; the rest of what that counted is open."""
    counters(tmp_path, drop=drop)
    lost = vanishing(connection(), -7, -6)
    drop_record(tmp_path, lost, -7, -6, **died)
    analysis = _silent(tmp_path, bystander(-8), lost, vanishing(connection(1), 5, 6))

    assert (drop == (4 if counted else 2)) == (analysis.account.open == 0)


def test_counters_and_a_rule(tmp_path: Path) -> None:
    """What a rule drops is not conntrack's: the counter is compared with the others."""
    counters(tmp_path, drop=2)
    _rules(tmp_path, "tcp dport 81 drop")
    ruled = vanishing(connection(server="192.0.2.100:81"), 0, 1, 3)
    analysis = _silent(tmp_path, ruled, vanishing(connection(1), 5, 6))

    assert {"policy-drop", "conntrack-table-full"} == {i.cause for i in analysis.incidents}
    assert (2, 0) == (analysis.account.node, analysis.account.open)


@pytest.mark.parametrize(
    ("changes", "invalid", "decided"),
    [({}, 2, True), ({}, 3, False), ({}, 0, False), ({"DPT": 80}, 2, False), ({"SPT": 20001}, 2, False),
     ({"SEQ": 7}, 2, False), ({"DST": "192.0.2.101"}, 2, False), ({"SRC": "10.244.0.12"}, 2, False),
     ({"because": "invalid state"}, 2, False)],
)  # fmt: skip
def test_wrong_checksums(changes: dict[str, object], invalid: int, decided: bool, tmp_path: Path) -> None:
    """The log names the SYN, and INVALID are as many as were sent; another packet, or another count, leaves it open."""
    names = {"SRC": "10.244.0.11", "DST": "192.0.2.100", "SPT": 20000, "DPT": 81, "SEQ": 1_000_000}
    names |= {"because": "bad checksum", **changes}
    said = "SRC={SRC} DST={DST} LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=1 DF PROTO=TCP SPT={SPT} DPT={DPT} SEQ={SEQ} ACK=0"
    counters(tmp_path, invalid=invalid)
    (tmp_path / "dmesg.txt").write_text(
        f"[   12.5] nf_ct_proto_6: {names['because']} IN=cni0 OUT= MAC= {said.format(**names)} WINDOW=64240 RES=0x00 SYN URGP=0\n"
    )
    analysis = _silent(tmp_path, vanishing(connection(server="192.0.2.100:81"), 0, 1))

    assert ((1, 0) if decided else (0, 1)) == _said(analysis)[1:]


@pytest.mark.parametrize(
    ("rule", "cause"),
    [
        ("tcp dport 80 drop", "policy-drop"),
        ("ip saddr 10.244.0.0/24 tcp dport 80 counter reject", "policy-reject"),
        ("tcp dport 81 drop", None),
        ("tcp dport 80 accept", None),
        ("tcp dport 80 numgen random mod 2 0 drop", None),
    ],
)
def test_rules(rule: str, cause: str | None, tmp_path: Path) -> None:
    """A rule that matches for certain decides; another port, acceptance and chance leave it open."""
    _rules(tmp_path, rule)
    analysis = _silent(tmp_path, vanishing(connection(), 0, 1, 3))

    assert (([cause], 1, 0) if cause else ([], 0, 1)) == _said(analysis)


@pytest.mark.parametrize(
    ("nowhere", "rule", "expected"),
    [
        ("blackhole 192.0.2.100", "", (["no-route"], 1, 0)),
        ("blackhole 192.0.2.101", "", ([], 0, 1)),
        ("blackhole 192.0.2.100 table 2", "", (["no-route"], 1, 0)),
        ("blackhole 192.0.2.100 table 3", "", ([], 0, 1)),
        ("blackhole 192.0.2.100", "tcp dport 80 dnat to 192.0.2.102", ([], 0, 1)),
        ("blackhole 192.0.2.100", "tcp dport 81 dnat to 192.0.2.102", (["no-route"], 1, 0)),
        ("blackhole 192.0.2.100", "numgen random mod 2 0 dnat to 192.0.2.102", ([], 0, 1)),
    ],
)
def test_routes(nowhere: str, rule: str, expected: tuple[list[str], int, int], tmp_path: Path) -> None:
    """What is routed nowhere is lost, whoever recorded there; where it may be translated first, the route is another one."""
    chain = "table ip n {{\n\tchain c {{\n\t\ttype nat hook prerouting priority -100; policy accept;\n\t\t{}\n\t}}\n}}\n"
    told(
        tmp_path,
        nft=chain.format(rule),
        rules="0:\tfrom all lookup local\n9:\tfrom 10.244.0.11 lookup 2\n32766:\tfrom all lookup main\n",
        routes=f"default via 192.0.2.1 dev eth0\n10.244.0.0/24 dev cni0 scope link src 10.244.0.1\n{nowhere}\n",
    )

    assert expected == _said(_silent(tmp_path, vanishing(connection(), 0, 1, 3)))


def test_what_was_answered_is_not_dropped(tmp_path: Path) -> None:
    """A rule that is listed now need not have been there then."""
    _rules(tmp_path, "tcp dport 80 drop")
    talk = connection()
    talk.syn(0)
    talk.accept()
    for sent in talk.sent:
        sent.missed_at("eth0")

    assert ([], 0, 0) == _said(_silent(tmp_path, talk))


def test_a_node_that_says_nothing(tmp_path: Path) -> None:
    """No rule drops what comes in, and still nobody answers: that is this node's, and nobody can tell why."""
    talk = in_vain("10.244.0.1:9100", way="veth-a cni0")
    analysis = judged(tmp_path, talk, hook="input", rule="tcp dport 22 drop")

    assert ([], {"local": 1}) == (told_of(analysis), analysis.account.why_unknown)


@pytest.mark.parametrize(
    ("proto", "rule", "answer", "incident", "expected"),
    [
        ("tcp", "tcp dport 9100 counter drop", None, ("syn-vanished", "policy-drop"), "ruled"),
        ("tcp", "tcp dport 22 counter drop", None, None, "own-address"),
        (
            "tcp",
            "tcp dport 9100 counter reject with tcp reset",
            "RA",
            ("refused", "policy-reject"),
            "rejected",
        ),
        ("tcp", "tcp dport 9100 counter drop", "RA", None, "own-address"),
        ("tcp", "tcp dport 9100 counter drop", "SA", None, "seen-beyond"),
        ("udp", "udp dport 9100 counter drop", None, ("udp-vanished", "policy-drop"), "ruled"),
        ("udp", "udp dport 9100 counter drop", "answers", None, "seen-beyond"),
    ],
)
def test_one_packet_to_the_node_itself(
    proto: str, rule: str, answer: str | None, incident: tuple[str, str] | None, expected: str, tmp_path: Path
) -> None:
    """A rule of INPUT explains silence, or the RST that it sends; what was answered otherwise it did not drop."""
    talk = Conversation(pod="198.51.100.7:40000", server="192.0.2.10:9100", way="eth0", proto=proto)
    talk.syn(0) if proto == "tcp" else talk.send("", b"asks", at=0)
    if answer:
        talk.send(answer, b"answers" if proto == "udp" else b"", by_pod=False)
    analysis = judged(tmp_path, talk, hook="input", rule=rule)
    table = analysis.connections

    assert ([incident] if incident else []) == [(one.kind, one.cause) for one in analysis.incidents]
    assert [expected] == table["reason"][table["pod"].isna()].tolist()


@pytest.mark.parametrize(
    ("proto", "code", "sender", "expected"),
    [
        ("tcp", 3, "192.0.2.10", "refused-here"),
        ("udp", 3, "192.0.2.10", "own-address"),
        ("udp", 13, "192.0.2.10", "refused-here"),
        ("udp", 13, "192.0.2.1", "own-address"),
        ("udp", 4, "192.0.2.10", "own-address"),
        ("tcp", 4, "192.0.2.10", "own-address"),
    ],
)
def test_an_error_that_answers_for_the_node_itself(
    proto: str, code: int, sender: str, expected: str, tmp_path: Path
) -> None:
    """A closed port is a RST of TCP and `port unreachable` of UDP: any other error of the node's about it is a rule's."""
    talk = Conversation(pod="198.51.100.7:20000", server="192.0.2.10:9100", way="eth0", proto=proto)
    asks(talk, 0)
    transport = (TCP if proto == "tcp" else UDP)(sport=20000, dport=9100)
    error = (
        Ether(src=UPLINK, dst=GATEWAY)
        / IP(src=sender, dst="198.51.100.7")
        / ICMP(type=3, code=code)
        / IP(src="198.51.100.7", dst="192.0.2.10", id=1)
        / transport
    )
    told(tmp_path, **{"ip-addr": LINKS})
    folder = record(tmp_path, talk, known(), known("10.244.0.12", at=60), Frames([("eth0", 0.001, error)]))  # type: ignore[arg-type]

    assert [expected] == reasons(analyze(folder), "eth0", protocol=6 if proto == "tcp" else 17)


@pytest.mark.parametrize(
    ("proto", "code", "sender", "expected"),
    [
        ("udp", 3, "192.0.2.100", "own-address"),
        ("udp", 13, "192.0.2.100", "refused-here"),
        ("udp", 3, "10.244.0.1", "refused-here"),
        ("tcp", 3, "192.0.2.100", "refused-here"),
    ],
)
def test_an_error_in_the_name_of_who_was_asked(
    proto: str, code: int, sender: str, expected: str, tmp_path: Path
) -> None:
    """The node answers with the address that a pod asked: it is its own, and nobody listens; otherwise a rule refuses."""
    talk = asks(connection(proto=proto), 0, after="cni0")
    error = Frames().unreachable(talk, 0.001, code=code)
    for _, _, frame in error.heard:
        frame[IP].src = sender

    assert [expected] == reasons(judged(tmp_path, talk, error), protocol=6 if proto == "tcp" else 17)  # type: ignore[arg-type]


@pytest.mark.parametrize("hook", ["prerouting", "input"])
def test_what_left_passed_the_rules(hook: str, tmp_path: Path) -> None:
    """Nobody answers what the uplink saw leave: the rule that would drop it is of another time."""
    analysis = judged(
        tmp_path, in_vain("192.0.2.100:8080", after="eth0"), hook=hook, rule="tcp dport 8080 drop"
    )

    assert ([], 1) == (told_of(analysis), analysis.account.outside)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("tcp dport 80 reject", "refused-here"),
        ("tcp dport 80 drop", "refused"),
        ("tcp dport 81 reject", "refused"),
        (None, "refused"),
    ],
)
def test_an_error_while_the_uplink_was_not_recorded(rule: str | None, expected: str, tmp_path: Path) -> None:
    """Who sent it nobody saw: it is this node's where a rule rejects the packet for certain."""
    if rule:
        _rules(tmp_path, rule)
    talk = vanishing(connection(), 0)
    error = Frames().unreachable(talk, 0.001, code=13)
    for _, _, frame in error.heard:
        frame[IP].ttl = 60

    assert [expected] == reasons(_silent(tmp_path, talk, error))


def test_a_reset_that_was_turned_round(tmp_path: Path) -> None:
    """The endpoint of a service on the same bridge refused, whose RST has other ends there: it is not the node's."""
    talk = Conversation(
        pod="10.244.0.11:20000", server="10.96.0.1:80", dnat="10.244.0.12:80", way="veth-a cni0 | cni0 veth-b"
    )
    sent = talk.syn(0)
    sent.seen = sent.seen[:2]
    talk.send("RA", by_pod=False)
    folder = record(tmp_path, talk, bystander(-5), bystander(20), points=("veth-a", "veth-z", "cni0", "eth0"))

    assert ["answered-here"] == reasons(analyze(folder))


def test_a_reset_by_another_port_of_a_bond(tmp_path: Path) -> None:
    """That the port which was captured did not see it come in does not make it the node's: it came by the other one."""
    way = "veth-a cni0 | eth0 eth1"
    talk = connection(way=way)
    talk.syn(0).lost_after("eth0")
    talk.send("RA", by_pod=False).missed_at("eth1")
    around = (bystander(at, "veth-z cni0 | eth0 eth1") for at in (-5, -4, 20))
    analysis = analyze(record(tmp_path, talk, *around, names={"eth0": "bond0", "eth1": "eth0"}))

    assert ["answered-here"] == reasons(analysis, "bond0")


@pytest.mark.parametrize(
    ("times", "counter", "lost"),
    [
        ((0.1, 1, 70, 71), "counter packets 4 bytes 240", [4]),
        ((0.1, 1, 70, 71), "counter packets 3 bytes 180", [2]),
        ((0.1, 1, 70, 71), "counter packets 2 bytes 120", [2]),
        ((70,), "counter packets 1 bytes 60", [1]),
        ((70,), "", []),
    ],
)
def test_replies_that_a_rule_counted(
    times: tuple[float, ...], counter: str, lost: list[int], tmp_path: Path
) -> None:
    """SYN-ACKs that come when the bridge is no longer recorded: the rule's counter says whether it dropped these as well."""
    talk, later = connection(), Conversation(pod="192.0.2.10:41000", server="192.0.2.100:81", way="eth0")
    talk.syn(0)
    for at in times:
        talk.synack(at).lost_after("eth0")
    later.syn(90)
    later.accept()
    _rules(tmp_path, f"tcp sport 80 {counter} drop")
    analysis = analyze(record(tmp_path, talk, bystander(-5), bystander(40), later))

    assert [("reply-vanished", "policy-drop", ("cni0", "eth0"), n) for n in lost] == told_of(analysis)


def _answered_in_vain() -> Conversation:
    """The node asks a server, whose SYN-ACKs come to the node, and no further."""
    talk = Conversation(pod="192.0.2.10:41000", server="192.0.2.100:81", way="eth0", isn=9_000_000)
    for at in (0, 1):
        talk.syn(at)
        talk.synack(at + 0.1)
    return talk


@pytest.mark.parametrize(
    ("port", "expected"),
    [(81, [("reply-vanished", "policy-drop")]), (82, [])],
    ids=["dropped", "another port"],
)
def test_answers_to_the_node_itself(tmp_path: Path, port: int, expected: list[tuple[str, str]]) -> None:
    """A rule of INPUT drops what answers the node; where none does, nobody can tell who did not take it."""
    rule = f"tcp sport {port} counter packets 2 bytes 120 drop"
    analysis = judged(tmp_path, _answered_in_vain(), hook="input", rule=rule)

    assert expected == [(one.kind, one.cause) for one in analysis.incidents]
    assert (len(expected), 1 - len(expected)) == (analysis.account.node, analysis.account.unknown)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("udp sport 53 counter packets 2 bytes 120 drop", [("reply-vanished", "policy-drop", ("cni0", "eth0"), 2)]),
     ("udp sport 53 counter packets 0 bytes 0 drop", []),
     ("udp sport 54 counter packets 2 bytes 120 drop", [])],
    ids=["counted", "counted none", "another port"],
)  # fmt: skip
def test_lookups_of_the_node_itself(tmp_path: Path, rule: str, expected: list[object]) -> None:
    """Answers to the node that a rule drops, and counted, are lost, though the uplink shows them; no ACK would tell."""
    talk = Conversation(pod="192.0.2.10:41000", server="192.0.2.100:53", way="eth0", proto="udp")
    for at in (0, 1):
        talk.data(b"asks", at)
        talk.reply(b"told", at + 0.1)
    analysis = judged(tmp_path, talk, hook="input", rule=rule)

    assert expected == told_of(analysis)
    assert len(expected) == analysis.account.node


@pytest.mark.parametrize("hook", ["prerouting", "input"])
def test_answers_that_came_to_a_pod(tmp_path: Path, hook: str) -> None:
    """The near miss beside those: they are not for the node, and passed; that the pod does not take them is no rule's doing."""
    talk = Conversation(
        pod="10.244.0.11:42000", server="192.0.2.100:81", nat="192.0.2.10:42000", isn=8_000_000
    )
    for at in (0, 1):
        talk.syn(at)
        talk.synack(at + 0.1)
    rule = "tcp sport 81 counter packets 2 bytes 120 drop"
    analysis = judged(tmp_path, talk, _answered_in_vain(), hook=hook, rule=rule)

    assert [("reply-vanished", "policy-drop", ("cni0", "eth0"), 2)] == told_of(analysis)
    assert 1 == analysis.account.node


@pytest.mark.parametrize(
    ("hook", "rule", "expected"),
    [("prerouting", "ip daddr 10.244.0.50 counter drop", [("syn-vanished", "policy-drop", ("cni0", "eth0"), 2)]),
     ("prerouting", "ip daddr 10.244.0.51 counter drop", []),
     ("forward", "ip daddr 10.244.0.50 counter drop", [])],
)  # fmt: skip
def test_what_is_dropped_as_it_comes_in(tmp_path: Path, hook: str, rule: str, expected: list[object]) -> None:
    """What a rule drops before it is routed is lost wherever it was to go; what would be routed first may go elsewhere."""
    talk = Conversation(
        pod="198.51.100.7:40000", server="10.244.0.50:8080", way="eth0", nat="198.51.100.7:40000"
    )
    for at in (0, 1):
        talk.syn(at).lost_after("eth0")
    analysis = judged(tmp_path, talk, hook=hook, rule=rule)

    assert expected == told_of(analysis)
    assert not expected or "could not get into this node" in analysis.incidents[0].summary


def test_a_place_behind_a_silent_point(tmp_path: Path) -> None:
    """What was dropped while the bridge was not recorded may have been lost before it or behind it: no place is named."""
    rotated = ROOT / "fixtures" / "snat-race-rotated"
    shutil.copytree(rotated, tmp_path / "gone", ignore=shutil.ignore_patterns("cni0-20261130T012154*"))
    analysis = analyze(tmp_path / "gone")

    assert ((), 0, 24) == (analysis.incidents, analysis.account.outside, analysis.account.unknown)
    assert 242 == analysis.account.connections  # each is one, though the bridge's flows are missing between


ISOLATED = """table ip nat {{
	chain prerouting {{
		type nat hook prerouting priority dstnat; policy accept;
		{nat}
	}}
}}
table ip filter {{
	chain forward {{
		type filter hook forward priority filter; policy accept;
		{forward}
	}}
}}
"""
TWO_BRIDGES = """default via 192.0.2.1 dev eth0
10.244.0.0/24 dev cni0 proto kernel scope link src 10.244.0.1
172.18.0.0/24 dev br-two proto kernel scope link src 172.18.0.1
192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.10
"""


@pytest.mark.parametrize(
    ("nat", "forward", "dropped"),
    [
        ("tcp dport 8080 dnat to 172.18.0.12:80", 'iifname "cni0" oifname "br-two" drop', True),
        (
            "tcp dport 8080 dnat to numgen random mod 2 map { 0 : 172.18.0.12, 1 : 172.18.0.13 }",
            'oifname "br-two" drop',
            False,
        ),
        ("tcp dport 8080 dnat to 172.18.0.12:80", 'iifname "cni0" oifname "eth0" drop', False),
        ("tcp dport 8080 dnat to 192.0.2.10:80", 'iifname "cni0" drop', False),
        ("tcp dport 8080 redirect to :80", 'iifname "cni0" drop', False),
        ("tcp dport 8081 dnat to 172.18.0.12:80", 'iifname "cni0" oifname "br-two" drop', False),
    ],
)
def test_a_published_port_of_another_bridge(nat: str, forward: str, dropped: bool, tmp_path: Path) -> None:
    """What the node itself is asked for, and translates, leaves by the bridge of its target: rules for that bridge drop it."""
    rules = ISOLATED.format(nat=nat, forward=forward)
    analysis = judged(
        tmp_path,
        in_vain("192.0.2.10:8080", way="veth-a cni0"),
        **{"ip-route": TWO_BRIDGES, "nft-ruleset": rules},
    )

    assert [("syn-vanished", "policy-drop", ("cni0", "eth0"), 2)] * dropped == told_of(analysis)


def test_the_nodes_own_packets_on_a_bridge_with_the_uplink(tmp_path: Path) -> None:
    """What the node itself sends passes no FORWARD policy: that it got out says nothing against the policy."""
    told(
        tmp_path,
        **{
            "ip-addr": LINKS.replace("10.244.0.1/24", "192.0.2.11/24"),
            "iptables-save": "*filter\n:INPUT ACCEPT [9:900]\n:FORWARD DROP [2:120]\n:OUTPUT ACCEPT [9:900]\nCOMMIT\n",
        },
    )
    own = Conversation(pod="192.0.2.11:50000", server="198.51.100.9:443", way="cni0 eth0", isn=77_000)
    own.syn(3)
    own.accept()
    before = Conversation(
        pod="10.244.0.11:30000", server="198.51.100.77:443", nat="192.0.2.10:30000", isn=9_000_000
    )
    before.syn(-3)
    before.accept()
    lost = in_vain("192.0.2.100:80")
    analysis = analyze(record(tmp_path, before, lost, own))

    assert [("syn-vanished", "policy-drop", ("cni0", "eth0"), 2)] == told_of(analysis)
