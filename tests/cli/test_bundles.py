"""Many bundles in one `lostsyn check`: several at once, their reports, and the folder that looks like many."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analyzer.cli import bundles
from analyzer.report.checked import Checked
from tests.conftest import FIXTURES


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """A race, a clean bundle, and a file that is no capture."""
    (tmp_path / "no.pcap").write_bytes(b"\0" * 10)
    return [FIXTURES / "snat-race", tmp_path / "no.pcap", FIXTURES / "clean"]


def test_several_at_once(three: list[Path], lostsyn: Callable[..., Any]) -> None:
    """Two processes give what one gives, in the same order."""
    one, two = (lostsyn("check", "--each", *three, "--format", "json", "--jobs", jobs) for jobs in (1, 2))

    assert (one.code, one.out.replace("--jobs 1", "--jobs 2"), one.err) == two
    assert 2 == two.code
    assert [1, 2, 0] == [bundle["exit"] for bundle in json.loads(two.out)["bundles"]]


class Killer:
    """An order whose process dies of it."""

    def attempt(self, paths: tuple[str, ...], *, quiet: bool) -> Checked:
        """Die."""
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


def test_a_process_that_is_killed() -> None:
    """Its bundle cannot be told, and says what to try."""
    found = bundles.each([("a",), ("b",)], Killer(), 2)  # type: ignore[arg-type]

    assert [(2, bundles.DIED)] * 2 == [(one.exit, one.error) for one in found]


def _but_the_command(text: str) -> str:
    return re.sub(r"lostsyn check --each [^\"<`\n]*", "", text)


def test_formats_and_pages(three: list[Path], tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """One run writes all formats, and a report of each bundle that is to be looked at."""
    files = {form: tmp_path / f"out.{form}" for form in ("junit", "sarif", "json", "markdown")}
    also = [part for form, file in files.items() for part in ("--also", f"{form}={file}")]
    ran = lostsyn("check", "--each", *three, "--format", "github", *also, "--html", tmp_path / "html")
    (page,) = (tmp_path / "html").iterdir()

    assert "lostsyn: 3 bundles checked, 2 with findings\n" in ran.out
    for form, file in files.items():
        alone = lostsyn("check", "--each", *three, "--format", form).out
        assert _but_the_command(alone) == _but_the_command(file.read_text(encoding="utf-8"))
    assert f"lostsyn: {three[0]}: the report is {page}\n" in ran.err
    assert "SNAT port race" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("also", ["xml=a", "junit", "junit=-"])
def test_also_what(also: str, lostsyn: Callable[..., Any]) -> None:
    """No such format, no file, or stdout, which has the first one."""
    ran = lostsyn("check", FIXTURES / "clean", "--also", also)

    assert (2, "") == (ran.code, ran.out)
    assert ran.err.startswith("lostsyn: --also: ")


def test_also_keeps_apart(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """No output takes a capture's place."""
    shutil.copytree(FIXTURES / "clean", tmp_path / "b")
    capture = next((tmp_path / "b").glob("*.pcap"))
    before = capture.read_bytes()
    ran = lostsyn("check", tmp_path / "b", "--also", f"json={capture}")

    assert 2 == ran.code
    assert before == capture.read_bytes()


def test_a_folder_of_bundles(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """It is said how to check each; of a bundle whose points lie in folders it is not."""
    for name in ("a", "b"):
        shutil.copytree(FIXTURES / "clean", tmp_path / "many" / name)
    for file in (FIXTURES / "clean").glob("*.pcap"):
        (tmp_path / "one" / file.stem).mkdir(parents=True)
        shutil.copy(file, tmp_path / "one" / file.stem)

    assert f"lostsyn check --each {tmp_path}/many/*/" in lostsyn("check", f"{tmp_path}/many/").err
    assert "--each" not in lostsyn("check", tmp_path / "one").err


def test_what_the_expectations_name(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """Without a path the bundles are those of the file; one that is gone is told; a new file has none to check."""
    shutil.copytree(FIXTURES / "clean", tmp_path / "here")
    file = tmp_path / "lostsyn.toml"
    file.write_text('[[expect]]\nbundle = "here"\n[[expect]]\nbundle = "gone"\n')
    ran = lostsyn("check", "--expect", file)
    empty = lostsyn("check", "--expect", tmp_path / "new.toml", "--update")

    assert 2 == ran.code
    assert "/here <==" in ran.out
    assert "gone" in ran.err
    assert (2, "") == (empty.code, empty.out)
    assert "names no bundle" in empty.err
