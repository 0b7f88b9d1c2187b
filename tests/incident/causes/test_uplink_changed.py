"""Connections whose route moves to another uplink: told by the captures of both, by a RST that came past one, by the routes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from tests.conftest import FIXTURES, analysed
from tests.conversation import Conversation, bystander, record
from tests.incident.node import told

POD, SERVER, OLD, NEW = "10.244.0.11:46500", "203.0.113.7:80", "192.0.2.10:46500", "198.51.100.10:46500"
FIRST, SECOND = "veth-a cni0 | eth0", "veth-a cni0 | eth1"
MASQUERADE = """table ip nat {
\tchain postrouting {
\t\ttype nat hook postrouting priority srcnat; policy accept;
\t\toifname "eth0" masquerade
\t}
}
"""
ROUTE = '[{"dst":"default","gateway":"198.51.100.100","dev":"eth1","flags":[]}]'


def moved(*, nat: str = NEW, proto: str = "tcp", answer: str = "R") -> list[Conversation]:
    """A connection that leaves by eth0, loses one packet, and leaves by eth1."""
    talk = Conversation(pod=POD, server=SERVER, nat=OLD, way=FIRST, proto=proto)
    if proto == "tcp":
        talk.syn(0)
        talk.accept()
    talk.data(20)
    talk.reply(20)
    talk.data(30, at=1).lost_after("cni0")
    rest = Conversation(pod=POD, server=SERVER, nat=nat, way=SECOND, proto=proto)
    rest.send("PA", talk.sent[-1].payload, at=1.2, seq=talk.sent[-1].seq, ack=talk.sent[-1].ack)
    if answer:
        rest.send(answer, by_pod=False, seq=talk.sent[-1].ack, window=0, options=[])
    return [talk, rest]


def around() -> list[Conversation]:
    """Both uplinks were recording."""
    ends = {"pod": "10.244.0.77:30000", "nat": "198.51.100.10:30000"}
    others = [
        Conversation(**ends, server=f"203.0.113.9{n}:80", way=SECOND, isn=9_000_000 * n) for n in (1, 2)
    ]
    for other, at in zip(others, (-2, 30), strict=True):
        other.syn(at)
        other.accept()
    return [bystander(-3), bystander(31), *others]


def judged(folder: Path, *talks: Conversation) -> Analysis:
    """Analyse these beside others."""
    return analyze(record(folder, *talks, *around()))


def named(analysis: Analysis) -> list[tuple[str, str, str]]:
    """Kind, cause and confidence of every incident."""
    return [(i.kind, i.cause, i.confidence) for i in analysis.incidents]


def test_as_the_kernel_does_it() -> None:
    """Each connection that was open is told, with the packet that was dropped and the RST, and nothing else."""
    analysis = analysed("uplink-changed")
    (incident,) = analysis.incidents

    assert [("misdelivered", "uplink-changed", "proven")] == named(analysis)
    assert 3 == (analysis.connections.outcome == "reset").sum() == analysis.account.node
    assert [3] * 3 == [len(finding.evidence) for finding in incident.findings]
    assert [["leaves by eth1"]] * 3 == [
        [one.note for one in finding.passages if one.role == "offender"] for finding in incident.findings
    ]
    assert "1 packet before it left by neither" in incident.findings[0].evidence[1].says
    assert {"192.0.2.10", "198.51.100.10"} == {
        str(incident.findings[0].facts[which]).partition(":")[0] for which in ("old", "new")
    }


@pytest.mark.parametrize("routes", [True, False])
def test_the_other_uplink_was_not_captured(routes: bool, tmp_path: Path) -> None:
    """The RST that came in past eth0 says that what it answers left past it; only the first copy is lost."""
    shutil.copytree(FIXTURES / "uplink-changed", tmp_path, dirs_exist_ok=True)
    for name in ["eth1.pcap", "tcpdump-eth1.log", "manifest-eth1.json", "case.toml"]:
        (tmp_path / name).unlink()
    if not routes:
        shutil.rmtree(tmp_path / "before")
        shutil.rmtree(tmp_path / "after")
    analysis = analyze(tmp_path)

    assert [("data-vanished", "uplink-changed", "likely")] == named(analysis)
    assert [1] * 3 == [finding.facts["packets"] for finding in analysis.incidents[0].findings]


def test_udp(tmp_path: Path) -> None:
    """The datagram between is the kernel's drop: proven where the rules masquerade."""
    (tmp_path / "one").mkdir()
    assert [("udp-vanished", "uplink-changed", "likely")] == named(
        judged(tmp_path / "one", *moved(proto="udp"))
    )
    told(tmp_path / "two", nft=MASQUERADE)
    assert [("udp-vanished", "uplink-changed", "proven")] == named(
        judged(tmp_path / "two", *moved(proto="udp"))
    )


def test_the_first_that_left_by_the_other(tmp_path: Path) -> None:
    """Nothing else was seen there before it."""
    talks = [*moved(), *around()[:2], around()[-1]]

    assert [("misdelivered", "uplink-changed", "proven")] == named(analyze(record(tmp_path, *talks)))


def test_the_routes_lead_elsewhere(tmp_path: Path) -> None:
    """Nobody answers what is sent again, and the routes name an uplink that was not captured; without them nothing tells."""
    talk, _ = moved()
    talk.send("PA", talk.sent[-1].payload, at=1.2, seq=talk.sent[-1].seq).lost_after("cni0")

    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "ip-route.json").write_text(ROUTE)
    some = [talk, bystander(-3), bystander(31)]
    assert [("data-vanished", "uplink-changed", "likely")] == named(analyze(record(tmp_path / "one", *some)))
    # That the server acknowledged the rest once more, and the uplink missed it, is no RST.
    talk.send("A", by_pod=False, at=1.3, seq=talk.sent[-1].ack, ack=talk.sent[-1].seq).missed_at("eth0")
    (tmp_path / "two").mkdir()
    assert [("data-vanished", "unknown", "likely")] == named(analyze(record(tmp_path / "two", *some)))


def closing() -> list[Conversation]:
    """A connection whose last ACK leaves by the other uplink."""
    talk = Conversation(pod=POD, server=SERVER, nat=OLD, way=FIRST)
    talk.syn(0)
    talk.accept()
    talk.data(20)
    talk.send("FA")
    talk.send("FA", by_pod=False)
    rest = Conversation(pod=POD, server=SERVER, nat=NEW, way=SECOND)
    rest.send("A", at=1, seq=talk.sent[-1].ack, ack=talk.sent[-1].seq + 1)
    rest.send("R", by_pod=False, seq=talk.sent[-1].seq + 1, window=0, options=[])
    return [talk, rest]


@pytest.mark.parametrize(
    "talks",
    [
        moved(nat=OLD),
        moved(answer="A"),
        closing(),
    ],
    ids=["the same address by both uplinks", "the server goes on answering", "it was over"],
)
def test_not_broken(talks: list[Conversation], tmp_path: Path) -> None:
    """A connection that keeps its address, or is answered with the new one, does not break by its move."""
    assert "uplink-changed" not in [cause for _, cause, _ in named(judged(tmp_path, *talks))]
