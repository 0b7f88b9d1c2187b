"""Forwarding databases, from text and JSON."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.facts import FdbEntry
from analyzer.evidence.sources import bridge_fdb


def entries(text: str) -> list[FdbEntry]:
    """Parse a text that is recognised."""
    assert bridge_fdb.recognises(text)
    return [fact for fact in bridge_fdb.parse(text, "a") if isinstance(fact, FdbEntry)]


def test_same_in_both_formats(sample: Callable[[str], str]) -> None:
    """Text and JSON of one command tell the same but for the order of states."""
    text, told = ([(e.mac, e.dev, e.master, e.dst, set(e.state.split())) for e in entries(sample(name))]
                  for name in ("fdb.txt", "fdb.json"))  # fmt: skip
    assert text == told
    assert ("00:00:00:00:00:00", "vx1", "", "10.9.0.7", {"self", "permanent"}) == text[-1]
    assert ("v0", "br0") == text[0][1:3]


def test_vlan() -> None:
    """Bridge and state are found behind a VLAN."""
    (entry,) = entries("33:33:00:00:00:01 dev eth0 vlan 10 master br0 static\n")
    assert ("br0", "static") == (entry.master, entry.state)


def test_other_text() -> None:
    """An interface's MAC is none."""
    assert not bridge_fdb.recognises("    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff\n")
