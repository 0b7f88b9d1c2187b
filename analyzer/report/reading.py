"""What was read beside the captures, what each file is for, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from analyzer.evidence.collecting import ReadFile
from analyzer.evidence.sources import source

NAMED = 4
"""Incidents that are named for a file."""


class Row(NamedTuple):
    """One file."""

    file: str
    what: str
    """The format, as its source is called: `conntrack stat`; empty where none knows the file."""
    facts: int
    purpose: str
    wrapped: str
    """What was taken off: colours, HTML."""
    cited: tuple[str, ...]
    """Incidents and sections that name it as their evidence."""
    outcome: str
    """What came of it, in words."""


def rows(read: Iterable[ReadFile]) -> list[Row]:
    """Return what was read, in the order of the files."""
    return [
        Row(
            one.file,
            one.source.replace("_", " "),
            one.facts,
            source(one.source).PURPOSE if one.source else "",
            ", ".join(one.wrapped),
            one.cited,
            _outcome(one),
        )
        for one in read
    ]


def _outcome(one: ReadFile) -> str:
    if not one.source:
        return f"not used: {one.resembles}"
    if one.cited:
        told = f"evidence for {', '.join(one.cited[:NAMED])}"
        told += f" and {len(one.cited) - NAMED} more" if len(one.cited) > NAMED else ""
    else:
        told = "not cited by a finding" if one.facts else "nothing usable in it"
    parts = "1 part" if one.unclear == 1 else f"{one.unclear} parts"
    return f"{told}; {parts} not understood, see the caveats" if one.unclear else told
