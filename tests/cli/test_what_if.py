"""`lostsyn what-if`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from analyzer.cli import COMMANDS, group
from analyzer.errors import UnusableInput
from analyzer.result.whatif import SETTINGS

FIXTURES = Path(__file__).parents[2] / "fixtures"


def ask(*argv: str) -> str:
    """Run the command, and return what it printed."""
    told = CliRunner().invoke(group, ["what-if", *argv], catch_exceptions=False)
    assert 0 == told.exit_code
    return told.stdout


def test_text_is_for_people() -> None:
    """Each setting by itself, each incident in a sentence, 80 columns."""
    told = ask(str(FIXTURES / "late-ack-seed"), "--setting", "kernel=6.1", "--setting", "random-fully")

    assert "What if kernel=6.1:\n  invalid-reset-1 (ack-under-lower-bound) would not have happened:" in told
    assert (
        "What if random-fully:\n  invalid-reset-1 (ack-under-lower-bound) would have happened all the same:"
        in told
    )
    assert max(map(len, told.splitlines())) <= 80


def test_json_is_for_programs(tmp_path: Path) -> None:
    """The same answers, and the version of the format."""
    folder, output = str(FIXTURES / "snat-race"), tmp_path / "answer.json"

    assert "" == ask(folder, "--setting", "random-fully", "--format", "json", "-o", str(output))
    told = json.loads(output.read_text())
    (answer,) = told["what_if"]
    assert (1, "snat-race") == (told["format_version"], told["bundle"])
    assert ["syn-vanished-1"] == answer["avoided"]
    assert [] == answer["remaining"] == answer["unknown"]
    assert {"setting", "avoided", "remaining", "unknown", "says", "arithmetic"} == answer.keys()


def test_without_incidents_there_is_nothing_to_avoid() -> None:
    """A clean bundle says so."""
    assert "No incident: there is nothing that another setting could have avoided.\n" == ask(
        str(FIXTURES / "clean"), "--setting", "be-liberal"
    )


def test_a_wrong_setting_costs_no_reading() -> None:
    """It is told before the captures are opened."""
    with pytest.raises(UnusableInput, match="'liberal' is not a setting"):
        ask("no-such-file.pcap", "--setting", "liberal")


def test_help_names_every_setting() -> None:
    """Command and settings are where they are looked for."""
    told = ask("--help")

    assert "what-if" in COMMANDS
    assert all(f"\n    {known.form} " in told for known in SETTINGS.values())
