"""What queues dropped."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.counting import Counters
from analyzer.evidence.sources import tc_qdisc


def counters(text: str) -> list[Counters]:
    """Parse a text that is recognised."""
    assert tc_qdisc.recognises(text)
    return [fact for fact in tc_qdisc.parse(text, "a") if isinstance(fact, Counters)]


def test_same_in_both_formats(sample: Callable[[str], str]) -> None:
    """Text and JSON of one command tell the same."""
    assert counters(sample("tc.txt")) == counters(sample("tc.json"))


def test_numbers() -> None:
    """Drops, overlimits and what waits, of each discipline."""
    (root, leaf) = counters(
        "qdisc tbf 8001: dev eth0 root refcnt 2 rate 1Mbit burst 5Kb lat 50ms\n"
        " Sent 1234 bytes 12 pkt (dropped 3, overlimits 4 requeues 5) \n backlog 2Kb 6p requeues 5\n"
        "qdisc fq_codel 0: dev eth0 parent 8001:1 limit 10240p\n Sent 1 bytes 1 pkt (dropped 0, overlimits 0 requeues 0)\n"
    )
    assert ("eth0 tbf 8001: root", "eth0 fq_codel 0: parent 8001:1") == (root.of, leaf.of)
    assert {
        "bytes": 1234, "packets": 12, "dropped": 3, "overlimits": 4, "requeues": 5, "backlog_bytes": 2048, "backlog_packets": 6
    } == root.values  # fmt: skip


def test_other_text() -> None:
    """Without counters there is nothing to tell."""
    assert not tc_qdisc.recognises("qdisc noqueue 0: dev lo root refcnt 2\n")
