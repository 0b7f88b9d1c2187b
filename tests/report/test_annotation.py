"""The lines that tell an incident to programs."""

from __future__ import annotations

import dataclasses

from analyzer.incident.model import Evidence
from analyzer.report.annotation import FINDINGS, heading, lines


def test_an_incident(sample) -> None:
    """Summary first, then the connections with the frame where each was last seen, then the evidence for the cause."""
    told = lines(sample.RACE)

    assert "SNAT port race between cni0 and eth0" == heading(sample.RACE)
    assert sample.RACE.summary == told[0]
    assert told[1].startswith("10.244.0.11:20000 > 192.0.2.100:80/tcp, last seen in cni0.pcap frame ")
    assert told[-1].endswith(f"[{sample.RACE.evidence[-1].source}]")


def test_many_connections_are_counted(sample) -> None:
    """After the first ten."""
    (large,) = sample.many(500).incidents
    told = lines(large)

    assert f"... and {500 - FINDINGS} further connections" == told[FINDINGS + 1]
    assert FINDINGS + 2 + len(large.evidence) == len(told)


def test_hostile_strings_stay_on_their_line(sample) -> None:
    """What a capture says becomes one printable line of bounded length."""
    forged = "x\x1b[2J\r\n::error::y\u202e\udc80\x00" + "z" * 5000
    race = dataclasses.replace(sample.RACE, summary=forged, evidence=(Evidence(says=forged, source=forged),))

    assert all(text.isprintable() for text in lines(race))
    assert all(len(text) < 1000 for text in lines(race))
