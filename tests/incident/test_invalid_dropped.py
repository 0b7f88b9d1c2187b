"""INVALID packets that nobody answered: told by the replay, unless counters or captures contradict it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from analyzer.incident.model import Finding
from tests.conversation import Conversation, Sent, bystander, record
from tests.incident.evidence import causes, counters, findings
from tests.incident.replies import CLASSIC, MODERN, OFFENDERS, early_ack, established, kernel, late_ack


def analysed(
    folder: Path, *talks: Conversation, release: str = CLASSIC, **options: dict[str, float]
) -> Analysis:
    """Analyse these conversations on a kernel."""
    kernel(folder, release)
    return analyze(record(folder, *talks, bystander(-1), bystander(5), **options))


def dropped(offend: Callable[[Conversation], Sent] = early_ack) -> Conversation:
    """A connection with a reply that only the uplink saw, and that goes on."""
    talk = established()
    offend(talk).only_at("eth0")
    talk.data(50)
    talk.reply(50)
    return talk


def told(analysis: Analysis) -> list[tuple[str, str, str]]:
    """Kind, cause and confidence of every finding."""
    return [(finding.kind, finding.cause, finding.confidence) for finding in findings(analysis)]


@pytest.mark.parametrize("test", OFFENDERS)
def test_every_test_of_the_window(test: str, tmp_path: Path) -> None:
    """On the uplink, not inside, no RST: the replay names the test."""
    counters(tmp_path, invalid=1)
    analysis = analysed(tmp_path, dropped(OFFENDERS[test]))
    (finding,) = findings(analysis)
    (offender,) = finding.facts["offenders"]

    assert [("invalid-dropped", test, "proven")] == told(analysis)
    assert ("cni0", "eth0") == finding.gap
    assert offender["short_by"] > 0
    assert {"invalid-reset", "packet missed by the capture"} == {e.cause for e in finding.excluded}
    assert any("invalid rose by 1" in e.says for e in finding.evidence)
    assert ["eth0"] == [s.point for p in finding.passages if p.role == "offender" for s in p.sightings]
    assert (1, 0) == (analysis.counts.invalid_packets, analysis.counts.host_resets)


def test_without_counters_it_is_likely(tmp_path: Path) -> None:
    """The kernel's rules say so, the kernel itself does not."""
    assert [("invalid-dropped", "ack-over-upper-bound", "likely")] == told(analysed(tmp_path, dropped()))


def test_several_of_one_connection(tmp_path: Path) -> None:
    """One finding, with each offender."""
    counters(tmp_path, invalid=3)
    talk = established()
    for _ in range(3):
        early_ack(talk).only_at("eth0")
        talk.data(50)
    (finding,) = findings(analysed(tmp_path, talk))

    assert 3 == len(finding.facts["offenders"])
    assert 3 == sum(p.role == "offender" for p in finding.passages)


def test_a_reset_of_the_server_outside_the_window(tmp_path: Path) -> None:
    """The host answers no RST, whatever conntrack thinks of it."""
    counters(tmp_path, invalid=1)
    talk = established()
    talk.send("R", by_pod=False, seq=talk.server_isn + 900_000).only_at("eth0")
    talk.data(50)

    assert [("invalid-dropped", "seq-over-upper-bound", "proven")] == told(analysed(tmp_path, talk))


def test_an_answered_one_is_told_elsewhere(tmp_path: Path) -> None:
    """With the host's RST it is `invalid-reset`, and counted once."""
    talk = established()
    talk.reset_by_host(early_ack(talk))
    analysis = analysed(tmp_path, talk)

    assert ["invalid-reset"] == [finding.kind for finding in findings(analysis)]
    assert 1 == analysis.counts.invalid_packets


def _seen_inside(talk: Conversation) -> None:
    early_ack(talk)


def _valid(talk: Conversation) -> None:
    talk.data(1000)
    talk.send("A", by_pod=False).only_at("eth0")
    talk.data(50)


def _valid_data(talk: Conversation) -> None:
    talk.reply(300).only_at("eth0")
    talk.send("A")


def _own_data_missed_everywhere(talk: Conversation) -> None:
    talk.data(500_000 - 101).only_at()
    early_ack(talk).only_at("eth0")
    talk.data(50)


@pytest.mark.parametrize("miss", [_seen_inside, _valid, _valid_data, _own_data_missed_everywhere])
def test_near_misses(miss: Callable[[Conversation], None], tmp_path: Path) -> None:
    """The inside saw it; or the window allows it and a capture missed it; or what it acknowledges was sent unseen."""
    talk = established()
    miss(talk)

    assert () == analysed(tmp_path, talk).incidents


def test_a_late_ack_on_a_newer_kernel(tmp_path: Path) -> None:
    """It is ignored and passed on there: that it is not inside is the capture's fault."""
    assert () == analysed(tmp_path, dropped(late_ack), release=MODERN).incidents


def test_a_liberal_kernel(tmp_path: Path) -> None:
    """Nothing is INVALID for its window where nobody looks at it."""
    (tmp_path / "sysctl.txt").write_text("net.netfilter.nf_conntrack_tcp_be_liberal = 1\n")

    assert () == analysed(tmp_path, dropped()).incidents


def test_the_kernel_counted_none(tmp_path: Path) -> None:
    """The replay may be wrong; `invalid` is not."""
    counters(tmp_path)

    assert () == analysed(tmp_path, dropped()).incidents


@pytest.mark.parametrize("point", ["cni0", "eth0"])
@pytest.mark.parametrize("counted", [0, 1])
def test_captures_that_lost_packets(point: str, counted: int, tmp_path: Path) -> None:
    """What a capture lost is missing from the replay, too: only the kernel's count tells then."""
    kernel(tmp_path, CLASSIC)
    (tmp_path / f"tcpdump-{point}.log").write_text(
        f"tcpdump: listening on {point}, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n"
        "90 packets captured\n120 packets received by filter\n30 packets dropped by kernel\n"
    )
    if counted:
        counters(tmp_path, invalid=1)

    assert counted == len(causes(analysed(tmp_path, dropped())))


def test_captured_from_the_middle(tmp_path: Path) -> None:
    """What was sent before is not known: no window verdict is certain."""
    talk = established()
    for at in (1.0, 1.1, 1.2):
        talk.data(100, at)
        talk.reply(100)
    early_ack(talk).only_at("eth0")
    talk.data(50)

    assert () == analysed(tmp_path, talk, begin=dict.fromkeys(("veth-a", "cni0", "eth0"), 0.9)).incidents


@pytest.mark.parametrize("edge", ["begin", "end"])
def test_the_inside_was_not_recording(edge: str, tmp_path: Path) -> None:
    """The captures on the node's inside began later, or ended earlier."""
    at = {"begin": 0.5, "end": 0.003}[edge]
    analysis = analysed(tmp_path, dropped(), **{edge: {"veth-a": at, "veth-z": at, "cni0": at}})

    assert [] == [f for f in findings(analysis) if f.kind == "invalid-dropped"]


def test_a_connection_that_leaves_untranslated(tmp_path: Path) -> None:
    """Conntrack judges it all the same, and a rule drops what is INVALID."""
    counters(tmp_path, invalid=1)
    talk = dropped()
    talk.nat = None
    (finding,) = findings(analysed(tmp_path, talk))

    assert finding.inner == finding.outer
    assert isinstance(finding, Finding)
    assert "ack-over-upper-bound" == finding.cause
