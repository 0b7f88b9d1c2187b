"""Containerfile: its stages fit together, its commands are ours, its shell is sound. No machine of ours can pull an image."""

from __future__ import annotations

import json
import re
import subprocess

import click
import pytest

from analyzer.cli import group
from tests.conftest import ROOT

TEXT = (ROOT / "Containerfile").read_text(encoding="utf-8")
LINES = [line.split(maxsplit=1) for line in TEXT.splitlines() if line and not line.startswith("#")]


def stages() -> dict[str, dict[str, list[str]]]:
    """Of each stage what its instructions say, those of the stage that it begins with included."""
    found: dict[str, dict[str, list[str]]] = {}
    name = ""
    for word, rest in LINES:
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = {key: list(values) for key, values in found.get(base, {"FROM": [base]}).items()}
        elif name:
            found[name].setdefault(word, []).append(rest)
    return found


def test_stages() -> None:
    """Three images, which begin with one Python and take what the first stage built; two of them run as nobody in particular."""
    made = stages()

    assert ["build", "analysis", "serve", "capture"] == list(made)
    assert {"${PYTHON}"} == {stage["FROM"][0] for stage in made.values()}
    assert set(made) >= set(re.findall(r"--from=(\w+)", TEXT))
    assert {"analysis": "10001", "serve": "10001", "capture": "0"} == {
        name: stage["USER"][-1] for name, stage in made.items() if name != "build"
    }


@pytest.mark.parametrize("name", ["analysis", "serve", "capture"])
def test_commands(name: str) -> None:
    """What an image runs is a command of ours, with options that it has."""
    stage = stages()[name]
    program, *arguments = json.loads(stage["ENTRYPOINT"][-1]) + json.loads(stage["CMD"][-1])

    assert "lostsyn" == program
    if arguments[0] in ("serve", "capture"):
        command = group.get_command(click.Context(group), arguments.pop(0))
        assert command is not None
        known = {word for parameter in command.params for word in parameter.opts} | {"--help"}
        assert {word for word in arguments if word.startswith("--")} <= known


def test_packages() -> None:
    """What is installed of Debian is what the tests run with here, and a compiler to build with."""
    asked = {
        name for part in re.findall(r"--no-install-recommends ([a-z0-9 -]+)", TEXT) for name in part.split()
    }
    here = re.search(r'packages="([^"]+)"', (ROOT / ".ci/run").read_text(encoding="utf-8"))

    assert here
    assert {"gcc", "libc6-dev"} == asked - set(here[1].split())


@pytest.mark.field
def test_shell() -> None:
    """Shellcheck has nothing to say."""
    script = "#!/bin/sh\n" + "\n".join(rest for word, rest in LINES if word == "RUN")
    ran = subprocess.run(["shellcheck", "-"], input=script, capture_output=True, text=True, check=False)

    assert (0, "") == (ran.returncode, ran.stdout)
