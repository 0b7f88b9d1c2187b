"""Findings to incidents: what belongs together, in what order, how sure, in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analyzer import analyze
from analyzer.compute.thresholds import APART
from analyzer.connection.model import Fate
from analyzer.incident.incidents import incidents
from analyzer.incident.model import Attempt, Evidence, Finding, Remedy
from tests.conversation import Conversation, bystander, record

SECOND = 1_000_000_000


def lost(at: float, **changes: Any) -> Finding:
    """A finding at that second."""
    time = round(at * SECOND)
    given = {
        "kind": "syn-vanished",
        "cause": "unknown",
        "confidence": "likely",
        "gap": ("cni0", "eth0"),
        "time": time,
        "inner": "10.244.0.11:20000 > 192.0.2.100:80/tcp",
        "outer": None,
        "delay_s": 1.0,
        "attempts": (Attempt(time=time, fate=Fate.VANISHED, packets=()),),
        "facts": {"attempts_vanished": 1},
        "evidence": (Evidence(says=f"at {at}", source="captures"),),
    }
    return Finding(**(given | changes))  # type: ignore[arg-type]


def test_nothing_found() -> None:
    """No finding, no incident."""
    assert () == incidents([])


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0, 1, 2], [3]),
        ([2, 0, 1], [3]),
        ([0, 60], [2]),
        ([0, 60.001], [1, 1]),
        ([0, 50, 100, 150], [4]),
        ([0, 10, 100, 110], [2, 2]),
    ],
)
def test_grouped_in_time(times: list[float], expected: list[int]) -> None:
    """A minute of silence ends an incident, counted from the finding before, not from the first."""
    found = incidents(lost(at) for at in times)

    assert 60 * SECOND == APART
    assert expected == [len(incident.findings) for incident in found]
    assert [f"syn-vanished-{n}" for n in range(1, len(expected) + 1)] == [incident.id for incident in found]


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "udp-vanished"},
        {"cause": "snat-port-race"},
        {"gap": ("veth-a", "cni0")},
    ],
)
def test_what_differs_is_another_incident(changes: dict[str, Any]) -> None:
    """Kind, cause and gap hold an incident together."""
    found = incidents([lost(0), lost(1, **changes), lost(2)])

    assert [2, 1] == [len(incident.findings) for incident in found]


def test_as_sure_as_its_weakest_finding() -> None:
    """The report must not promise more than each of its findings."""
    (incident,) = incidents([lost(0, confidence="proven"), lost(1, confidence="possible"), lost(2)])

    assert "possible" == incident.confidence


def test_first_and_last() -> None:
    """An incident lasts until the last attempt of its connections."""
    attempts = tuple(Attempt(time=t * SECOND, fate=Fate.VANISHED, packets=()) for t in (1, 2, 9))
    (incident,) = incidents([lost(1, attempts=attempts, facts={"attempts_vanished": 3}), lost(4)])

    assert (1 * SECOND, 9 * SECOND) == (incident.first, incident.last)
    assert "2 connections lost 4 packets inside this node and waited up to 1 s: " in incident.summary


def test_singular() -> None:
    """One of a thing is one."""
    (incident,) = incidents([lost(0, delay_s=None)])

    assert "1 connection lost 1 packet inside this node: " in incident.summary
    assert "waited" not in incident.summary


def test_minutes_apart_in_captures(tmp_path: Path) -> None:
    """Two losses with minutes between are two incidents in the analysis, too."""
    talks = []
    for n, at in enumerate((0, 200)):
        talk = Conversation(
            pod=f"10.244.0.11:{20000 + n}", server="192.0.2.100:80", nat=f"192.0.2.10:{n + 5}", isn=n
        )
        talk.syn(at).lost_after("cni0")
        talk.syn(at + 1)
        talk.accept()
        talks.append(talk)
    analysis = analyze(record(tmp_path, *talks, bystander(-1), bystander(300)))

    assert ["syn-vanished-1", "syn-vanished-2"] == [incident.id for incident in analysis.incidents]
    assert ["syn-vanished-1", "syn-vanished-2"] == analysis.findings["incident"].tolist()


def test_the_fix_of_each_finding() -> None:
    """Two rules dropped what one incident tells of: each is to be deleted, and what is for both is told once."""
    first, second, both = (Remedy(do="", command=each, effect="", risk="") for each in "abc")
    (incident,) = incidents(
        [
            lost(1, remedies=(first, both)),
            lost(1.1, remedies=(second, both)),
            lost(1.2, remedies=(first, both)),
        ]
    )

    assert (first, second, both) == incident.remedies


@pytest.mark.parametrize(
    ("changes", "commands"),
    [
        ({"kind": "invalid-reset"}, ["iptables -I INPUT -m", "sysctl -w net.ne"]),
        (
            {"kind": "invalid-reset", "inner": "[fd00::1]:2 > [fd00::2]:3/tcp"},
            ["ip6tables -I INPUT -", "sysctl -w net.ne"],
        ),
        (
            {"kind": "invalid-reset", "facts": {"reset_by": "pod", "offenders": []}},
            ["iptables -I FORWARD ", "sysctl -w net.ne"],
        ),
        ({"kind": "invalid-dropped"}, ["sysctl -w net.ne"]),
    ],
)
def test_remedies_against_invalid(changes: dict[str, Any], commands: list[str]) -> None:
    """They are for the packets' version of IP and their way, and what is dropped already is not to be dropped."""
    given: dict[str, Any] = {"cause": "ack-over-upper-bound", "facts": {"offenders": []}} | changes
    (incident,) = incidents([lost(1, **given)])

    assert commands == [
        remedy.command[: len(want)] for remedy, want in zip(incident.remedies, commands, strict=True)
    ]
