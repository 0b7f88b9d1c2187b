"""What queues dropped."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.counting import UNTOLD, Counters
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


def test_whose_queue_it_is() -> None:
    """Asked for one interface tc leaves its name out: the command or the file's name tells it, else nobody does."""
    text = "qdisc tbf 1: root refcnt 3 rate 8Kbit burst 1600b lat 0us \n Sent 250 bytes 3 pkt (dropped 7, overlimits 0 requeues 0) \n"
    for before, file, expected in (
        ("$ sudo tc -s qdisc show dev eth0\n", "a", "eth0"), ("", "tc-s-qdisc-show-dev-eth1.txt", "eth1"), ("", "tc.txt", UNTOLD),
    ):  # fmt: skip
        (counters,) = tc_qdisc.parse(before + text, file)
        assert isinstance(counters, Counters)
        assert (f"{expected} tbf 1: root", 7) == (counters.of, counters.values["dropped"])
