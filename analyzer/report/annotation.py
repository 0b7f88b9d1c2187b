"""The lines in which JUnit, SARIF and GitHub's annotations tell an incident."""

from __future__ import annotations

from analyzer.incident.model import Evidence, Finding, Incident
from analyzer.report.checked import last_seen
from analyzer.report.words import between, count, printable, title

FINDINGS = 10
"""Connections named of one incident; the rest is counted."""
CAUGHT = 500
"""Characters of a line, at most."""


def line(text: str) -> str:
    """Return *text* on one line, with nothing in it that a terminal or an XML parser would act on or refuse."""
    return " ".join(printable(text, CAUGHT).split())


def heading(incident: Incident) -> str:
    """`SNAT port race between cni0 and eth0`."""
    return line(f"{title(incident)}{between(incident.gap)}")


def lines(incident: Incident) -> list[str]:
    """What happened, and the evidence for the cause."""
    return events(incident) + [grounds(evidence) for evidence in incident.evidence]


def grounds(evidence: Evidence) -> str:
    """One piece of evidence, and where it was read."""
    return line(f"{evidence.says} [{evidence.source}]")


def events(incident: Incident) -> list[str]:
    """The summary, and each connection with the frame where it was last seen."""
    told = [line(incident.summary)]
    told += [_finding(finding) for finding in incident.findings[:FINDINGS]]
    if (rest := len(incident.findings) - FINDINGS) > 0:
        told.append(f"... and {count(rest, 'further connection')}")
    return told


def _finding(finding: Finding) -> str:
    seen = last_seen(finding)
    named = "".join(f", {one.says}" for one in finding.names)
    return line(finding.inner + named + (f", last seen in {seen.file} frame {seen.frame}" if seen else ""))
