"""`lostsyn capture`: how it hands over to the script. What that does: tests/kernel/test_capture.py."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from analyzer.field.script import script


class Handed(BaseException):
    """Raised in the place of becoming another program; the command line makes a sentence of any `Exception`."""


def test_print_script(lostsyn: Callable[..., Any]) -> None:
    """The script as it is, and nothing else."""
    assert (0, script(), "") == lostsyn("capture", "--print-script")


def test_everything_is_handed_over(lostsyn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell gets the script as its input, and each option that was given."""
    seen: dict[str, Any] = {}

    def become(program: str, argv: list[str]) -> None:
        seen["argv"] = argv
        seen["text"] = os.read(seen["stdin"], 1 << 20).decode()
        raise Handed

    monkeypatch.setattr(os, "execvp", become)
    monkeypatch.setattr(os, "dup2", lambda file, _: seen.update(stdin=file))
    given = [
        "--pod",
        "a/b",
        "-i",
        "cni0",
        "-i",
        "eth0",
        "--until",
        "drop",
        "--until",
        "test -e x",
        "--size",
        "30",
        "--drops",
    ]
    with pytest.raises(Handed):
        lostsyn("capture", *given)

    assert ["sh", "-s", "--", *given] == seen["argv"]
    assert script() == seen["text"]


def test_no_shell(lostsyn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence."""
    monkeypatch.setenv("PATH", "")

    assert (2, "", "lostsyn: recording needs Linux and a shell\n") == lostsyn("capture")
