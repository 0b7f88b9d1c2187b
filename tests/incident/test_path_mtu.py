"""Packets that are too large: what stops the errors that say so, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from tests.conversation import Conversation, bystander, record

RULES = (
    "table inet filter {{ # handle 1\n\tchain {chain} {{ # handle 2\n"
    "\t\ttype filter hook {chain} priority 0; policy accept;\n\t\t{rule} # handle 3\n\t}}\n}}\n"
)
STOPPED = "icmp type destination-unreachable drop"


def stuck(
    folder: Path, *, mtu: int = 1300, size: int = 1400, rule: str = "", peer: int = 1460, at_once: int = 1
) -> Analysis:
    """A pod sends a large segment three times, which is never on eth0; the peer takes segments of that size."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:20000")
    talk.syn()
    talk.send("SA", by_pod=False, options=[("MSS", peer)])
    talk.send("A")
    seq = None
    for at in (1, 2, 4):
        sent = talk.send("PA", b"x" * size * (at_once if at == 1 else 1), at=at, seq=seq).lost_after("cni0")
        seq = sent.seq
    links = "".join(
        f"{n}: {name}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu {most} qdisc noqueue state UP\n"
        f"    link/ether 02:00:00:00:00:0{n} brd ff:ff:ff:ff:ff:ff\n    inet {own}/24 scope global {name}\n"
        for n, name, most, own in ((1, "cni0", 1500, "10.244.0.1"), (2, "eth0", mtu, "192.0.2.10"))
    )
    record(folder, talk, bystander(-5), bystander(20))
    (folder / "ip-addr.txt").write_text(links)
    if rule:
        (folder / "nft.txt").write_text(RULES.format(chain="output", rule=rule))
    return analyze(folder)


def test_a_rule_stops_the_nodes_own_error(tmp_path: Path) -> None:
    """The segment does not fit, and a rule of OUTPUT drops what says so: proven, and the fix goes before that rule."""
    (incident,) = stuck(tmp_path, rule=STOPPED).incidents

    assert ("data-vanished", "mtu-black-hole", "proven") == (
        incident.kind,
        incident.cause,
        incident.confidence,
    )
    assert STOPPED in incident.evidence[0].says
    assert ["nft insert rule inet filter output ct state related meta l4proto icmp accept", "1260"] == [
        incident.remedies[0].command,
        incident.remedies[1].command.split()[-1],
    ]


def test_without_the_rules(tmp_path: Path) -> None:
    """That it does not fit is known, who stops the error is not: likely, and OUTPUT is what to open."""
    (incident,) = stuck(tmp_path).incidents

    assert ("mtu-black-hole", "likely") == (incident.cause, incident.confidence)
    assert "-I OUTPUT" in incident.remedies[1].command


def test_several_segments_at_once(tmp_path: Path) -> None:
    """They go to the network card as one, and are sent again one by one, each of them too large."""
    (incident,) = stuck(tmp_path, rule=STOPPED, at_once=5).incidents

    assert ("mtu-black-hole", "proven") == (incident.cause, incident.confidence)


@pytest.mark.parametrize("changes", [{"mtu": 1500}, {"size": 1260}, {"peer": 1000}])
def test_near_misses(tmp_path: Path, changes: dict[str, int]) -> None:
    """It fits, exactly too; or what was recorded are several segments to the network card (TSO)."""
    (incident,) = stuck(tmp_path, **changes).incidents

    assert "unknown" == incident.cause
