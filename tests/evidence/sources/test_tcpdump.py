"""What tcpdump and dumpcap say of their losses."""

from __future__ import annotations

from analyzer.evidence.facts import CaptureDrops
from analyzer.evidence.sources import tcpdump

BEGIN = "tcpdump: listening on {}, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n"
END = (
    "^C25 packets captured\n28 packets received by filter\n{} dropped by kernel\n"
    "7 packets dropped by interface\n"
)


def drops(text: str) -> dict[str, int]:
    """Parse a text that is recognised."""
    assert tcpdump.recognises(text)
    said = list(tcpdump.parse(text, "log.txt"))
    assert all(isinstance(fact, CaptureDrops) for fact in said)
    return {fact.point: fact.dropped for fact in said if isinstance(fact, CaptureDrops)}


def test_one_capture() -> None:
    """The interface's name comes from the first line, also in the words of older versions."""
    assert {"eth0": 3} == drops(BEGIN.format("eth0") + END.format("3 packets"))
    assert {"any": 1} == drops(
        "tcpdump: verbose output suppressed, use -v or -vv for full protocol decode\n"
        "listening on any, link-type LINUX_SLL2 (Linux cooked v2), capture size 96 bytes\n"
        + END.format("1 packet")
    )


def test_captures_in_a_row_and_at_once() -> None:
    """One after the other each has its own; at once nobody knows whose."""
    rows = BEGIN.format("cni0") + END.format("1 packet") + BEGIN.format("eth0") + END.format("2 packets")
    assert {"cni0": 1, "eth0": 2} == drops(rows)
    once = BEGIN.format("cni0") + BEGIN.format("eth0") + END.format("4 packets")
    assert {"log.txt": 4} == drops(once)
    assert {"log.txt": 5} == drops(END.format("5 packets"))


def test_no_loss_and_no_end() -> None:
    """No loss is zero; a capture that was killed says nothing."""
    assert {"eth0": 0} == drops(BEGIN.format("eth0") + END.format("0 packets"))
    assert {} == drops(BEGIN.format("eth0"))


def test_dumpcap() -> None:
    """Dumpcap names the interface in the line itself, behind its description if it has one."""
    line = "Packets received/dropped on interface '{}': 100/{} (pcap:3/dumpcap:1/ps_ifdrop:0) (96.0%)\n"
    assert {"eth0": 4, "lo": 0} == drops(line.format("eth0", 4) + line.format("Loopback: lo", 0))


def test_other_text() -> None:
    """Talk of packets is not taken for it."""
    assert not tcpdump.recognises("some packets were dropped by the kernel, listening on eth0\n")
