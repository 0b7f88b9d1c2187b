"""What nft's text and JSON share."""

from __future__ import annotations

import pytest

from analyzer.evidence.rules import nft
from analyzer.evidence.rules.model import Action, Bits


@pytest.mark.parametrize(
    ("text", "family", "expected"),
    [
        ("-100", "ip", -100), ("filter", "inet", 0), ("srcnat + 5", "ip", 105), ("mangle - 1", "ip6", -151),
        ("dstnat", "bridge", -300), ("filter", "bridge", -200), ("soon", "ip", None), ("", "ip", None),
    ],
)  # fmt: skip
def test_priority(text: str, family: str, expected: int | None) -> None:
    """Names and offsets become numbers, in the bridge family other ones."""
    assert expected == nft.priority(text, family)


@pytest.mark.parametrize(
    ("words", "bits"),
    [
        ("0x2", Bits(2, 0xFFFFFFFF)), ("meta mark | 0x4000", Bits(0x4000, 0x4000)), ("mark or 0x4000", Bits(0x4000, 0x4000)),
        ("mark xor 0x4000", Bits(0x4000, 0)), ("meta mark & 0xff", Bits(0, 0xFFFFFF00)), ("ct mark", None),
        ("meta mark & 0xff | 0x1", None), ("meta mark", None),
    ],
)  # fmt: skip
def test_marked(words: str, bits: Bits | None) -> None:
    """Each way to set a mark is one operation; what is not understood leaves it unknown."""
    assert Action(kind="mark", mark=bits) == nft.marked(words.split())


def test_implied() -> None:
    """A port implies its protocol, an address its family, each once."""
    (proto, ports) = nft.condition("t", ["tcp dport"], "==", [["80"], ["443"]])
    assert (("proto",), (("tcp",),)) == (proto.fields, proto.among)
    assert ("dport",) == ports.fields
    assert [("family",), ("src", "dst")] == [
        m.fields for m in nft.condition("t", ["ip saddr", "ip daddr"], "==", [["10.0.0.1", "10.0.0.2"]])
    ]


def test_not_understood() -> None:
    """Unknown left sides, values and operators make a condition that nobody can tell."""
    for left, op, right in (
        (["osf name"], "==", [["Linux"]]), (["tcp dport"], "==", [["ssh"]]), (["ct state"], "<", [["new"]]),
        (["tcp dport"], "==", []), (["ip saddr", "tcp dport"], "==", [["10.0.0.1"]]),
    ):  # fmt: skip
        assert () == nft.condition("t", left, op, right)[-1].fields
    assert () == nft.masked("t", "ct mark", "1", "==", "1")[-1].fields
    assert () == nft.masked("t", "meta mark", "1", "<", "1")[-1].fields
