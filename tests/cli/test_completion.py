"""`lostsyn completion`: shells complete what there is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analyzer.cli import COMMANDS
from analyzer.incident.pages import CODES

LOSTSYN = Path(sys.executable).with_name("lostsyn")


def _complete(*words: str) -> list[str]:
    """What bash would offer for the last of *words*."""
    asked = {
        "_LOSTSYN_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run([LOSTSYN], env=os.environ | asked, check=True, capture_output=True, text=True)
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_each_shell_has_its_script(shell: str, lostsyn: Callable[..., Any]) -> None:
    """The script asks lostsyn in the shell's own way; nothing else is printed."""
    ran = lostsyn("completion", shell)

    assert (0, "") == (ran.code, ran.err)
    assert f"_LOSTSYN_COMPLETE={shell}_complete" in ran.out


def test_another_shell(lostsyn: Callable[..., Any]) -> None:
    """A shell that is not supported is an error that names those that are."""
    ran = lostsyn("completion", "tcsh")

    assert 2 == ran.code
    assert "bash" in ran.err


def test_commands() -> None:
    """All commands are offered, and those that begin as what was typed."""
    assert sorted(COMMANDS) == sorted(_complete("lostsyn", ""))
    assert ["report"] == _complete("lostsyn", "rep")


def test_options_and_choices() -> None:
    """Options of a command, and what an option chooses from."""
    assert {"--evidence", "--redact", "--redact-key"} <= set(_complete("lostsyn", "check", "--"))
    assert "json" in _complete("lostsyn", "check", "--format", "")


def test_causes() -> None:
    """`explain` offers all pages."""
    assert sorted(CODES) == sorted(_complete("lostsyn", "explain", ""))
    assert ["dns-insert-race"] == _complete("lostsyn", "explain", "dns")


def test_bash_takes_the_script(tmp_path: Path) -> None:
    """A shell loads it and, asked for the command's completion, calls it."""
    script = (
        'eval "$(lostsyn completion bash)"; COMP_WORDS=(lostsyn expl); COMP_CWORD=1;'
        '_lostsyn_completion lostsyn; echo "${COMPREPLY[@]}"'
    )
    path = f"{LOSTSYN.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=os.environ | {"PATH": path}, check=True, capture_output=True, text=True,
    )  # fmt: skip

    assert ("explain\n", "") == (done.stdout, done.stderr)


def test_offering_commands_imports_none_of_them() -> None:
    """Tab must not wait: the names and their help come from a table."""
    program = (
        "import sys\nfrom analyzer.cli import group\nimport click\n"
        "group.shell_complete(click.Context(group), '')\n"
        "print(*(name for name in sys.modules if name.startswith('analyzer.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)

    assert "" == done.stdout.strip()
