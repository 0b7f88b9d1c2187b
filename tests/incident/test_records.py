"""The kernel's drop records against what the captures suggest: the record wins, and the finding says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.connection.reasons import REASONS
from analyzer.incident.model import Finding
from tests.conversation import START, Conversation
from tests.incident.causes.test_rp_filter import inbound
from tests.incident.evidence import connection, counters, findings, judged, vanishing, whole
from tests.incident.node import known

STACKS: dict[str, tuple[str, ...]] = {
    "FORWARD": ("nf_hook_slow", "ip_forward"),
    "POSTROUTING": ("nf_hook_slow", "ip_output"),
    "PREROUTING": ("nf_hook_slow", "ip_rcv"),
}


def record(
    folder: Path,
    talk: Conversation,
    *times: float,
    at: str = "",
    reason: str = "NETFILTER_DROP",
    stack: str = "",
) -> None:
    """Write bpftrace's lines on SYNs of a conversation that were sent at these seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    first = talk.sent[0]
    ends = (talk.pod, talk.server) if first.outward else (talk.server, talk.pod)
    (src, sport), (dst, dport) = (end.rsplit(":", 1) for end in ends)
    frames = STACKS.get(stack, ())
    number = f"seq={first.seq}" if talk.proto == "tcp" else ""
    lines = [f'print fmt: {{ 12, "{reason}" }}', f"clock: t=100000000000 wall={START / 1e9:.9f}"]
    for time in times:
        lines.append(
            f"drop: t={100_000_000_000 + round(time * 1e9) + 20_000} cpu=0 reason=12 at={at or frames[0]} netns=1 dev=eth0 "
            f"proto={6 if talk.proto == 'tcp' else 17} src={src} sport={sport} dst={dst} dport={dport} {number} len=60"
        )
        lines += [f"\t{frame}+1" for frame in ("sk_skb_reason_drop", *frames)] + [""]
    with (folder / "drops.txt").open("a") as file:
        file.write("\n".join(lines) + "\n")


def raced() -> tuple[Conversation, Conversation]:
    """Two connections from one port: the second one's SYN vanishes, and its next attempt passes."""
    winner = whole(connection(0, nat="192.0.2.10:20000"), 1)
    loser = connection(1, pod="10.244.0.12:20000", nat="192.0.2.10:20001")
    loser.syn(1.0001).lost_after("cni0")
    return winner, whole(loser, 2)


def told(folder: Path, *talks: Conversation) -> Finding:
    """The one finding."""
    (finding,) = findings(judged(folder, *talks))
    return finding


def test_a_record_proves_the_race(tmp_path: Path) -> None:
    """In POSTROUTING, without any counter: the record is the first evidence."""
    winner, loser = raced()
    assert "likely" == told(tmp_path / "without", *raced()).confidence
    record(tmp_path / "with", loser, 1.0001, stack="POSTROUTING")
    finding = told(tmp_path / "with", winner, loser)

    assert ("snat-port-race", "proven") == (finding.cause, finding.confidence)
    assert finding.evidence[0].says.startswith(
        "the kernel recorded that it dropped the packet in POSTROUTING"
    )
    assert "drops.txt line 3" == finding.evidence[0].source


def test_a_record_outranks_the_race(tmp_path: Path) -> None:
    """A partner and counters make a race; the record says that a rule in FORWARD dropped the packet."""
    winner, loser = raced()
    counters(tmp_path, insert_failed=1, drop=1)
    record(tmp_path, loser, 1.0001, stack="FORWARD")
    finding = told(tmp_path, winner, loser)

    assert ("policy-drop", "proven") == (finding.cause, finding.confidence)
    (race,) = (one for one in finding.excluded if one.cause == "snat-port-race" and "record" in one.because)
    assert race.because.endswith("dropped the packet by a rule in FORWARD")


def test_unknown_with_a_record_is_known(tmp_path: Path) -> None:
    """Reason and place are named in evidence, facts and summary, and nothing is left to infer."""
    talk = vanishing(connection(), 1, 2, 4)
    record(tmp_path, talk, 1, 2, 4, reason="TC_EGRESS", at="__dev_queue_xmit")
    analysis = judged(tmp_path, talk)
    (incident,) = analysis.incidents

    assert ("unknown", "proven") == (incident.cause, incident.confidence)
    assert "TC_EGRESS at __dev_queue_xmit" in incident.evidence[0].says
    assert (
        "by a filter of traffic control on the way out (reason TC_EGRESS, location __dev_queue_xmit)"
        in incident.summary
    )


@pytest.mark.parametrize(
    ("reason", "outward", "expected"),
    [
        ("NEIGH_CREATEFAIL", True, "neighbour-table-full"),
        ("IP_INNOROUTES", True, "no-route"),
        ("IP_OUTNOROUTES", True, "no-route"),
        ("IP_INADDRERRORS", True, "forwarding-disabled"),
        ("QDISC_OVERLIMIT", True, "queue-full"),
        ("IP_RPFILTER", False, "rp-filter"),
        ("TCP_CSUM", False, "checksum-error"),
        ("UNHANDLED_PROTO", True, "unknown"),
    ],
)
def test_a_record_alone(reason: str, outward: bool, expected: str, tmp_path: Path) -> None:
    """It proves the cause that it names, without any other sign of that; it is the first evidence, or of no cause a fact."""
    talk = vanishing(connection(), 0, 1, 3) if outward else inbound()
    record(tmp_path, talk, 0, 1, 3, reason=reason, at="somewhere")
    finding = told(tmp_path, known(), talk)
    first = next(
        one for one in finding.evidence if "the kernel recorded that it dropped the packet" in one.says
    )

    assert (expected, "proven") == (finding.cause, finding.confidence)
    assert (reason in first.says, first == finding.evidence[0]) == (True, True)
    assert ({"reason": reason, "location": "somewhere"} if expected == "unknown" else {}) == {
        name: finding.facts[name] for name in ("reason", "location", "hook") if name in finding.facts
    }


def test_a_record_of_another_packet(tmp_path: Path) -> None:
    """Its sequence number is another one's: nobody's record, and nothing changes."""
    winner, loser = raced()
    record(tmp_path, vanishing(connection(1, pod=loser.pod, isn=7), 1.0001), 1.0001, stack="FORWARD")

    assert "snat-port-race" == told(tmp_path, winner, loser).cause


def test_a_record_decides_what_the_captures_leave_open(tmp_path: Path) -> None:
    """Nobody recorded the uplink then: open without the record, lost with it, and open where a copy was dropped."""
    for name, reason, expected in (
        ("none", "", 0),
        ("drop", "NETFILTER_DROP", 1),
        ("copy", "OTHERHOST", 0),
        ("arrived", "NO_SOCKET", 0),
    ):
        talk = vanishing(connection(), 60)
        if reason:
            record(tmp_path / name, talk, 60, reason=reason, stack="POSTROUTING")
        analysis = judged(tmp_path / name, talk)
        assert analysis.scene is not None
        reasons = {REASONS[r].code for f in analysis.scene.requests[6] for r in f.reason}

        assert expected == analysis.counts.syn_vanished, name
        assert ("recorded-drop" in reasons) == bool(expected)
