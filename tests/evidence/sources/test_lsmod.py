"""Loaded modules."""

from __future__ import annotations

from analyzer.evidence.facts import Module
from analyzer.evidence.sources import lsmod


def test_both_forms() -> None:
    """Lsmod and /proc/modules tell the same."""
    forms = (
        "Module                  Size  Used by\nnf_conntrack          196608  2 nf_nat,ip_vs\nbridge                389120  0\n",
        "nf_conntrack 196608 2 nf_nat,ip_vs, Live 0xffffffffc0a3e000\nbridge 389120 0 - Live 0x0000000000000000 (E)\n",
    )
    for text in forms:
        assert lsmod.recognises(text)
        assert [Module(name=name, file="a") for name in ("nf_conntrack", "bridge")] == list(
            lsmod.parse(text, "a")
        )


def test_other_text() -> None:
    """A table of other things is none."""
    assert not lsmod.recognises("Name 5 0\n")
