"""The summary of a CI job: every bundle in a table, and what is to be looked at below it."""

from __future__ import annotations

from pathlib import Path

from analyzer.report.checked import Checked
from analyzer.report.markdown import render
from tests.conftest import analysed


def _checked(name: str, *paths: str) -> Checked:
    return Checked.of(paths or (name,), analysed(name))


def test_fine_and_not() -> None:
    """What is to be looked at stands first, and is told with its frames and its fix; what is fine has a row."""
    told = render([_checked("clean"), _checked("snat-race")])
    rows = [row.split(" | ")[:2] for row in told.splitlines() if row.startswith("| ")][1:]

    assert told.startswith("## Lostsyn: 2 bundles checked, 1 to look at\n")
    assert [["| snat-race", "to look at"], ["| clean", "fine"]] == rows
    assert "\n### snat-race\n" in told
    assert "\n### clean\n" not in told
    assert "* **SNAT port race between cni0 and eth0** (proven)" in told
    assert "last seen in cni0.pcap frame " in told
    assert "\n  * fix: " in told


def test_what_cannot_be_analysed() -> None:
    """The reason is in its row and its section."""
    told = render([Checked(paths=("gone",), error="gone: no such file")])

    assert "| gone | cannot be told | gone: no such file |" in told
    assert "\n* gone: no such file" in told


def test_names_are_no_markup() -> None:
    """A name from a stranger makes no cell, no link, no image, no mention, no tag."""
    name = "a|b](https://evil.example) ![x](y) @all <img> `c` #1"
    row = render([Checked(paths=(name,), error="x")]).splitlines()[4]

    assert 4 == row.count("|")
    assert set() == set(row) & set("[]<>`@!*") - set("!")
    assert "://" not in row


def test_many(tmp_path: Path) -> None:
    """The table and the sections are bounded, and say what is left out."""
    told = render([Checked(paths=(str(n),), error="x") for n in range(600)])

    assert "and 100 further bundles" in told
    assert "580 more bundles are to be looked at." in told
