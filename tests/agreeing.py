"""That what is inferred from captures, and what the kernel recorded of each drop, are the same."""

from __future__ import annotations

import shutil
from pathlib import Path

from analyzer import Analysis, analyze
from analyzer.incident.causes import module
from analyzer.incident.records import joined

NEEDS_RECORDS = {"forwarding-disabled", "rp-filter"}
"""Scenarios whose setting is put right again before the laboratory's closing echo, which passes: it contradicts the setting."""
LATE = {"next-hop"}
"""Scenarios whose last packets wait for the next hop until after the recording."""


def agree(analysis: Analysis, run: Path, scenario: str, scratch: Path, *, fresh: bool = False) -> None:
    """Check that the captures without the kernel's drop records tell of the same losses, and that a record names each one.

    In a fresh run some records may be missing: bpftrace says that it begins before it has attached all of its probes.
    """
    assert analysis.scene is not None
    assert list(run.glob("drops.txt*"))
    shutil.copytree(run, scratch / run.name, ignore=shutil.ignore_patterns("drops.txt*"))
    without = analyze(scratch / run.name)
    records = [record.means.kind for record in joined(analysis.scene).values()]
    counts = analysis.counts
    lost = counts.syn_vanished + counts.udp_vanished + counts.reply_vanished

    assert without.counts == counts
    assert _told(without, scenario) == _told(analysis, scenario)
    some = fresh or scenario in LATE
    assert len(records) == lost or (some and 0 < len(records) < lost), (
        f"{len(records)} records of {lost} losses"
    )
    causes = {f.cause for i in analysis.incidents for f in i.findings if f.facts.get("attempts_vanished")}
    assert {True} >= {any(kind in module(cause).RECORDS for cause in causes) for kind in records}


def _told(analysis: Analysis, scenario: str) -> list[tuple[object, ...]]:
    return sorted(
        (
            i.kind,
            "" if scenario in NEEDS_RECORDS else i.cause,
            i.gap,
            f.inner,
            f.facts.get("attempts_vanished"),
        )
        for i in analysis.incidents
        for f in i.findings
    )
