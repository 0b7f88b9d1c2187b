"""Losses that no cause explains say what is known."""

from __future__ import annotations

from pathlib import Path

from analyzer import Analysis, analyze
from tests.conversation import Conversation, bystander, record
from tests.incident.causes.test_snat_port_race import counters, loser


def lonely(folder: Path) -> Analysis:
    """One lost SYN, without a partner."""
    return analyze(record(folder, loser(), bystander(-2), bystander(0.5), bystander(5)))


def test_what_is_known(tmp_path: Path) -> None:
    """How many attempts vanished, what else passed, what is ruled out."""
    (incident,) = lonely(tmp_path).incidents
    (finding,) = incident.findings

    assert ("unknown", "likely") == (finding.cause, finding.confidence)
    assert {"attempts": 2, "others_passed_within_1s": 1} == {
        name: finding.facts[name] for name in ("attempts", "others_passed_within_1s")
    }
    assert "1 of 2 attempts vanished between cni0 and eth0" in finding.evidence[0].says
    assert [
        ("lost outside the node", "the packet never got to eth0"),
        ("packet missed by the capture", "no answer came; eth0 was recording before and after"),
    ] == [(e.cause, e.because) for e in finding.excluded]
    assert "the captures do not show which step" in incident.summary
    assert incident.remedies


def test_counters_are_told(tmp_path: Path) -> None:
    """What rose is evidence, and so is that nothing rose."""
    quiet, loud = tmp_path / "quiet", tmp_path / "loud"
    for folder in (quiet, loud):
        folder.mkdir()
    counters(quiet)
    counters(loud, insert_failed=7, drop=7)

    said = [
        " ".join(e.says for e in lonely(folder).incidents[0].findings[0].evidence) for folder in (quiet, loud)
    ]
    assert "neither drop nor insert_failed rose: conntrack dropped nothing" in said[0]
    assert "insert_failed rose by 7" in said[1]
    assert "drop rose by 7" in said[1]


def test_counters_of_the_gap_are_told(tmp_path: Path) -> None:
    """Of counters of lost packets those count that rose, of the node and the gap's interfaces; that none rose is told as well."""
    told = []
    for name, late, elsewhere, device in (
        ("rose", "00000005", 0, "wlan0"),
        ("none", "00000000", 9, "wlan0"),
        ("inner", "00000000", 9, "cni0"),
        ("outer", "00000000", 9, "eth0"),
    ):
        folder = tmp_path / name
        folder.mkdir()
        rest = "00000000 " * 9
        (folder / "softnet-1.txt").write_text(f"00003603 00000000 {rest}\n")
        (folder / "softnet-2.txt").write_text(f"00003703 {late} {rest}\n")
        for when, value in (("1", 0), ("2", elsewhere)):
            (folder / f"ethtool-{when}.txt").write_text(
                f"$ ethtool -S {device}\nNIC statistics:\n     rx_queue_0_drops: {value}\n     rx_packets: {when}\n"
            )
        told.append([e.says for e in lonely(folder).incidents[0].findings[0].evidence])

    assert "dropped rose by 5" in told[0]
    assert "no counter of lost packets of the node rose" in told[1]
    assert [0, 0, 1, 1] == [sum("drops" in says for says in each) for each in told]


def test_inwards(tmp_path: Path) -> None:
    """A connection from outside that the bridge never saw."""
    talk = Conversation(pod="10.244.0.11:80", server="198.51.100.7:40000", nat="192.0.2.10:30080")
    talk.send("S", by_pod=False, at=0, seq=50).lost_after("eth0")
    talk.send("S", by_pod=False, at=1, seq=50)
    talk.send("SA", ack=51)
    (incident,) = analyze(record(tmp_path, talk, bystander(-2), bystander(5))).incidents

    assert ("unknown", ("cni0", "eth0")) == (incident.cause, incident.gap)
    assert "no answer came; cni0 was recording before and after" == incident.findings[0].excluded[-1].because
    assert [False] == list({p.outward for p in incident.findings[0].passages if p.role == "attempt"})


def test_counters_of_several_files_are_told(tmp_path: Path) -> None:
    """Two files of one moment have different counters: each counter is compared with itself."""
    for moment, count in (("before", 0), ("after", 4)):
        (tmp_path / f"netstat-{moment}.txt").write_text(
            f"IpExt: InNoRoutes InTruncatedPkts InMcastPkts\nIpExt: {count} 0 0\n"
        )
        (tmp_path / f"snmp6-{moment}.txt").write_text("Ip6InReceives 5\nIp6InNoRoutes 0\nIp6OutRequests 7\n")
    said = [e.says for e in lonely(tmp_path).incidents[0].findings[0].evidence]

    assert "IpExtInNoRoutes rose by 4" in said
