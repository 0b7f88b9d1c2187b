"""`lostsyn check`: exit codes, formats, overrides, and stdout kept for results."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

import analyzer.report
from analyzer.cli.formats import FORMATS
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


def told(out: str) -> str:
    """What was found, without the command line that asked for it."""
    return re.sub(r'(?m)(^Made by lostsyn [\d.]+|"command": ).*', r"\1", out)


def test_exit_zero(lost: Path, lostsyn: Callable[..., Any]) -> None:
    """`--exit-zero` changes the code and nothing else."""
    plain, zero = lostsyn("check", lost), lostsyn("check", lost, "--exit-zero")

    assert (1, 0) == (plain.code, zero.code)
    assert told(plain.out) == told(zero.out)


def test_into_a_file(lost: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """`-o` keeps stdout empty; `-o -` is stdout."""
    straight = lostsyn("check", lost, "--format", "json")
    ran = lostsyn("check", lost, "--format", "json", "-o", tmp_path / "out.json")
    dash = lostsyn("check", lost, "--format", "json", "-o", "-")

    assert (1, "") == (ran.code, ran.out)
    written = (tmp_path / "out.json").read_text(encoding="utf-8")
    assert told(straight.out) == told(written) == told(dash.out)


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
        (("--role", "eth0=router"), "--role: 'router' is not a role; use pod, bridge or uplink"),
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


RULE = """
[[expect]]
bundle = "lost"
[[expect.incidents]]
kind = "syn-vanished"
destination = "192.0.2.100:80"
findings = {findings}
"""


@pytest.fixture
def unusable(tmp_path: Path) -> Path:
    """A bundle without captures."""
    (tmp_path / "unusable").mkdir()
    return tmp_path / "unusable"


def test_each_path_is_a_bundle(lost: Path, clean: Path, unusable: Path, lostsyn: Callable[..., Any]) -> None:
    """One that cannot be analysed is reported, the others are checked; the exit status is the highest."""
    ran = lostsyn("check", "--each", lost, unusable, clean, "--format", "json")
    told = json.loads(ran.out)
    jsonschema.validate(told, SCHEMA)

    assert [1, 2, 0] == [one["exit"] for one in told["bundles"]]
    assert [[str(path)] for path in (lost, unusable, clean)] == [one["paths"] for one in told["bundles"]]
    assert 2 == ran.code
    assert ran.err.startswith(f"lostsyn: {unusable}: unusable: no capture (pcap or pcapng) found; record ")
    assert 1 == lostsyn("check", "--each", lost, clean).code
    assert 0 == lostsyn("check", "--each", lost, clean, "--exit-zero").code
    assert 2 == lostsyn("check", "--each", lost, unusable, "--exit-zero").code
    assert 0 == lostsyn("check", "--each", clean, clean).code


@pytest.mark.parametrize("each", [(), ("--each",)])
def test_every_format(each: tuple[str, ...], lost: Path, lostsyn: Callable[..., Any]) -> None:
    """Each tells the incident, with one bundle and with several, and none changes the exit status."""
    for form, words in (
        ("text", "1 SYN vanished between cni0 and eth0"),
        ("json", '"id": "syn-vanished-1"'),
        ("junit", 'name="syn-vanished-1: SYNs vanished, cause unknown between cni0 and eth0"'),
        ("sarif", '"ruleId": "unknown"'),
        ("github", "::error title=SYNs vanished%2C cause unknown between cni0 and eth0"),
    ):
        ran = lostsyn("check", *each, lost, "--format", form)

        assert (1, "") == (ran.code, ran.err)
        assert words in " ".join(ran.out.split())


def test_expectations(lost: Path, clean: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """Met is 0, a number that differs is 1, and so is a required one that is missing, or one that is not named."""
    file = tmp_path / "expect.toml"
    file.write_text(RULE.format(findings=1))
    assert (0, "") == (ran := lostsyn("check", lost, "--expect", file))[::2]
    assert ran.out.startswith("As expected\n")

    file.write_text(RULE.format(findings=2))
    ran = lostsyn("check", lost, "--expect", file)
    assert (1, "") == (ran.code, ran.err)
    said = " ".join(ran.out.split())
    assert "- findings of syn-vanished to 192.0.2.100:80: expected 2, found 1" in said

    file.write_text(RULE.format(findings=1).replace("lost", "clean"))
    assert 1 == lostsyn("check", clean, "--expect", file).code
    ran = lostsyn("check", "--each", lost, "--expect", file)
    assert 1 == ran.code
    assert [
        f"lostsyn: {file} does not name {lost}, so nothing is expected of it",
        f"lostsyn: {file} also names {clean}: not checked",
    ] == ran.err.splitlines()


def test_a_bundle_that_is_gone(lost: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """Whoever deletes or renames a folder must not turn the build green: it is an error in every format."""
    file = tmp_path / "expect.toml"
    file.write_text(RULE.format(findings=1) + RULE.format(findings=1).replace("lost", "gone"))
    said = f"it is not there, but {file} names it: remove its table there"

    ran = lostsyn("check", "--each", lost, "--expect", file)
    assert (2, [f"lostsyn: {tmp_path / 'gone'}: {said}"]) == (ran.code, ran.err.splitlines())
    for form in FORMATS:
        ran = lostsyn("check", "--each", lost, "--expect", file, "--format", form)
        assert (2, True) == (ran.code, "it is not there" in " ".join(ran.out.split()))
    assert 0 == lostsyn("check", lost, "--expect", file).code


def test_only_the_unexpected_is_told(lost: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """An incident that is expected passes in JUnit, and is no result in SARIF and no annotation."""
    file = tmp_path / "expect.toml"
    file.write_text(RULE.format(findings=1))
    by = {
        form: lostsyn("check", lost, "--expect", file, "--format", form)
        for form in ("json", "junit", "sarif", "github")
    }

    assert {0} == {ran.code for ran in by.values()}
    assert json.loads(by["json"].out)["expectations"] == {"file": str(file), "met": True, "unmet": []}
    assert "0" == ElementTree.fromstring(by["junit"].out)[0].get("failures")  # noqa: S314
    assert [] == json.loads(by["sarif"].out)["runs"][0]["results"]
    assert "::" not in by["github"].out


def test_update(lost: Path, clean: Path, unusable: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """It writes what was found; done again it leaves the file alone to the byte; what failed is left out."""
    file = tmp_path / "expect.toml"
    arguments = ("check", "--each", lost, clean, "--expect", file)
    ran = lostsyn(*arguments, "--update")
    written = file.read_bytes()
    assert (0, f"lostsyn: {file}: wrote {lost}, {clean}\n") == (ran.code, ran.err)
    assert [("lost", 1), ("clean", 0)] == [
        (table["bundle"], table["exit"]) for table in tomllib.loads(written.decode())["expect"]
    ]

    assert (0, "") == lostsyn(*arguments)[::2]
    again = lostsyn(*arguments, unusable, "--update")
    assert 2 == again.code
    assert f"lostsyn: {file} is up to date" == again.err.splitlines()[0]
    assert written == file.read_bytes()


def test_update_leaves_what_is_met(lost: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """A rule that a person wrote, and their comments, stay while they hold; then numbers take their place."""
    file = tmp_path / "expect.toml"
    file.write_text("# ours\n" + RULE.format(findings="{ min = 1, max = 9 }"))
    before = file.read_bytes()
    assert 0 == lostsyn("check", lost, "--expect", file, "--update").code
    assert before == file.read_bytes()

    file.write_text("# ours\n" + RULE.format(findings=7))
    assert 0 == lostsyn("check", lost, "--expect", file, "--update").code
    (table,) = tomllib.loads(file.read_text())["expect"]
    assert [
        {"kind": "syn-vanished", "cause": "unknown", "gap": ["cni0", "eth0"], "findings": 1}
    ] == table["incidents"]  # fmt: skip


def test_nothing_can_be_concluded(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """It is 2 also where nothing is expected, unless the file says that it is so; then it is as expected."""
    one = record(tmp_path / "one", bystander(0), points=("eth0",))
    file = tmp_path / "expect.toml"
    file.write_text("[[expect]]\nbundle = 'one'\n")
    ran = lostsyn("check", one, "--expect", file)
    assert 2 == ran.code
    assert ran.err.startswith("lostsyn: only eth0 was captured")

    file.write_text("[[expect]]\nbundle = 'one'\nexit = 2\n")
    assert (0, "") == lostsyn("check", one, "--expect", file)[::2]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--update",), "--update: give the file to write with --expect FILE"),
        (("--expect", "gone.toml"), "gone.toml: no such file; `--update` writes it"),
        (("--expect", "gone/expect.toml", "--update"), "gone/expect.toml: cannot be written: No such file"),
    ],
)
def test_expectations_that_cannot_be_used(
    options: tuple[str, ...],
    said: str,
    lost: Path,
    tmp_path: Path,
    lostsyn: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One sentence, exit 2, and no result that might be taken for one."""
    monkeypatch.chdir(tmp_path)
    ran = lostsyn("check", lost, *options)

    assert (2, "") == (ran.code, ran.out)
    assert ran.err.startswith(f"lostsyn: {said}")
    assert 1 == ran.err.count("\n")


@pytest.mark.parametrize("size", ["1M", "1.5GiB", "500kB"])
def test_less_memory_changes_nothing(size: str, lost: Path, lostsyn: Callable[..., Any]) -> None:
    """Also where the limit is less than Python takes."""
    plenty, little = lostsyn("check", lost), lostsyn("check", "--memory", size, lost)
    assert (plenty.code, told(plenty.out)) == (little.code, told(little.out))


@pytest.mark.parametrize("size", ["2", "G", "-1G", "two", "0M"])
def test_a_size_that_is_none(size: str, lost: Path, lostsyn: Callable[..., Any]) -> None:
    """A number and one of the letters."""
    ran = lostsyn("check", "--memory", size, lost)

    assert (2, f"lostsyn: --memory: {size!r} is not a size; write 2G or 500M\n") == (ran.code, ran.err)


def test_temporary_files_in_memory(
    lost: Path, lostsyn: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files in a tmpfs save none: that is said, and the analysis goes on."""
    folder = "/dev/shm"  # noqa: S108
    monkeypatch.setenv("TMPDIR", folder)
    monkeypatch.setattr("tempfile.tempdir", folder)
    ran = lostsyn("check", "--memory", "1G", lost)

    assert 1 == ran.code
    assert f"lostsyn: --memory: {folder} is itself in memory (tmpfs)" in ran.err
