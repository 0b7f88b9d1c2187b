"""What is released: the source distribution is whole, a wheel built of it works elsewhere, the metadata can be shown."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any

import readme_renderer.markdown
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import FIXTURES, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MADE = shutil.ignore_patterns(
    "build", "dist", "site", "*.egg-info", "*.so", "*.c", "__pycache__", ".?*_cache", ".git", ".venv", ".hypothesis",
    ".schemathesis", "demo.html",
)  # fmt: skip
"""What is made in a working copy, and belongs into no release."""
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
DAY = 1_767_225_600
"""2026-01-01, as SOURCE_DATE_EPOCH."""


def build(what: str, source: Path, out: Path) -> Path:
    """Build with the project's own backend, as a front end does without isolation; not optimised, which takes longest."""
    environment = {**os.environ, "CFLAGS": "-O0", "SOURCE_DATE_EPOCH": str(DAY)}
    ran = subprocess.run(
        [sys.executable, "-c", BUILD, what, str(out)], cwd=source, env=environment, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert 0 == ran.returncode, ran.stdout
    return out / ran.stdout.splitlines()[-1]


def test_a_release(tmp_path: Path) -> None:
    """The source distribution is whole; the wheel that is built of it works elsewhere, is small and repeatable, and can be shown.

    One test, since the build takes longer than all that is asked of it.
    """
    shutil.copytree(ROOT, tmp_path / "copy", ignore=MADE)
    with tarfile.open(build("build_sdist", tmp_path / "copy", tmp_path)) as packed:
        packed.extractall(tmp_path, filter="data")
    (source,) = tmp_path.glob("lostsyn-*/")
    _is_whole(source, tmp_path / "copy")
    # What Cython made of the same sources a moment ago is not made again.
    shutil.copytree(tmp_path / "copy/build", source / "build")
    wheel = build("build_wheel", source, tmp_path)
    with zipfile.ZipFile(wheel) as opened:
        _is_small_and_repeatable(opened, os.fsencode(tmp_path))
        (name,) = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        _can_be_shown(Parser().parsestr(opened.read(name).decode()))
    _works(wheel, tmp_path / "there")


def _is_whole(source: Path, copy: Path) -> None:
    """Every file of the working copy is in it, so that its tests can be run."""
    made = {name for name in _files(copy) if name.startswith(("build/", "lostsyn.egg-info/"))}
    assert {".gitignore"} == _files(copy) - _files(source) - made


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _is_small_and_repeatable(wheel: zipfile.ZipFile, here: bytes) -> None:
    """No debug information, nothing of the machine that built it, one date for all: two builds are one file."""
    compiled = [name for name in wheel.namelist() if name.endswith(".so")]
    assert len(compiled) > 10
    assert {(2026, 1, 1, 0, 0, 0)} == {info.date_time for info in wheel.infolist()}
    assert sum(info.compress_size for info in wheel.infolist()) < 3 << 20
    for name in compiled:
        data = wheel.read(name)
        assert b".debug_info" not in data, name
        assert here not in data, name


def _can_be_shown(metadata: Message) -> None:
    """Licence and requirements are told, and README.md renders."""
    needs = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    page = readme_renderer.markdown.render(str(metadata.get_payload()))
    assert ("MIT", ["LICENSE"]) == (metadata["License-Expression"], metadata.get_all("License-File"))
    assert len(PROJECT["project"]["dependencies"]) == len(needs)
    assert page is not None
    assert page.count("<h2") >= 5


def _works(wheel: Path, there: Path) -> None:
    """Installed somewhere else it is compiled, has its data, and finds what is in a shipped capture."""
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile",
         "--disable-pip-version-check", "--target", there, wheel],
        check=True,
    )  # fmt: skip
    program = "import analyzer.capture.scan as s; print(s.COMPILED, s.__file__)"
    here: dict[str, Any] = {
        "env": {**os.environ, "PYTHONPATH": str(there)},
        "cwd": there.parent,
        "text": True,
    }
    where = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, **here)
    ran = subprocess.run(
        [sys.executable, "-m", "analyzer", "report", FIXTURES / "snat-race", "-o", "race.html"],
        stderr=subprocess.PIPE, check=False, **here,
    )  # fmt: skip
    assert f"True {there}/analyzer/capture/scan." in where.stdout
    assert (0, "lostsyn: the report is race.html") == (ran.returncode, ran.stderr.splitlines()[-1])


def test_which_wheels_are_made() -> None:
    """For each Python that the project speaks of, on glibc and musl, x86-64 and ARM."""
    ran = subprocess.run(
        [sys.executable, "-m", "cibuildwheel", "--platform", "linux", "--print-build-identifiers"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    pythons = [f"cp3{minor}" for minor in range(11, 15)]

    assert {
        f"{python}-{libc}linux_{cpu}"
        for python in pythons
        for libc in ("many", "musl")
        for cpu in ("x86_64", "aarch64")
    } == set(ran.stdout.split())


def test_ci_installs_by_hash() -> None:
    """What CI needs stands in its list, with a version that pyproject.toml allows and a hash (`make lock` writes it)."""
    text = (ROOT / ".ci/requirements.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    locked = {
        canonicalize_name(found[1]): found[2]
        for line in lines
        if (found := re.fullmatch(r"(\S+)==(\S+) --hash=sha256:[0-9a-f]{64}", line))
    }
    project = PROJECT["project"]
    wanted = map(Requirement, [
        *PROJECT["build-system"]["requires"], *project["dependencies"], *project["optional-dependencies"]["test"]
    ])  # fmt: skip

    assert len(lines) == len(locked)
    assert [] == [
        str(need)
        for need in wanted
        if need.name != "lostsyn" and locked.get(canonicalize_name(need.name), "0") not in need.specifier
    ]


def test_the_bill_of_materials() -> None:
    """It is CycloneDX and names what is installed for the main job, of which docs/releases.md tells the licences."""
    bill = runpy.run_path(str(ROOT / ".ci/sbom.py"))["bill"]()
    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bill))
    parts = {part["name"]: part["licenses"][0]["license"]["name"] for part in bill["components"]}
    page = (ROOT / "docs/releases.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `([a-z0-9-]+)` \| ([^|]+?) \|", page, re.MULTILINE))

    assert problem is None
    assert "lostsyn" == bill["metadata"]["component"]["name"]
    assert {"numpy", "pandas", "scapy", "dpkt", "jinja2", "markupsafe"} <= set(parts)
    assert {} == {name: licence for name, licence in parts.items() if told.get(name, "?") not in licence}
