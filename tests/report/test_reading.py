"""Files read and what they are used for."""

from __future__ import annotations

import pkgutil
from dataclasses import replace

from analyzer.evidence import sources
from analyzer.evidence.collecting import ReadFile
from analyzer.report import reading


def test_every_source_has_a_purpose() -> None:
    """Whatever can be recognised has a sentence that says what it is for."""
    names = [name for _, name, _ in pkgutil.iter_modules(sources.__path__) if not name.startswith("_")]
    read = [ReadFile(file="x", source=name, facts=1, wrapped=()) for name in names]

    assert [] == [row.what for row in reading.rows(read) if not row.purpose]


def test_a_row() -> None:
    """The file, its format, how much it told, and what was around it."""
    (row,) = reading.rows([ReadFile(file="a.txt", source="ip_route", facts=3, wrapped=("HTML", "colours"))])

    assert ("a.txt", "ip route", 3, "HTML, colours") == (row.file, row.what, row.facts, row.wrapped)


def test_what_came_of_it() -> None:
    """Evidence for what; read and of no use; nothing in it; partly or not understood."""
    known = ReadFile(file="a", source="sysctl", facts=2)
    assert [
        "evidence for syn-vanished-1, node health", "evidence for 1, 2, 3, 4 and 1 more", "not cited by a finding",
        "nothing usable in it", "not cited by a finding; 2 parts not understood, see the caveats",
        "not used: CSV",
    ] == [
        row.outcome
        for row in reading.rows([
            replace(known, cited=("syn-vanished-1", "node health")), replace(known, cited=("1", "2", "3", "4", "5")), known,
            replace(known, facts=0), replace(known, unclear=2), ReadFile(file="b", resembles="CSV"),
        ])
    ]  # fmt: skip
