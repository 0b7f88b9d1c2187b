"""`lostsyn fleet`: dataset and report where they are asked for, one sentence for what is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_check import lossy
from tests.conversation import bystander, record


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A node with a loss, one without, one that recorded nothing."""
    record(tmp_path / "in" / "node-a" / "x", lossy(), bystander(-1), bystander(5))
    record(tmp_path / "in" / "node-b" / "x", bystander(-1), bystander(5))
    (tmp_path / "in" / "node-c").mkdir()
    (tmp_path / "in" / "node-c" / "eth0.pcap").write_text("nothing")
    return tmp_path / "in"


def test_a_fleet(root: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """Exit 0 though there are losses and a bad bundle; a second run does what is missing."""
    out = tmp_path / "out"
    first = lostsyn("fleet", root, "-o", out, "--workers", 2)
    second = lostsyn("fleet", root, "-o", out, "--workers", 1, "--format", "json")

    assert (0, 0) == (first.code, second.code)
    assert first.out.startswith(
        "1 packet lost at 1 of 2 nodes\n"
        "5 connections: 4 worked, 1 delayed or failed because of this node\n"
        "2 bundles analysed now, 0 done before, 1 bad bundle\n"
    )
    bad, where = first.err.splitlines()
    assert bad.startswith("lostsyn: node-c: node-c: no capture (pcap or pcapng) found among 1 text file")
    assert f"lostsyn: the report is {out}/report.html" == where
    told = json.loads(second.out)
    assert (0, 2, 1) == (told["analysed"], told["done_before"], told["lost"])
    assert (out / "report.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")


def test_nothing_but_bad_bundles(root: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """The report is written, and the exit code says that it tells nothing."""
    for name in ("node-a", "node-b"):
        (root / name).rename(tmp_path / name)
    ran = lostsyn("fleet", root, "-o", tmp_path / "out", "--workers", 1)

    assert 2 == ran.code
    assert ran.out.startswith("No bundle could be analysed\n")
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "nowhere: no bundle found"),
        (("nowhere://x",), "nowhere://x: Protocol not known"),
        (("x", "-o", "nowhere://x"), "nowhere://x: Protocol not known"),
        (("x", "--scheduler", "nonsense://x"), "nonsense://x: no Dask scheduler answers there"),
    ],
)
def test_what_cannot_be(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lostsyn: Callable[..., Any],
) -> None:
    """One sentence, exit 2, nothing written."""
    monkeypatch.chdir(tmp_path)
    ran = lostsyn("fleet", *arguments)

    assert (2, "") == (ran.code, ran.out)
    assert ran.err.startswith(f"lostsyn: {said}")
    assert 1 == ran.err.count("\n")
    assert [] == list(tmp_path.iterdir())


def test_whose_workers(lostsyn: Callable[..., Any]) -> None:
    """The workers of a scheduler are not this command's to count."""
    ran = lostsyn("fleet", "x", "--scheduler", "tcp://127.0.0.1:9", "--workers", 2)

    assert 2 == ran.code
    assert "those of a scheduler are started beside it" in ran.err


@pytest.mark.parametrize("missing", ["fsspec", "pyarrow"])
def test_not_installed(missing: str, monkeypatch: pytest.MonkeyPatch, lostsyn: Callable[..., Any]) -> None:
    """What to install, in one sentence."""
    monkeypatch.setitem(sys.modules, missing, None)
    ran = lostsyn("fleet", "x")

    assert (2, "lostsyn: a fleet needs pyarrow and fsspec: pip install 'lostsyn[fleet]'\n") == (
        ran.code,
        ran.err,
    )
