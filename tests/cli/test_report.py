"""`lostsyn report`: the file, the files per incident, and what stderr says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cli.test_check import lossy
from tests.conftest import ROOT
from tests.conversation import bystander, record


def test_one_file(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """The report is where `-o` says; stdout stays empty; exit 0 though there is an incident."""
    folder = record(tmp_path / "in", lossy(), bystander(-1), bystander(5))
    ran = lostsyn("report", folder, "-o", tmp_path / "out.html")

    assert (0, "") == (ran.code, ran.out)
    verdict, where = ran.err.splitlines()
    assert verdict.startswith("lostsyn: 1 of 3 connections ")
    assert f"lostsyn: the report is {tmp_path / 'out.html'}" == where
    assert (tmp_path / "out.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")


def test_stdout(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """`-o -` writes the page and nothing else to stdout."""
    ran = lostsyn("report", record(tmp_path, bystander(-1), bystander(5)), "-o", "-")

    assert (0, "") == (ran.code, ran.err)
    assert ran.out.lower().startswith("<!doctype html>")
    assert ran.out.rstrip().endswith("</html>")


def test_one_file_per_incident(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """`--per-incident` makes the folder and a file for each."""
    folder = record(tmp_path / "in", lossy(), bystander(-1), bystander(5))
    ran = lostsyn("report", folder, "-o", tmp_path / "out.html", "--per-incident", tmp_path / "each" / "one")

    assert 0 == ran.code
    assert ["syn-vanished-1.html"] == [path.name for path in (tmp_path / "each" / "one").iterdir()]


def test_slow_requests(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """The sentence is on stderr, `check` tells it as well; a log that is not there, or would be written over, is exit 2."""
    folder = record(tmp_path / "in", lossy(), bystander(-1), bystander(5))
    log = tmp_path / "slow.csv"
    log.write_text("time,duration_s,dst\n2026-11-20T11:00:00Z,1.0,192.0.2.7\n")
    ran = lostsyn("report", folder, "--slow-log", log, "-o", tmp_path / "out.html")
    checked = lostsyn("check", folder, "--slow-log", log, "--format", "json", "--exit-zero")
    says = "of 1 slow request none is explained; 1 was not among the captured connections"

    assert (0, True) == (ran.code, f"lostsyn: {says}\n" in ran.err)
    assert says == json.loads(checked.out)["slow_log"]["says"]
    assert 2 == lostsyn("report", folder, "--slow-log", tmp_path / "none").code
    assert 2 == lostsyn("report", folder, "--slow-log", log, "-o", log).code
    assert log.read_text().startswith("time")


def test_folder_that_cannot_be_made(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """A file is in the way: one sentence, exit 2."""
    folder = record(tmp_path / "in", bystander(-1), bystander(5))
    (tmp_path / "file").write_text("")
    ran = lostsyn("report", folder, "-o", tmp_path / "out.html", "--per-incident", tmp_path / "file" / "each")

    assert 2 == ran.code
    assert ran.err.startswith(f"lostsyn: {tmp_path / 'file' / 'each'}: cannot be created: ")


def test_progress_on_a_terminal() -> None:
    """It shows how much is read, and nothing of that is left."""
    ours, theirs = os.openpty()
    ran = subprocess.run(
        [sys.executable, "-m", "analyzer", "report", "fixtures/snat-race", "-o", "-"],
        stdout=subprocess.DEVNULL, stderr=theirs, cwd=ROOT, check=False,
    )  # fmt: skip
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)

    assert 0 == ran.returncode
    assert "reading" in shown
    assert "\x1b[A\r\x1b[2K" in shown
