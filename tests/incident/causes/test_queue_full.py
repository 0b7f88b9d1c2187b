"""A full queue: by its own counter, where conntrack says that it dropped nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conversation import START, Conversation
from tests.incident.evidence import causes, connection, counters, findings, judged, vanishing, whole
from tests.incident.node import told

CODE = "queue-full"


def qdisc(folder: Path, dropped: int, dev: str = "eth0") -> None:
    """Write `tc -s qdisc` from before and after."""
    for when, value in (("before", 5), ("after", 5 + dropped)):
        told(
            folder,
            **{
                f"tc-{when}": f"qdisc tbf 8001: dev {dev} root refcnt 2 rate 1Mbit burst 5Kb lat 50ms \n"
                f" Sent {90_000 + value} bytes {900 + value} pkt (dropped {value}, overlimits {value} requeues 0) \n"
                " backlog 0b 0p requeues 0\n"
            },
        )


def dropped(at: int, packet: str) -> str:
    """A record of bpftrace's, so many ns after the conversations' start."""
    names = 'print fmt: "skbaddr=%p reason: %s", __print_symbolic(REC->reason, { 2, "NOT_SPECIFIED" }, { 46, "QDISC_DROP" })'
    return (
        f"clock: t=1000000000 wall={START // 10**9}.000000\n"
        f"drop: t={1_000_000_000 + at} cpu=1 reason=46 at=__dev_xmit_skb netns=4026531840 dev=eth0 proto=6 src=192.0.2.10 "
        f"{packet} "
        f"len=60\n        sk_skb_reason_drop+144\n        __dev_queue_xmit+1200\n\n{names}\n"
    )


def retried() -> Conversation:
    """Its first SYN is lost, its second passes."""
    return whole(vanishing(connection(), 0), 1)


def test_counted_by_the_queue(tmp_path: Path) -> None:
    """The queue dropped, conntrack did not: likely."""
    counters(tmp_path)
    qdisc(tmp_path, 40)
    (finding,) = findings(judged(tmp_path, retried()))

    assert (CODE, "likely", 40) == (finding.cause, finding.confidence, finding.facts["dropped"])
    assert "tbf 8001: root" in finding.evidence[0].says


def test_without_conntracks_counters(tmp_path: Path) -> None:
    """Nobody says that conntrack dropped nothing: possible."""
    qdisc(tmp_path, 40)

    assert [(CODE, "possible")] == [(f.cause, f.confidence) for f in findings(judged(tmp_path, retried()))]


@pytest.mark.parametrize(("rise", "dev", "drop"), [(0, "eth0", 0), (40, "eth1", 0), (40, "eth0", 1)])
def test_near_misses(tmp_path: Path, rise: int, dev: str, drop: int) -> None:
    """A queue that dropped nothing, another interface's, or a loss that conntrack counted."""
    counters(tmp_path, drop=drop)
    qdisc(tmp_path, rise, dev)

    assert [CODE] != causes(judged(tmp_path, retried()))


def test_the_kernels_record(tmp_path: Path) -> None:
    """A record of this very packet outranks counters that tell of another loss."""
    counters(tmp_path, drop=1)
    told(tmp_path, drops=dropped(60_000_000, "sport=20000 dst=192.0.2.100 dport=80 seq=1000000 id=1"))
    (finding,) = findings(judged(tmp_path, retried()))

    assert (CODE, "proven") == (finding.cause, finding.confidence)
    assert "QDISC_DROP" in finding.evidence[0].says


def test_a_record_of_another_packet(tmp_path: Path) -> None:
    """Its sequence number is another's."""
    told(tmp_path, drops=dropped(60_000_000, "sport=20000 dst=192.0.2.100 dport=80 seq=1000001 id=9"))

    assert [CODE] != causes(judged(tmp_path, retried()))
