"""Twice the input takes twice the steps, not four times: counted, not timed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.evidence.test_collecting import collected

SAMPLES = sorted(path for path in (Path(__file__).parent / "samples").iterdir() if path.name != "README.md")
HOSTILE = {
    "options of one rule": ("*nat\n:INPUT ACCEPT [0:0]\n-A INPUT --comment ", "a ", "\nCOMMIT\n"),
    "rules that name one set": (
        "table ip x {\nset s {\ntype ipv4_addr\nelements = { 10.0.0.1, 10.0.0.2 }\n}\nchain c {\n", "ip saddr @s drop\n", "}\n}\n",
    ),
    "chains": ("*filter\n:INPUT ACCEPT [0:0]\n", "-A INPUT -j A\n", "COMMIT\n"),
    "interfaces": ("[", '{"ifindex":5,"ifname":"a"},', '{"ifindex":6,"ifname":"b"}]\n'),
    "listings of one chain": ("", "Chain A (1 references)\n pkts bytes target prot opt in out source destination\n\n", ""),
    "lists that do not end": ("", "[ {\n", ""),
    "documents that do not end": ('"stdout": ', '{"stdout": "x"\n', ""),
    "brackets of HTML": ("<pre>", "<", ""),
    "comments that do not end": (
        "Chain INPUT (policy ACCEPT 0 packets, 0 bytes)\n pkts bytes target prot opt in out source destination\n"
        "    0     0 DROP       0    --  *      *       0.0.0.0/0            0.0.0.0/0           ", "/* ", "\n",
    ),
    "messages": ("", "[1.000000] neighbour: arp_cache: neighbor table overflow!\n", ""),
    "routes with next hops": ("10.0.0.0/8 \n", "\tnexthop via 10.9.0.2 dev br0 weight 1\n", ""),
}  # fmt: skip


def steps(text: str) -> int:
    """Count the calls that reading a text takes, of Python and of C."""
    count = 0

    def counting(frame: object, event: str, argument: Any) -> None:
        nonlocal count
        count += 1

    collected(warm=text[:1000])  # modules are imported once
    before = sys.getprofile()
    sys.setprofile(counting)
    try:
        collected(a=text)
    finally:
        sys.setprofile(before)
    return count


def linear(once: str, twice: str) -> None:
    """Compare two texts, the second twice as long."""
    assert steps(twice) <= 2.5 * steps(once) + 2000


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_recorded(path: Path) -> None:
    """Every tool's output, several hundred lines of it."""
    text = path.read_text()
    often = max(1, 40_000 // len(text))
    linear(text * often, text * often * 2)


@pytest.mark.parametrize(("head", "more", "tail"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile(head: str, more: str, tail: str) -> None:
    """What could make a reader go over the same again and again."""
    linear(head + more * 1000 + tail, head + more * 2000 + tail)
