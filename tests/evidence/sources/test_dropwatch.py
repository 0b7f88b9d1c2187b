"""dropwatch."""

from __future__ import annotations

from analyzer.evidence.drops import DropRecord
from analyzer.evidence.facts import Caveat
from analyzer.evidence.sources import dropwatch
from tests.evidence.test_frame import TCP, V4

PACKET = (
    "drop at: ip6_forward+0x81a/0xb70 (0xffffffff86c73f8a)\norigin: software\ninput port ifindex: 7\n"
    "timestamp: Wed Apr 13 11:51:06 2022 130010176 nsec\nprotocol: 0x86dd\nlength: 94\noriginal length: 94\n"
    "drop reason: IP_INADDRERRORS\n\n"
)
FRAME = bytes(12) + b"\x08\x00" + V4 + TCP
HEX = "".join(
    "".join(f"{byte:02x} " for byte in FRAME[at : at + 8])
    + " "
    + "".join(f"{byte:02x} " for byte in FRAME[at + 8 : at + 16]).ljust(30)
    + "........ ........\n"
    for at in range(0, len(FRAME), 16)
)


def test_packets() -> None:
    """Blocks of a file that has other lines as well."""
    text = "Issue Ctrl-C to stop monitoring\n" + PACKET + PACKET.replace("drop reason: IP_INADDRERRORS\n", "")
    assert dropwatch.recognises(text)
    first, second = dropwatch.parse(text, "a")
    assert first == DropRecord(
        file="a", line=2, source="dropwatch", time=1649850666130010176, clock="wall", offset=0, reason="IP_INADDRERRORS",
        location="ip6_forward", version=6,
    )  # fmt: skip
    assert isinstance(second, DropRecord)
    assert "" == second.reason


def test_payload() -> None:
    """With the packet's bytes it has addresses."""
    (drop,) = dropwatch.parse(PACKET.replace("length: 94\n", f"length: 94\n{HEX}", 1), "a")
    assert isinstance(drop, DropRecord)
    assert ("10.0.0.1", 4000, "192.0.2.1", 80, 99) == (drop.src, drop.sport, drop.dst, drop.dport, drop.ip_id)


def test_counts_are_no_packets() -> None:
    """The tool's default tells places and numbers only; the caveat says what to do."""
    text = "1 drops at skb_queue_purge+18 (0xffffffff81572ec8)\n2 drops at location 0xffffffff815d3371\n"
    assert dropwatch.recognises(text)
    (caveat,) = dropwatch.parse(text, "a")
    assert isinstance(caveat, Caveat)
    assert "set alertmode packet" in caveat.says


def test_damaged() -> None:
    """A date that there is not is no time."""
    (drop,) = dropwatch.parse(PACKET.replace("Apr 13", "Apr 31"), "a")
    assert isinstance(drop, DropRecord)
    assert drop.time is None
