"""The command itself: help, errors, and what it imports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from analyzer.cli import COMMANDS


def test_help_imports_nothing_heavy() -> None:
    """`lostsyn --help` answers at once: neither numpy nor pandas, scapy or jinja2 is loaded for it."""
    program = (
        "import sys; from analyzer.cli import main; sys.argv = ['lostsyn', '--help']\n"
        "try: main()\n"
        "finally: print(sorted(set(sys.modules) & {'numpy', 'pandas', 'scapy', 'jinja2', 'dpkt', 'rich'}))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ran.stdout.endswith("\n[]\n")
    assert "Usage: lostsyn" in ran.stdout
    assert "" == ran.stderr


def test_every_command_is_listed_and_helps_itself(lostsyn: Callable[..., Any]) -> None:
    """Every sub-command is in the help and has one of its own."""
    listed = lostsyn("--help").out
    for name in COMMANDS:
        assert f"\n  {name} " in listed
        ran = lostsyn(name, "--help")
        assert 0 == ran.code
        assert f"Usage: lostsyn {name}" in ran.out


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["check"], ["check", "--format", "xml", "."], ["--frob"]]
)
def test_wrong_usage(arguments: list[str], lostsyn: Callable[..., Any]) -> None:
    """Usage errors go to stderr and are 2."""
    ran = lostsyn(*arguments)

    assert (2, "") == (ran.code, ran.out)
    assert "Usage: lostsyn" in ran.err


def test_a_terminal_that_is_not_utf_8() -> None:
    """What it cannot show becomes a question mark, not a traceback."""
    program = "import sys; from analyzer.cli import main; sys.argv = ['lostsyn', 'explain', '\u2026']; main()"
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=False)

    assert 2 == ran.returncode
    assert b"Traceback" not in ran.stderr
    assert b"?" in ran.stderr
