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
    """Return the first block of code under a heading."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    block, *_ = re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return str(block)


def job(text: str, schema: str) -> dict[str, Any]:
    """Read a job, once its own system's schema has found nothing wrong with it."""
    loaded: dict[str, Any] = ruamel.yaml.YAML(typ="safe").load(text)
    rules = json.loads(
        resources.files("check_jsonschema.builtin_schemas.vendor")
        .joinpath(schema)
        .read_text(encoding="utf-8")
    )
    jsonschema.validators.validator_for(rules)(rules).validate(loaded)
    return loaded


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A working copy with two bundles and their expectations."""
    for name, case in (("clean", "clean"), ("race", "snat-race")):
        shutil.copytree(FIXTURES / case, tmp_path / "captures" / name)
    (tmp_path / "lostsyn.toml").write_text(EXPECTED)
    return tmp_path


def steps(
    repository: Path, lines: Sequence[str], shell: Sequence[str], **variables: str
) -> list[tuple[int, str]]:
    """Run each step as a job does, with the Lostsyn that is installed here; return exit statuses and output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ran = []
    for line in lines:
        here = re.sub(r"(python3 -m )?pip install .*", "lostsyn --version", line)
        done = subprocess.run(
            [*shell, here], cwd=repository, env={**os.environ, **variables, "PATH": path},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        ran.append((done.returncode, done.stdout))
    return ran


def results(repository: Path) -> list[str]:
    """The files that code scanning is shown."""
    found = json.loads((repository / "lostsyn.sarif").read_text())["runs"][0]["results"]
    return [one["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for one in found]


def test_github_actions(repository: Path) -> None:
    """As expected, the job passes without annotations; not as expected, it fails, says where, and has its results."""
    told = job(example("GitHub Actions", "yaml"), "github-workflows.json")["jobs"]["lostsyn"]["steps"]
    summary = {"GITHUB_STEP_SUMMARY": str(repository / "summary.md")}
    runs = [step["run"] for step in told if "run" in step]
    shell = ("bash", "-e", "-c")
    fine = steps(repository, runs, shell, **summary)

    assert [0, 0] == [code for code, _ in fine]
    assert fine[1][1].endswith("\nlostsyn: 2 bundles checked, 0 with findings\n")
    assert "::" not in fine[1][1]
    assert [] == results(repository)

    (repository / "lostsyn.toml").write_text(EXPECTED.replace("snat-port-race", "policy-drop"))
    ((code, said),) = steps(repository, runs[1:], shell, **summary)
    assert 1 == code
    assert "title=SNAT port race between cni0 and eth0,file=captures/race/cni0.pcap::" in said
    assert "title=Not as expected,file=lostsyn.toml,line=4::" in said
    assert ["captures/race/cni0.pcap", "lostsyn.toml"] == results(repository)
    assert "2 bundles checked, 1 to look at" in (repository / "summary.md").read_text()
    assert 1 == len(list((repository / "lostsyn-reports").iterdir()))
    assert told[-1]["with"]["sarif_file"] == "lostsyn.sarif"


def test_actions_are_pinned() -> None:
    """Every action of somebody else is named by its commit."""
    used = re.findall(r"uses: (\S+)", PAGE)

    assert [] == [name for name in used if not re.search(r"@[0-9a-f]{40}$|^\./", name)]


def test_the_action(repository: Path) -> None:
    """`action.yml` is valid, asks for what the page gives it, and does the same."""
    told = job((ROOT / "action.yml").read_text(encoding="utf-8"), "github-actions.json")
    given = ruamel.yaml.YAML(typ="safe").load(example("GitHub Actions", "yaml"))
    variables = {
        name: {"bundles": "captures/*/", "expect": "lostsyn.toml"}.get(
            of, str(told["inputs"][of].get("default"))
        )
        for step in told["runs"]["steps"]
        for name, value in step["env"].items()
        for of in re.findall(r"inputs\.(\w+)", value)
    }
    runs = [step["run"] for step in told["runs"]["steps"]]
    ran = steps(repository, runs, ("bash", "-e", "-c"), GITHUB_STEP_SUMMARY="summary.md", **variables)

    assert given
    assert {"bundles", "expect", "install"} <= set(told["inputs"])
    assert [0, 0] == [code for code, _ in ran]
    assert [] == results(repository)
    assert (repository / "summary.md").exists()


def test_gitlab_ci(repository: Path) -> None:
    """The job passes or fails with the expectations, and leaves its test report and the reports either way."""
    job(example("GitLab CI", "yaml"), "gitlab-ci.json")
    told = job((ROOT / "deploy/gitlab.yml").read_text(encoding="utf-8"), "gitlab-ci.json")["lostsyn"]
    lines = [*told["before_script"], *told["script"]]
    shell = ("bash", "-e", "-o", "pipefail", "-c")
    report = repository / told["artifacts"]["reports"]["junit"]
    variables = told["variables"]

    assert [0, 0] == [code for code, _ in steps(repository, lines, shell, **variables)]
    assert ["0", "0"] == [suite.get("failures") for suite in ElementTree.parse(report).getroot()]  # noqa: S314

    report.unlink()
    (repository / "lostsyn.toml").write_text(EXPECTED.replace("findings = 6", "findings = 7"))
    assert [0, 1] == [code for code, _ in steps(repository, lines, shell, **variables)]
    assert ["0", "1"] == [suite.get("failures") for suite in ElementTree.parse(report).getroot()]  # noqa: S314
    assert "always" == told["artifacts"]["when"]
    assert 1 == len(list((repository / "lostsyn-reports").iterdir()))


def test_pre_commit(repository: Path) -> None:
    """The hook is one that pre-commit can run, for captures and for the file; it passes where all is as expected."""
    (hook,) = ruamel.yaml.YAML(typ="safe").load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    shell = ("bash", "-e", "-c")

    assert {"id", "name", "entry", "language", "files"} <= set(hook)
    assert all(re.search(hook["files"], name) for name in ("captures/a/eth0.pcap.gz", "lostsyn.toml"))
    assert not re.search(hook["files"], "README.md")
    assert [0] == [code for code, _ in steps(repository, [hook["entry"]], shell)]
    (repository / "lostsyn.toml").write_text(EXPECTED.replace("findings = 6", "findings = 7"))
    assert [1] == [code for code, _ in steps(repository, [hook["entry"]], shell)]


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
