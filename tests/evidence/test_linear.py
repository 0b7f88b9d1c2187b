"""Twice the input takes twice the steps, not four times: counted, not timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.evidence.test_collecting import collected
from tests.fuzz.targets import SOURCES, TARGETS

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


def steps(work: Callable[[], object]) -> int:
    """Count the calls that some work takes, of Python and of C."""
    count = 0

    def counting(frame: object, event: str, argument: Any) -> None:
        nonlocal count
        count += 1

    before = sys.getprofile()
    sys.setprofile(counting)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def linear(once: str, twice: str) -> None:
    """Compare two texts, the second twice as long."""
    collected(warm=once[:1000])  # modules are imported once
    assert steps(lambda: collected(a=twice)) <= 2.5 * steps(lambda: collected(a=once)) + 2000


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_recorded(path: Path) -> None:
    """Every tool's output, several hundred lines of it."""
    text = path.read_text()
    often = max(1, 20_000 // len(text))
    linear(text * often, text * often * 2)


@pytest.mark.parametrize("source", SOURCES)
def test_every_source(source: str) -> None:
    """What each is tested with, again and again, also where it would never be recognised so."""
    run = TARGETS[f"source-{source}"].run
    text = min(TARGETS[f"source-{source}"].seeds(), key=len)
    often = max(1, 8000 // len(text))
    run(text)
    once, twice = steps(lambda: run(text * often)), steps(lambda: run(text * often * 2))

    assert twice <= 2.5 * once + 500


@pytest.mark.parametrize(("head", "more", "tail"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile(head: str, more: str, tail: str) -> None:
    """What could make a reader go over the same again and again."""
    linear(head + more * 1000 + tail, head + more * 2000 + tail)
