"""docs/ci.md: its example jobs are valid, and do what they say; its example expectations are read.

The steps are taken out of the page and run in a folder that looks like the repository of the example, with the shell and
the options that the CI system runs them with. Two things cannot be had here, and are left out: actions (`uses:`) and the
download of Lostsyn; `pip install lostsyn` becomes a look whether it is installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import ruamel.yaml

from analyzer.expectations.file import read
from tests.conftest import FIXTURES, ROOT

PAGE = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
EXPECTED = """
[[expect]]
bundle = "captures/clean"
[[expect]]
bundle = "captures/race"
[[expect.incidents]]
cause = "snat-port-race"
findings = 6
"""


def example(heading: str, language: str) -> str:
    """Return the one block of code under a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return str(block)


def job(heading: str, schema: str) -> dict[str, Any]:
    """Read the job under a heading, once its own system's schema has found nothing wrong with it."""
    loaded: dict[str, Any] = ruamel.yaml.YAML(typ="safe").load(example(heading, "yaml"))
    text = (
        resources.files("check_jsonschema.builtin_schemas.vendor")
        .joinpath(schema)
        .read_text(encoding="utf-8")
    )
    rules = json.loads(text)
    jsonschema.validators.validator_for(rules)(rules).validate(loaded)
    return loaded


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A working copy with two bundles and their expectations."""
    for name, case in (("clean", "clean"), ("race", "snat-race")):
        shutil.copytree(FIXTURES / case, tmp_path / "captures" / name)
    (tmp_path / "lostsyn.toml").write_text(EXPECTED)
    return tmp_path


def steps(repository: Path, lines: Sequence[str], shell: Sequence[str]) -> list[tuple[int, str]]:
    """Run each step as a job does, with the Lostsyn that is installed here; return exit statuses and output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = []
    for line in lines:
        here = line.replace("pip install lostsyn", "lostsyn --version")
        done = subprocess.run(
            [*shell, here], cwd=repository, env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        ran.append((done.returncode, done.stdout))
    return ran


def test_github_actions(repository: Path) -> None:
    """As expected, the job passes without annotations; not as expected, it fails, says where, and has its results."""
    told = job("GitHub Actions", "github-workflows.json")
    runs = [step["run"] for step in told["jobs"]["lostsyn"]["steps"] if "run" in step]
    shell = ("bash", "-e", "-c")
    fine = steps(repository, runs, shell)

    assert [0, 0, 0] == [code for code, _ in fine]
    assert "lostsyn: 2 bundles checked, 0 with findings\n" == fine[1][1]
    assert [] == json.loads((repository / "lostsyn.sarif").read_text())["runs"][0]["results"]

    (repository / "lostsyn.toml").write_text(EXPECTED.replace("snat-port-race", "policy-drop"))
    wrong = steps(repository, runs[1:], shell)
    uris = [
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        for result in json.loads((repository / "lostsyn.sarif").read_text())["runs"][0]["results"]
    ]
    assert [1, 0] == [code for code, _ in wrong]
    assert "title=SNAT port race between cni0 and eth0,file=captures/race/cni0.pcap::" in wrong[0][1]
    assert "title=Not as expected,file=lostsyn.toml,line=4::" in wrong[0][1]
    assert ["captures/race/cni0.pcap", "lostsyn.toml"] == uris
    assert told["jobs"]["lostsyn"]["steps"][-1]["with"]["sarif_file"] == "lostsyn.sarif"


def test_gitlab_ci(repository: Path) -> None:
    """The job passes or fails with the expectations, and leaves its test report either way."""
    told = job("GitLab CI", "gitlab-ci.json")["lostsyn"]
    lines = [*told["before_script"], *told["script"]]
    shell = ("bash", "-e", "-o", "pipefail", "-c")
    report = repository / told["artifacts"]["reports"]["junit"]

    assert [0, 0] == [code for code, _ in steps(repository, lines, shell)]
    assert ["0", "0"] == [suite.get("failures") for suite in ElementTree.parse(report).getroot()]  # noqa: S314

    report.unlink()
    (repository / "lostsyn.toml").write_text(EXPECTED.replace("findings = 6", "findings = 7"))
    assert [0, 1] == [code for code, _ in steps(repository, lines, shell)]
    assert ["0", "1"] == [suite.get("failures") for suite in ElementTree.parse(report).getroot()]  # noqa: S314
    assert "always" == told["artifacts"]["when"]


def test_expectations_of_the_page(tmp_path: Path) -> None:
    """The file that is shown can be read, and has the rules that are told of."""
    (tmp_path / "lostsyn.toml").write_text(example("Expectations", "toml"))
    known = read(tmp_path / "lostsyn.toml")

    assert [("captures/node7",), ("captures/node8",)] == list(known.bundles)
    assert [True, False] == [rule.required for rule in known.bundles[("captures/node7",)].rules]


def test_every_key_is_documented() -> None:
    """The tables of the page name the keys that the file may have, and no others."""
    section = PAGE.partition("## Expectations\n")[2].partition("\n## ")[0]

    assert {
        "bundle", "exit", "counts", "incidents",
        "kind", "cause", "gap", "destination", "findings", "required",
    } == set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))  # fmt: skip
