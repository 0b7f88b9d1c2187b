"""INVALID replies and the host's RST: the test that failed, by how much, on which kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from analyzer.incident.model import Finding
from tests.conversation import Conversation, bystander, record
from tests.incident.evidence import counters
from tests.incident.replies import (
    CLASSIC,
    MODERN,
    NAT,
    OFFENDERS,
    POD,
    SERVER,
    early_ack,
    established,
    kernel,
    late_ack,
)


def analysed(folder: Path, *talks: Conversation, release: str = CLASSIC) -> Analysis:
    """Analyse these conversations on a kernel."""
    kernel(folder, release)
    return analyze(record(folder, *talks, bystander(-1), bystander(5)))


def only(analysis: Analysis) -> Finding:
    """The only finding."""
    (incident,) = analysis.incidents
    (finding,) = incident.findings
    return finding


@pytest.mark.parametrize("release", [CLASSIC, MODERN])
@pytest.mark.parametrize("test", OFFENDERS)
def test_every_test_of_the_window(test: str, release: str, tmp_path: Path) -> None:
    """The replay names the test that the reply failed; everything about the connection is told.

    Of a modern release, those are the rules that explain the RST: it ignores what is old.
    """
    talk = established()
    offender = OFFENDERS[test](talk)
    talk.reset_by_host(offender)
    analysis = analysed(tmp_path, talk, release=release)
    finding = only(analysis)
    (detail,) = finding.facts["offenders"]
    (evidence,) = finding.evidence
    old = release == CLASSIC or "under" in test

    assert ("5.10" if old else "6.1") == finding.facts["generation"]
    assert f"with ack {offender.ack} was seen on eth0, never on cni0: " in evidence.says
    assert evidence.says.endswith(f"; 40 µs later the host sent a RST with seq {offender.ack}")
    assert [(offender.ack, offender.ack, 0, 0, False, "invalid")] == [
        (one.seq, one.end, one.ack, one.window, one.reply, one.verdict)
        for one in finding.window
        if one.flags == "R"
    ]

    assert ("invalid-reset", test, "proven", ("cni0", "eth0")) == (
        finding.kind,
        finding.cause,
        finding.confidence,
        finding.gap,
    )
    assert (f"{POD} > {SERVER}/tcp", f"{NAT} > {SERVER}/tcp") == (finding.inner, finding.outer)
    assert (offender.ack, offender.seq, offender.ack) == (detail["ack"], detail["seq"], detail["rst_seq"])
    assert detail["short_by"] > 0
    assert {"offender": ["eth0"], "host-reset": ["eth0"]} == {
        p.role: [s.point for s in p.sightings]
        for p in finding.passages
        if p.role in ("offender", "host-reset")
    }
    assert [
        (f"INVALID, {detail['short_by']:,} bytes beyond the bound", "vanished", finding.gap, False),
        ("sent by the host itself", "passed", None, True),
    ] == [(p.note, p.fate, p.gap, p.outward) for p in finding.passages if p.role != "context"]
    assert {("", "passed", None)} == {
        (p.note, p.fate, p.gap) for p in finding.passages if p.role == "context"
    }
    assert [(test, detail["bound"], detail["short_by"])] == [
        (one.test, one.bound, one.short_by) for one in finding.window if one.verdict == "invalid" and one.test
    ]
    assert [(sent.flags, sent.seq, not sent.outward) for sent in talk.sent] == [
        (one.flags, one.seq, one.reply) for one in finding.window
    ]
    assert f"eth0.pcap frames {detail['frame']} and {detail['rst_frame']}" == evidence.source
    assert (1, 1) == (analysis.counts.invalid_packets, analysis.counts.host_resets)
    assert {"reset by the server", "reset by the container", "closed port"} <= {
        e.cause for e in finding.excluded
    }


def test_lower_bound_to_the_byte(tmp_path: Path) -> None:
    """What the pod has sent, less the largest window that the server advertised, at least 66,000 bytes."""
    talk = established()
    offender = late_ack(talk)
    talk.reset_by_host(offender)
    finding = only(analysed(tmp_path, talk))
    sent = talk.isn + 101 + 300_000

    assert sent - 66_000 - 1 - offender.ack == pytest.approx(finding.facts["short_by"], abs=1)


def test_modern_kernels_pass_a_late_ack_on(tmp_path: Path) -> None:
    """Where no RST follows and the ACK is seen inside, there is nothing to tell."""
    talk = established()
    late_ack(talk)

    assert () == analysed(tmp_path, talk, release=MODERN).incidents


def test_captures_decide_over_uname(tmp_path: Path) -> None:
    """A late ACK that a modern release would have ignored was reset all the same: the older rules are named."""
    talk = established()
    talk.reset_by_host(late_ack(talk))
    finding = only(analysed(tmp_path, talk, release=MODERN))

    assert "ack-under-lower-bound" == finding.cause
    assert "rules of the named kernel" in {exclusion.cause for exclusion in finding.excluded}


def test_captures_from_the_middle(tmp_path: Path) -> None:
    """Without the handshake the replay picks the connection up and still names the test."""
    talk = established()
    talk.reset_by_host(late_ack(talk))
    talk.sent = talk.sent[5:]
    finding = only(analysed(tmp_path, talk))

    assert "ack-under-lower-bound" == finding.cause
    assert finding.facts["whole_connection"] is False


def test_no_test_fails(tmp_path: Path) -> None:
    """The near miss: the host reset it, but by the rules the reply was fine. The cause is unknown."""
    talk = established()
    talk.reset_by_host(talk.reply(100))
    finding = only(analysed(tmp_path, talk))

    assert ("invalid-reset", "unknown", "likely") == (finding.kind, finding.cause, finding.confidence)


def test_two_connections(tmp_path: Path) -> None:
    """One finding for each connection, one incident for what belongs together."""
    talks = []
    for n in (1, 2):
        talk = Conversation(
            pod=f"10.244.0.11:2000{n}", server=SERVER, nat=f"192.0.2.10:102{n}", isn=n * 7_777_777
        )
        talk.syn(n)
        talk.accept()
        talk.data(10)
        for _ in range(2):
            talk.reset_by_host(early_ack(talk))
        talks.append(talk)
    (incident,) = analysed(tmp_path, *talks).incidents

    assert [2, 2] == [len(finding.facts["offenders"]) for finding in incident.findings]
    assert [talk.sent[4].time for talk in talks] == [
        pytest.approx(one.time, abs=20_000) for one in incident.findings
    ]
    assert "reset 2 connections" in incident.summary
    assert "4 replies" in incident.summary


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (lambda talk: None, "nothing more came from the server"),
        (lambda talk: talk.reply(10), "the server ignored it and went on"),
        (
            lambda talk: talk.send("FA", by_pod=False),
            "the server ignored it; the connection ended with a FIN",
        ),
        (lambda talk: talk.send("R", by_pod=False), "the server reset the connection 0.990 ms later"),
    ],
)
def test_aftermath(after: object, expected: str, tmp_path: Path) -> None:
    """What the server did next."""
    talk = established()
    talk.reset_by_host(early_ack(talk))
    after(talk)  # type: ignore[operator]
    for _ in range(9):
        talk.data()
    finding = only(analysed(tmp_path, talk))

    assert ("ack-over-upper-bound", expected) == (finding.cause, finding.facts["aftermath"])
    assert ("reset" in expected) == ("the server's answer to it" in [p.note for p in finding.passages])


def test_what_is_drawn(tmp_path: Path) -> None:
    """Forty packets before the first offender and twenty-four from there on, with its RST; eight each way as a ladder."""
    talk = established()
    for _ in range(50):
        talk.reply(1)
    offender = early_ack(talk)
    talk.reset_by_host(offender)
    for _ in range(30):
        talk.data(1)
    finding = only(analysed(tmp_path, talk))
    (at,) = [n for n, one in enumerate(finding.window) if one.verdict == "invalid" and one.flags == "A"]

    assert (40, 40 + 24 + 1) == (at, len(finding.window))
    assert len(talk.sent) - 1 - 40 - 24 == finding.omitted
    assert 8 + 8 + 1 == len(finding.passages)
    assert offender.time == pytest.approx(finding.time, abs=20_000)


@pytest.mark.parametrize("lacking", ["nothing", "all but SYNs", "what came before"])
def test_a_reset_that_a_router_had(lacking: str, tmp_path: Path) -> None:
    """Where a filter, or a capture that loses packets, may have kept it from the bridge, it may be the pod's own."""
    talk = established()
    talk.reset_by_host(early_ack(talk))
    others = [bystander(at) for at in (-1, 1, 5)]
    for sent in (sent for one in (talk, *others) for sent in one.sent[1:]):
        if (lacking == "all but SYNs" and "S" not in sent.flags) or (
            lacking == "what came before" and sent.flags == "SA"
        ):
            sent.missed_at("cni0")
    kernel(tmp_path, CLASSIC)

    assert ["invalid-reset"] * (lacking == "nothing") == [
        i.kind for i in analyze(record(tmp_path, talk, *others)).incidents
    ]


def test_opened_from_outside(tmp_path: Path) -> None:
    """A client outside sends the INVALID packet to a pod behind a node port."""
    talk = Conversation(pod="10.244.0.11:80", server="198.51.100.7:40000", nat="192.0.2.10:30080")
    talk.send("S", by_pod=False, at=0, seq=talk.server_isn)
    talk.syn()
    talk.sent[-1].flags, talk.sent[-1].ack = "SA", talk.server_isn + 1
    talk.send("A", by_pod=False)
    talk.data(100)
    offender = talk.send("A", by_pod=False, ack=talk.isn + 700_000)
    talk.reset_by_host(offender)
    talk.send("R", by_pod=False)
    counters(tmp_path, invalid=2)
    finding = only(analysed(tmp_path, talk))

    assert "the server reset the connection 0.990 ms later" == finding.facts["aftermath"]
    assert [True, False] == [one.reply for one in finding.window if one.flags == "R"]
    assert (
        "invalid rose by 2: two for each of these (its own, and the host's RST)" == finding.evidence[-1].says
    )

    assert ("invalid-reset", "ack-over-upper-bound") == (finding.kind, finding.cause)
    assert ("198.51.100.7:40000 > 10.244.0.11:80/tcp", "198.51.100.7:40000 > 192.0.2.10:30080/tcp") == (
        finding.inner,
        finding.outer,
    )


def service(*, established: bool = True) -> Conversation:
    """A pod's connection to a service whose endpoint's address is routed: the destination alone is translated."""
    talk = Conversation(pod="10.244.1.5:33444", server="10.96.0.20:80", dnat="10.244.2.7:8080")
    talk.syn(0)
    if established:
        talk.accept()
        talk.data(100)
        talk.reply(100)
    return talk


def untranslated(talk: Conversation, flags: str) -> list[Conversation]:
    """A packet of the endpoint that conntrack does not know, handed to the pod as it is, and the pod's RST."""
    talk.send(flags, by_pod=False, ack=talk.isn + 500_000).only_at("eth0")
    stray = Conversation(pod="10.244.1.5:33444", server="10.244.2.7:8080")
    offender = stray.send(flags, by_pod=False, seq=talk.sent[-1].seq, ack=talk.isn + 500_000, at=0.1)
    talk.sent.pop()
    stray.send("R", seq=offender.ack, window=0, options=[], at=0.101)
    return [talk, stray]


def test_the_pods_reset(tmp_path: Path) -> None:
    """Reached by the endpoint's own address, the pod resets; that is told, with the rule that spares the pod."""
    (incident,) = analyze(
        record(tmp_path, *untranslated(service(), "PA"), bystander(-1), bystander(5))
    ).incidents

    assert ("invalid-reset", "ack-over-upper-bound") == (incident.kind, incident.cause)
    assert "the pod, which knows no such connection, answered with a RST" in incident.summary
    assert "iptables -I FORWARD" in incident.remedies[0].command
    assert "still from 10.244.2.7:8080, untranslated" in incident.evidence[0].says
    notes = [one.note for one in incident.findings[0].passages if one.role != "context"]
    assert "sent by the pod" == notes[-1]
    assert notes[0].startswith("INVALID, ")


def test_the_pods_reset_behind_a_bridge_that_translates(tmp_path: Path) -> None:
    """With br_netfilter the bridge has requests translated already, and shows what is not translated back in their flow."""
    way = "veth-a / cni0 | eth0"
    talk = Conversation(pod="10.244.1.5:33444", server="10.96.0.20:80", dnat="10.244.2.7:8080", way=way)
    talk.syn(0)
    talk.synack().missed_at("cni0")
    talk.send("A")
    talk.data(100)
    talk.reply(100).missed_at("cni0")
    stray = Conversation(pod="10.244.1.5:33444", server="10.244.2.7:8080", way=way)
    offender = stray.send("PA", by_pod=False, seq=talk.server_isn + 101, ack=talk.isn + 500_000, at=0.1)
    stray.send("R", seq=offender.ack, window=0, options=[], at=0.101)
    analysis = analyze(record(tmp_path, talk, stray, bystander(-1), bystander(5)))
    (incident,) = analysis.incidents

    assert ("invalid-reset", "ack-over-upper-bound", ("cni0", "eth0")) == (
        incident.kind,
        incident.cause,
        incident.gap,
    )
    assert ["proven"] == [finding.confidence for finding in incident.findings]
    assert 1 == analysis.account.node


def test_a_syn_ack_that_a_bridge_did_not_translate(tmp_path: Path) -> None:
    """That is no verdict of conntrack's: the bridge does not call the rules."""
    talks = untranslated(service(established=False), "SA")

    assert () == analyze(record(tmp_path, *talks, bystander(-1), bystander(5))).incidents


def test_a_replay_that_what_got_through_refutes(tmp_path: Path) -> None:
    """A packet that the replay calls INVALID was translated: from there on no test is named, and nothing is proven."""
    talk = established()
    talk.reply(0, at=0.01).seq += 900_000
    talk.reset_by_host(early_ack(talk))
    (incident,) = analyze(record(tmp_path, talk, bystander(-1), bystander(5))).incidents

    assert ("unknown", "likely") == (incident.cause, incident.confidence)
    assert "no replay explains it" in incident.evidence[1].says
