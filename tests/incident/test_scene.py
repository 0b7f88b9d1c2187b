"""What causes may look at: counters, drops, mappings, what passed and what did not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import analyze
from analyzer.evidence.rules.packet import Packet, Steps
from analyzer.evidence.rules.walk import walk
from analyzer.flow.point import TCP
from analyzer.incident import scene as module
from analyzer.incident.explanation import Moments
from analyzer.incident.scene import Scene
from tests.conversation import START, TRANSIT, Conversation, bystander, record
from tests.incident.causes.test_policy_drop import allowed, rules
from tests.incident.causes.test_snat_port_race import counters
from tests.incident.evidence import connection, findings, judged, vanishing


def scene(folder: Path, *talks: Conversation, **options: Any) -> Scene:
    """The scene of these conversations between two whole ones."""
    found = analyze(record(folder, *talks, bystander(-5), bystander(20), **options)).scene
    assert found is not None
    return found


def out(n: int, at: float, **changes: Any) -> Conversation:
    """A connection out of the node."""
    given = {
        "pod": f"10.244.0.11:{20000 + n}",
        "server": "192.0.2.100:80",
        "nat": f"192.0.2.10:{30000 + n}",
        "isn": n,
    }
    talk = Conversation(**(given | changes))  # type: ignore[arg-type]
    talk.syn(at)
    talk.accept()
    return talk


def test_counters(tmp_path: Path) -> None:
    """The rise between the snapshots; nothing of a single one."""
    counters(tmp_path, insert_failed=3, drop=4)

    assert {"insert_failed": 3, "drop": 4} == {
        name: rise for name, rise in scene(tmp_path).counters.items() if rise
    }
    (tmp_path / "conntrack-S-before.txt").unlink()
    assert {} == scene(tmp_path).counters


def test_new_mappings(tmp_path: Path) -> None:
    """Connections as they left the uplink, in time order, each once; not those from outside."""
    again = out(3, 2)
    again.syn(2.5)
    inward = Conversation(pod="10.244.0.11:80", server="198.51.100.7:40000", nat="192.0.2.10:30080", isn=9)
    inward.send("S", by_pod=False, at=3)
    inward.send("SA")
    mappings = scene(tmp_path, out(2, 1), again, out(1, 0), inward).new_mappings["eth0"]

    assert [30001, 30002, 30003] == [int(port) for port in mappings.sport if 30000 < port < 30080]
    assert sorted(mappings.time.tolist()) == mappings.time.tolist()
    assert 5 == len(mappings.rows)


def test_translations(tmp_path: Path) -> None:
    """What DNAT made of a destination before is what it may make of it again."""
    found = scene(
        tmp_path,
        out(1, 0, server="10.96.0.1:80", dnat="198.51.100.7:8080"),
        out(2, 1, server="10.96.0.1:80", dnat="198.51.100.8:8080"),
        out(3, 2),
        points=("cni0", "eth0"),
    )
    (gap,) = found.gaps
    ports = (gap.inner.flows.ports >> 16).tolist()

    assert 3 == len(found.translated(gap, gap.inner, ports.index(20001)))
    assert found.translated(gap, gap.inner, ports.index(20001)) == found.translated(
        gap, gap.inner, ports.index(20002)
    )
    assert 1 == len(found.translated(gap, gap.inner, ports.index(20003)))


@pytest.mark.parametrize(("within", "expected"), [(0.5, 1), (1.5, 3), (30, 5)])
def test_passed_near(within: float, expected: int, tmp_path: Path) -> None:
    """Requests that made it through around a moment."""
    lost = Conversation(pod="10.244.0.11:5", server="192.0.2.100:80", nat="192.0.2.10:5", isn=55)
    lost.syn(1).lost_after("cni0")
    found = scene(tmp_path, out(1, 0), out(2, 1), out(3, 2), lost, points=("cni0", "eth0"))

    assert expected == found.passed_near(found.gaps[0], START + 10**9 + TRANSIT, int(within * 1e9), TCP)
    assert (1, 1) == (found.vanished[TCP], len(found.lost[TCP].time))


def test_drops(tmp_path: Path) -> None:
    """What the capturing program lost, by what it said at its end."""
    (tmp_path / "tcpdump-cni0.log").write_text(
        "tcpdump: listening on cni0, link-type EN10MB (Ethernet), snapshot length 256 bytes\n"
        "6 packets captured\n6 packets received by filter\n7 packets dropped by kernel\n"
    )

    assert {"cni0": 7} == scene(tmp_path).drops


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[Packet]:
    """Every packet that is led through rules."""
    packets: list[Packet] = []

    def counting(*args: Any, **options: Any) -> Steps:
        packets.append(args[1])
        return walk(*args, **options)

    monkeypatch.setattr(module, "walk", counting)
    return packets


def blocked(*ports: int) -> list[Conversation]:
    """One pod's connections from these ports to one destination, all in vain."""
    return [
        vanishing(
            connection(pod=f"10.244.0.11:{port}", server="192.0.2.100:8080", isn=port * 1000), at, at + 1
        )
        for at, port in enumerate(ports)
    ]


@pytest.mark.parametrize(
    ("rule", "dropped", "expected"),
    [
        ("tcp dport 8080 drop", 4, 3),
        ("tcp sport 20001 tcp dport 8080 drop", 1, 6),
        ("tcp sport . tcp dport vmap { 20001 . 8080 : drop }", 1, 6),
    ],
)
def test_packets_that_are_alike_to_the_rules(
    rule: str, dropped: int, expected: int, walks: list[Packet], tmp_path: Path
) -> None:
    """They are led through them once: no two of them differ only in what no rule asks for."""
    rules(tmp_path, rule)
    found = findings(judged(tmp_path, *blocked(20000, 20001, 20002, 20003), allowed(4.5)))

    assert dropped == sum(finding.facts.get("rule") is not None for finding in found)
    # One of them once more, to see what is behind the rule.
    assert expected == len(walks) - 1 <= len(set(walks))


def test_too_many_packets_for_so_many_rules(
    walks: list[Packet], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The first are led through the rules, the others are not, which is said; no rule is blamed that nobody checked."""
    monkeypatch.setattr(module, "MOST_RULES", 4)  # of two rules: two packets, the first and its witness
    rules(tmp_path, "tcp sport { 20000, 20001, 20002 } drop")
    analysis = judged(tmp_path, *blocked(20000, 20001, 20002))
    named = [finding.facts.get("rule") is not None for finding in findings(analysis)]

    assert 2 == len(walks)
    assert not any(named[1:])
    assert any(
        "different packets were not evaluated against nft-ruleset.txt" in says for says in analysis.caveats
    )


@given(st.lists(st.integers(0, 5)), st.integers(0, 12), st.integers(0, 12))
def test_destinations_of_a_stretch(to: list[int], begin: int, length: int) -> None:
    """As many as a set of them has."""
    rows = np.arange(len(to))
    moments = Moments(time=rows, rows=rows, dst=np.array(to, np.uint64))

    assert len(set(to[begin : begin + length])) == moments.destinations(begin, begin + length)
