"""`lostsyn lab`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from analyzer.cli.lab import command
from analyzer.errors import MissingTool
from analyzer.lab.scenarios import SCENARIOS


def test_list_describes_every_scenario() -> None:
    """Name, rounds and docstring, wrapped for a terminal."""
    told = CliRunner().invoke(command, ["--list"])
    assert told.exit_code == 0
    headings = [line for line in told.output.splitlines() if line and not line.startswith(" ")]
    assert [f"{name} ({scenario.rounds} rounds)" for name, scenario in SCENARIOS.items()] == headings
    assert max(map(len, told.output.splitlines())) <= 90


def test_an_unknown_scenario_is_a_usage_error() -> None:
    """The choices are named."""
    told = CliRunner().invoke(command, ["snow"])
    assert told.exit_code == 2
    assert "snat-race" in told.output


def test_errors_are_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`lostsyn` turns them into one sentence and exit code 2."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    told = CliRunner().invoke(command, ["clean", "-o", str(tmp_path / "x")])
    assert isinstance(told.exception, MissingTool)
