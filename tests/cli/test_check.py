"""`lostsyn check`: exit codes, formats, overrides, and stdout kept for results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import analyzer.report
from tests.conftest import Case
from tests.conversation import Conversation, bystander, record

SCHEMA = json.loads((Path(analyzer.report.__file__).parent / "schema.json").read_text())


def lossy() -> Conversation:
    """A connection whose first SYN vanishes."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept()
    return talk


@pytest.fixture
def lost(tmp_path: Path) -> Path:
    """A bundle with a loss."""
    return record(tmp_path / "lost", lossy(), bystander(-1), bystander(5))


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """A bundle without any."""
    return record(tmp_path / "clean", bystander(-1), bystander(5))


def test_every_fixture(bundle_case: Case, lostsyn: Callable[..., Any]) -> None:
    """The exit code is the expected one; the JSON obeys its schema, and stdout holds nothing else."""
    ran = lostsyn("check", bundle_case.folder, "--format", "json")

    assert bundle_case.expect["exit"] == ran.code
    told = json.loads(ran.out)
    jsonschema.validate(told, SCHEMA)
    assert 1 == told["format_version"]
    assert "" == ran.err


def test_no_incident(clean: Path, lostsyn: Callable[..., Any]) -> None:
    """Exit 0, said on stdout."""
    ran = lostsyn("check", clean)

    assert (0, "") == (ran.code, ran.err)
    assert ran.out


def test_incident(lost: Path, lostsyn: Callable[..., Any]) -> None:
    """Exit 1, told on stdout."""
    ran = lostsyn("check", lost)

    assert (1, "") == (ran.code, ran.err)
    assert "10.244.0.11:20000 > 192.0.2.100:80/tcp" in ran.out


def test_exit_zero(lost: Path, lostsyn: Callable[..., Any]) -> None:
    """`--exit-zero` changes the code and nothing else."""
    plain, zero = lostsyn("check", lost), lostsyn("check", lost, "--exit-zero")

    assert (1, 0) == (plain.code, zero.code)
    assert plain.out == zero.out


def test_into_a_file(lost: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """`-o` keeps stdout empty; `-o -` is stdout."""
    straight = lostsyn("check", lost, "--format", "json")
    ran = lostsyn("check", lost, "--format", "json", "-o", tmp_path / "out.json")
    dash = lostsyn("check", lost, "--format", "json", "-o", "-")

    assert (1, "") == (ran.code, ran.out)
    assert straight.out == (tmp_path / "out.json").read_text(encoding="utf-8") == dash.out


def test_a_file_that_cannot_be_written(lost: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """One sentence, exit 2."""
    ran = lostsyn("check", lost, "-o", tmp_path / "no" / "folder" / "out.txt")

    assert (2, "") == (ran.code, ran.out)
    assert ran.err.startswith("lostsyn: ")
    assert ran.err.endswith("out.txt: cannot be written: No such file or directory\n")


def test_several_paths_make_one_bundle(lost: Path, lostsyn: Callable[..., Any]) -> None:
    """Files in any order are the folder."""
    files = sorted(lost.iterdir())
    one = json.loads(lostsyn("check", lost, "--format", "json").out)
    other = json.loads(lostsyn("check", *reversed(files), "--format", "json").out)

    assert one["counts"] == other["counts"]
    assert [i["findings"] for i in one["incidents"]] == [i["findings"] for i in other["incidents"]]


def test_points_and_roles(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """What the user says of files and points is used."""
    folder = record(
        tmp_path,
        lossy(),
        bystander(-1),
        bystander(5),
        points=("cni0", "eth0"),
        names={"cni0": "inside", "eth0": "outside"},
    )
    ran = lostsyn(
        "check", folder, "--format", "json",
        "--point", "mybridge=inside.pcap", "--role", "mybridge=bridge", "--role", "outside=uplink",
    )  # fmt: skip
    told = json.loads(ran.out)

    assert [("mybridge", "bridge"), ("outside", "uplink")] == [(p["name"], p["role"]) for p in told["points"]]
    assert ["mybridge", "outside"] == told["incidents"][0]["gap"]
    assert [] == told["caveats"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--role", "eth0"), "--role: 'eth0' is not of the form NAME=ROLE"),
        (("--role", "eth0=router"), "--role: 'router' is no role; use pod, bridge or uplink"),
        (("--role", "eth7=uplink"), "--role: no capture point is called eth7; there are "),
        (("--point", "eth0"), "--point: 'eth0' is not of the form NAME=FILE"),
        (("--point", "eth0=nothing.pcap"), "no capture of the bundle is called 'nothing.pcap'"),
    ],
)
def test_wrong_overrides(
    options: tuple[str, ...], said: str, lost: Path, lostsyn: Callable[..., Any]
) -> None:
    """One sentence that names the mistake, exit 2."""
    ran = lostsyn("check", lost, *options)

    assert (2, "") == (ran.code, ran.out)
    assert ran.err.startswith(f"lostsyn: {said}")
    assert 1 == ran.err.count("\n")
