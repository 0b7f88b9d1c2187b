"""What a capture may have overlooked is not called lost: it lost packets itself, or a filter hid them."""

from __future__ import annotations

import shutil
from pathlib import Path
from socket import inet_aton

import dpkt
import pytest

from analyzer import Analysis, analyze
from tests.conftest import ROOT
from tests.connection.reasons import reasons
from tests.conversation import Conversation, bystander, record
from tests.incident.evidence import connection, counters, vanishing, whole
from tests.incident.node import told
from tests.incident.test_deciding import RULES, in_vain, judged, told_of


def test_a_filter_on_one_port(tmp_path: Path) -> None:
    """An uplink that has one service's packets only, rules that accept, no drop counted: not a loss."""
    counters(tmp_path)
    told(tmp_path, **{"nft-ruleset": RULES.format(hook="forward", rule="tcp dport 81 drop")})
    analysis = analyze(record(tmp_path, bystander(-5), vanishing(connection(), 0, 1, 3), bystander(40)))

    assert [] == told_of(analysis)
    assert {"filtered": 1} == analysis.account.why_unknown


def _missing_reply(folder: Path, dropped: int) -> Analysis:
    """The second of three answers never shows inside; tcpdump says how many packets it lost there."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:53", proto="udp", nat="192.0.2.10:20000")
    for at in (0, 1, 2):
        talk.send("", b"asks %d" % at, at=at)
        answer = talk.send("", b"answers %d" % at, by_pod=False, at=at + 0.1)
        if at == 1:
            answer.lost_after("eth0")
    counters(folder)
    log = "tcpdump: listening on cni0, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n"
    log += f"9 packets captured\n12 packets received by filter\n{dropped} packets dropped by kernel\n"
    (folder / "tcpdump-cni0.log").write_text(log)
    return judged(folder, talk, rule="tcp dport 9 drop")


def test_a_capture_that_lost_packets(tmp_path: Path) -> None:
    """Nothing but the capture at cni0 speaks for a loss, and it lost packets."""
    assert [] == told_of(_missing_reply(tmp_path, dropped=3))


def test_a_capture_that_lost_nothing(tmp_path: Path) -> None:
    """Near miss: then the answer is lost."""
    assert [("reply-vanished", "unknown", ("cni0", "eth0"), 1)] == told_of(
        _missing_reply(tmp_path, dropped=0)
    )


@pytest.mark.parametrize(("more", "lost"), [(0, 3), (2, 3), (3, 0)])
def test_a_file_that_lacks_packets(more: int, lost: int, tmp_path: Path) -> None:
    """Its tcpdump captured more than is there, as many as seem lost: somebody took a whole flow out, and nothing is proven."""
    record(tmp_path, bystander(-5), vanishing(connection(), 0, 1, 3), bystander(40))
    (tmp_path / "tcpdump-eth0.log").write_text(
        "tcpdump: listening on eth0, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n"
        f"{6 + more} packets captured\n9 packets received by filter\n0 packets dropped by kernel\n"
    )
    analysis = analyze(tmp_path)

    assert lost == sum(count for *_, count in told_of(analysis))
    assert ({} if lost else {"capture-dropped": 1}) == analysis.account.why_unknown


ROUTES = """default via 192.0.2.1 dev eth0
default via 198.51.100.1 dev eth1 table 100
"""


@pytest.mark.parametrize(
    ("rule", "captured", "expected"),
    [
        ("from 10.244.0.11 lookup 100", False, "not-captured"),
        ("from 10.244.0.99 lookup 100", False, "lost"),
        ("from all fwmark 0x1 lookup 100", False, "way-unknown"),
        ("from 10.244.0.11 lookup 100", True, "lost"),
        ("from 10.244.0.11 lookup 100", None, "lost"),
    ],
    ids=["elsewhere", "another pod", "by a mark", "to another uplink", "though main leads past it"],
)
def test_a_rule_of_the_routing(rule: str, captured: bool | None, expected: str, tmp_path: Path) -> None:
    """A pod's packets that a rule sends by eth1 are not missed at eth0, though others to the address left there."""
    told(
        tmp_path,
        **{
            "ip-rule": f"0:\tfrom all lookup local\n100:\t{rule}\n32766:\tfrom all lookup main\n",
            "ip-route": ROUTES.replace("eth0", "eth0" if captured is not None else "eth9")
            + "10.9.0.0/16 dev eth0\n",
        },
    )
    other = whole(connection(1), -2)
    more = [bystander(at, "veth-y cni0 | eth1") for at in (-6, 41)] if captured is not False else []
    lost = vanishing(connection(), 0, 1, 3)
    analysis = analyze(record(tmp_path, bystander(-5), other, lost, bystander(40), *more))

    assert [expected] * 3 == reasons(analysis)
    assert ([("cni0", "eth0" if captured is False else "eth1")] if expected == "lost" else []) == [
        incident.gap for incident in analysis.incidents
    ]


STOPS = """table inet filter {
	chain post {
		type filter hook postrouting priority 0; policy accept;
		oifname "eth1" tcp dport 80 counter packets 3 bytes 180 drop
	}
}
"""


@pytest.mark.parametrize("again", [False, True])
def test_of_several_next_hops_the_one_where_a_rule_drops(again: bool, tmp_path: Path) -> None:
    """Two uplinks share what leaves; the loss is where a rule drops it for certain, though a later attempt left by the other."""
    told(
        tmp_path,
        **{
            "nft-ruleset": STOPS,
            "ip-rule": "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n",
            "ip-route": "default \n\tnexthop via 192.0.2.1 dev eth0 weight 1\n\tnexthop via 198.51.100.1 dev eth1 weight 1\n",
        },
    )
    more = [bystander(at, "veth-y cni0 | eth1") for at in (-6, 41)]
    lost = vanishing(connection(), 0, 1, 3)
    if again:
        whole(lost, 7)
    analysis = analyze(record(tmp_path, bystander(-5), lost, bystander(40), *more))

    assert [("policy-drop", ("cni0", "eth1"))] == [(one.cause, one.gap) for one in analysis.incidents]


def test_a_filter_on_one_protocol(tmp_path: Path) -> None:
    """An uplink that has TCP only, rules that accept, no drop counted: what is missing of UDP is no loss."""
    counters(tmp_path)
    told(tmp_path, **{"nft-ruleset": RULES.format(hook="forward", rule="tcp dport 81 drop")})
    asked = vanishing(connection(proto="udp", server="192.0.2.100:80"), 0, 1, 3)
    analysis = analyze(record(tmp_path, bystander(-5), asked, bystander(40)))

    assert [] == told_of(analysis)
    assert {"filtered": 1} == analysis.account.why_unknown


@pytest.mark.parametrize(
    ("hidden", "crossed", "expected"),
    [(False, False, "lost"), (True, False, "way-unknown"), (True, True, "filtered")],
    ids=["nothing hidden", "another way", "a filter"],
)
def test_without_a_bridge(hidden: bool, crossed: bool, expected: str, tmp_path: Path) -> None:
    """What another pod's answers, at its own interface, show of the uplink holds for this pod's packets as well."""
    other = whole(connection(1, way="veth-b | eth0", server="192.0.2.201:443"), -2)
    for sent in other.sent if hidden else ():
        sent.missed_at("eth0")
    lost = vanishing(connection(way="veth-a | eth0", server="192.0.2.201:80"), 0, 1, 3, after="veth-a")
    around = [
        whole(
            connection(n, way=f"veth-{pod} | eth0", pod=f"10.244.0.{11 + n}:{at}", nat=f"192.0.2.10:{at + n}", isn=at),
            at - 30_010,
        )
        for n, pod in enumerate("ab")
        for at in (30_000, 30_050)
    ]  # fmt: skip
    more = [whole(connection(2, way="veth-c | eth0", server="192.0.2.201:22"), -1)] if crossed else []
    analysis = analyze(record(tmp_path, other, lost, *around, *more))

    assert [expected] * 3 == reasons(analysis, "veth-a")


@pytest.mark.parametrize(
    ("hook", "rule", "expected"),
    [
        ("forward", "tcp dport 80 drop", ("policy-drop", ("cni0", "eth0"))),
        ("prerouting", "tcp dport 80 drop", ("policy-drop", ("veth-a", "cni0"))),
        ("forward", "tcp dport 81 drop", ("unknown", ("veth-a", "cni0"))),
    ],
)
def test_behind_a_bridge(hook: str, rule: str, expected: tuple[str, tuple[str, str]], tmp_path: Path) -> None:
    """What the bridge's capture does not have is lost where a rule drops it for certain; without one before the bridge."""
    analysis = judged(tmp_path, in_vain("192.0.2.100:80", after="veth-a"), hook=hook, rule=rule)

    assert [("syn-vanished", *expected, 2)] == told_of(analysis)


@pytest.mark.parametrize(("through", "gap"), [([], ("cni0", "eth0")), ([1.5], ("veth-a", "cni0"))])
def test_one_attempt_before_and_one_behind_a_bridge(
    through: list[float], gap: tuple[str, str], tmp_path: Path
) -> None:
    """In a total outage the bridge's capture overlooked the first attempt; where it has all that got through, it did not."""
    lost = vanishing(connection(), 0, after="veth-a")
    vanishing(lost, 1)
    others = [whole(connection(n), at) for n, at in enumerate(through, 1)]
    in_vain = [vanishing(connection(n), at, after="eth0") for n, at in ((8, -1), (9, 9))]
    analysis = analyze(record(tmp_path, lost, *others, *in_vain))

    assert [("syn-vanished", "unknown", gap, 2)] == told_of(analysis)


@pytest.mark.parametrize("host", ["10.244.0.11", "192.0.2.100"])
@pytest.mark.parametrize("fixture", ["policy-drop", "policy-reject", "next-hop"])
def test_a_bridge_recorded_without_one_host(fixture: str, host: str, tmp_path: Path) -> None:
    """The node's records, rules and refusals still tell that its packets died behind the bridge."""
    folder = Path(shutil.copytree(ROOT / "fixtures" / fixture, tmp_path / fixture))
    with (folder / "cni0.pcap").open("rb") as file:
        reader = dpkt.pcap.Reader(file)
        frames = [(at, frame) for at, frame in reader if inet_aton(host) not in frame]
    with (folder / "cni0.pcap").open("wb") as file:
        dpkt.pcap.Writer(file, nano=True).writepkts(frames)

    assert {("cni0", "eth0")} == {incident.gap for incident in analyze(folder).incidents}
