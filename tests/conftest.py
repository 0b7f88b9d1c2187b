"""What all tests share: markers that need something of the machine, the fixtures, hot loops uncompiled."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest import mock

import hypothesis
import pytest

if TYPE_CHECKING:
    from analyzer import Analysis

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "fixtures"
sys.path.insert(0, str(ROOT))  # so that tests say `from tests.conversation import ...`

# A shared machine stalls at times: an example that was slow once is no defect. In CI the examples are the same each
# time, and half as many: the search for new ones is for the desk.
_CI = "CI" in os.environ
hypothesis.settings.register_profile(
    "lostsyn", deadline=None, max_examples=30 if _CI else 60, derandomize=_CI
)
hypothesis.settings.load_profile("lostsyn")

NEEDS = {
    "kernel": ("ip", "nft", "conntrack", "tcpdump"),
    "tshark": ("tshark",),
    "field": ("shellcheck", "dash", "busybox", "bash", "tcpdump", "promtool"),
    "browser": ("chromium|chromium-browser",),
}
"""Marker to the programs that its tests run; of those between `|` one is enough. `kernel` needs root, too."""


def _missing(marker: str) -> list[str]:
    missing = [tool for tool in NEEDS[marker] if not any(map(shutil.which, tool.split("|")))]
    return missing + (["root"] if marker == "kernel" and os.geteuid() != 0 else [])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this machine cannot run, and say why."""
    for marker in NEEDS:
        if item.get_closest_marker(marker) and (missing := _missing(marker)):
            pytest.skip(f"needs {', '.join(missing)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    """Turn a skip into a failure where nothing may be skipped (`LOSTSYN_STRICT=1`)."""
    report = yield
    if report.skipped and os.environ.get("LOSTSYN_STRICT") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped under LOSTSYN_STRICT: {report.longrepr[2]}"
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One folder of `fixtures/`."""

    name: str
    folder: Path
    expect: dict[str, Any]
    """Table `expect` of its case.toml."""

    @property
    def captures(self) -> list[Path]:
        """Its capture files."""
        return sorted(path for path in self.folder.iterdir() if ".pcap" in path.name)

    @property
    def listings(self) -> list[Path]:
        """Its packet listings."""
        return sorted(self.folder.glob("*.txt")) if not self.captures else []


CASES = {
    path.parent.name: Case(
        name=path.parent.name, folder=path.parent, expect=tomllib.loads(path.read_text())["expect"]
    )
    for path in sorted(FIXTURES.glob("*/case.toml"))
}


@cache
def _analysed(name: str) -> Analysis:
    from analyzer import analyze

    return analyze(CASES[name].folder)


def analysed(name: str) -> Analysis:
    """The analysis of a fixture, made once for all tests of a process: they only read it.

    For mutmut every test runs all that it rests on: so it learns which tests notice what.
    """
    return (_analysed.__wrapped__ if "MUTANT_UNDER_TEST" in os.environ else _analysed)(name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `bundle_case` with every fixture."""
    if "bundle_case" in metafunc.fixturenames:
        metafunc.parametrize("bundle_case", CASES.values(), ids=CASES)


@pytest.fixture
def cases() -> Mapping[str, Case]:
    """Return the fixtures by name."""
    return CASES


Ran = Callable[[str], tuple[Path, dict[str, Any]]]
FEWER = {
    "clean": 1,
    "dns-race": 40,
    "entry-expired": 2,
    "next-hop": 2,
    "policy-drop": 3,
    "policy-drop-iptables": 3,
    "port-exhaustion": 2,
    "remote-loss": 20,
    "second-way": 3,
    "service-local": 3,
    "service-local-br-netfilter": 3,
    "stale-entry": 3,
    "stale-neighbour": 2,
    "table-full": 24,
    "table-full-br-netfilter": 24,
    "unnatted-leak": 2,
}
"""Rounds that show as much as a scenario's own number of them."""


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A function that runs a scenario of the laboratory, once for all tests: the folder, which is only read, and the truth."""
    from analyzer.lab.experiment import conduct

    @cache
    def run(scenario: str) -> tuple[Path, dict[str, Any]]:
        folder = tmp_path_factory.mktemp("lab") / scenario
        return folder, conduct(scenario, folder, rounds=FEWER.get(scenario))

    return run


@pytest.fixture(scope="session")
def uncompiled() -> Callable[..., ModuleType]:
    """Return a function that loads the source of a hot module though its compiled form is there."""
    return load_uncompiled


@cache
def load_uncompiled(name: str, *, cython: bool = True) -> ModuleType:
    """Load a module's source, with Cython's own shadow module or with the stand-in for it.

    Args:
        name: Of the module, e.g. `analyzer.capture.scan`.
        cython: False loads it as where Cython is not installed.
    """
    path = ROOT / f"{name.replace('.', '/')}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_uncompiled_{cython}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    c_header = path.with_suffix(".pxd")  # compiled, a module takes C functions of those that this names
    taken = re.findall(r"^from (\S+) cimport", c_header.read_text("utf-8") if c_header.exists() else "", re.M)
    beside = {name: load_uncompiled(name, cython=cython) for name in taken}
    with mock.patch.dict(sys.modules, beside if cython else beside | {"cython": None}):
        spec.loader.exec_module(module)
    return module
