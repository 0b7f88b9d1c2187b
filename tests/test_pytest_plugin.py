"""The pytest plugin: folders with a case.toml are tests, and other people's files are left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer.errors import UnusableInput
from analyzer.expectations.file import read
from tests.conversation import Conversation, bystander, record

EXPECTED = """
[expect]
exit = 1
[[expect.incidents]]
kind = "syn-vanished"
findings = 1
"""


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A folder in which one SYN vanishes."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept()
    return record(tmp_path / "lost", talk, bystander(-1), bystander(5))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs pytest in a process of its own, where the entry point is all it knows of us."""

    def pytest_(*arguments: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
            cwd=tmp_path, env=clean, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return pytest_


def test_cases_are_tests(
    case: Path, tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """As expected is passed; else the failure is the report, and what cannot be run is one sentence."""
    shutil.copytree(case, tmp_path / "found")
    for name, text in (
        ("found", EXPECTED), ("lost", "[expect]\nexit = 0\n"), ("empty", EXPECTED), ("typo", "[expect]\nexti = 0\n")
    ):  # fmt: skip
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "case.toml").write_text(text)
    ran = run("--continue-on-collection-errors", "-rA")

    assert 1 == ran.returncode
    assert "1 passed, 1 error" in ran.stdout.replace("2 failed, ", "")
    assert "PASSED found/case.toml::found" in ran.stdout
    assert "FAILED lost/case.toml::lost - not expected: syn-vanished-1 (syn-vanished unk" in ran.stdout
    assert "Not as expected\n  - not expected: syn-vanished-1 (syn-vanished unknown" in ran.stdout
    assert "1 SYN vanished between cni0 and eth0" in " ".join(ran.stdout.split())
    assert "empty: no capture (pcap or pcapng) found among 1 text file" in ran.stdout
    assert "case.toml: expect knows no 'exti'; it knows bundle, counts, exit, incidents" in ran.stdout
    assert "Traceback" not in ran.stdout


def test_other_peoples_files(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """A case.toml of another program is no test, and no error; nothing of Lostsyn is loaded for it."""
    for number, text in enumerate((b"# [expect]\n[expected", b"x = 1", b"expect = 'a snapshot'", b"\xff")):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "case.toml").write_bytes(text)
    (tmp_path / "conftest.py").write_text(
        "import sys\ndef pytest_unconfigure():\n"
        "    print(sorted(n for n in sys.modules if n.startswith(('analyzer', 'numpy', 'pandas', 'click'))))\n"
    )
    ran = run("-s")

    assert 5 == ran.returncode, ran.stdout
    assert "['analyzer', 'analyzer.pytest_plugin']\n" in ran.stdout
    assert "" == ran.stderr


@pytest.mark.parametrize("text", [b"[expect]\nexit = \n", b"[[expect]\n", b"\xff\n[expect.counts]\n"])
def test_a_slip_is_told(
    text: bytes, tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """A case.toml of ours that is no TOML is an error of the collection, in the sentence that `check --expect` has."""
    (tmp_path / "case.toml").write_bytes(text)
    ran = run()
    with pytest.raises(UnusableInput, match="is not TOML: ") as caught:
        read(tmp_path / "case.toml")

    assert 2 == ran.returncode
    assert str(caught.value) in ran.stdout
    assert "Traceback" not in ran.stdout


def test_several_bundles(
    case: Path, tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """A case.toml that `lostsyn check --update` wrote for several bundles is a test for each; -k selects them."""
    (tmp_path / "case.toml").write_text(
        '[[expect]]\nbundle = "lost"\n[[expect]]\nbundle = ["lost/cni0.pcap", "lost/eth0.pcap"]\n'
    )
    ran = run("-k", "cni0")

    assert "1 failed, 1 deselected" in ran.stdout
    assert "FAILED case.toml::lost/cni0.pcap,lost/eth0.pcap" in ran.stdout
