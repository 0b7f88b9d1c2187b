"""The shape of the project: imports go one way, every module has its tests, none is long."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

MODULES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "analyzer").rglob("*.py"))

# Whom a folder may import from at run time, itself aside: what is not listed lies downstream. `errors` is everybody's.
MAY_IMPORT = {
    "capture": {"evidence", "threads", "uncompiled"},
    "evidence": {"capture"},
    "flow": {"capture", "uncompiled"},
    "nat": {"flow", "capture", "threads", "uncompiled", "model"},
    "conntrack": {"nat", "flow", "capture", "evidence", "model", "threads", "uncompiled"},
    "incident": {"connection", "following", "conntrack", "nat", "flow", "capture", "evidence", "model"},
}
# The words that fates and passages are told in; it imports nothing itself.
STANDARD_ONLY = {"lab", "errors", "uncompiled"}

NO_TESTS_OF_THEIR_OWN = {
    "analyzer/__init__.py": "tests/test_analysis.py asks for its names",
    "analyzer/errors.py": "tests/capture/test_bundle.py tells reason and advice apart",
    "analyzer/uncompiled.py": "every test of a hot loop runs with it",
    "analyzer/capture/columns.py": "data; tests/capture/test_decoder.py holds it against its documentation",
    "analyzer/cli/common.py": "what check and report share is tested with them",
    "analyzer/evidence/rules/packet.py": "what tests/evidence/rules/test_walk.py walks with",
    "analyzer/evidence/sources/__init__.py": "tests/evidence/test_collecting.py finds every source through it",
    "analyzer/model.py": "data",
    "analyzer/capture/files.py": "tests/capture/test_bundle.py opens each",
    "analyzer/connection/table.py": "tests/connection/test_connections.py and tests/test_tables.py read it",
    "analyzer/incident/explanation.py": "what every cause in tests/incident/causes answers with",
    "analyzer/nat/asking.py": "tests/nat/test_fates.py: who asks and who answers",
    "analyzer/nat/tuples.py": "tests/nat/test_matching.py compares by them",
    "analyzer/incident/causes/_invalid.py": "texts that the four window tests share: tests/incident/test_invalid_reset.py",
    "analyzer/incident/causes/bridge_netfilter_off.py": "tests/incident/test_misdelivered.py",
    "analyzer/incident/causes/mtu_black_hole.py": "tests/incident/test_lost_errors.py",
    "analyzer/incident/causes/policy_reject.py": "tests/nat/test_reasons.py, and the fixture of that name",
    "analyzer/incident/routing.py": "what the causes of routing share: tests/incident/causes/test_no_route.py and beside it",
    "analyzer/lab/scenarios/routing.py": "tests/kernel/test_incidents.py runs it",
    "analyzer/web/__main__.py": "the entry point of confined processes: tests/web/test_confined.py",
    "analyzer/web/refusal.py": "an error without code: every refusal in tests/web",
    "analyzer/lab/__main__.py": "the entry point inside an emulated machine: tests/lab/test_machine.py",
    "analyzer/lab/echo.py": "every scenario's server: tests/lab/test_experiment.py",
    "analyzer/lab/run.py": "what a scenario works with: tests/lab/test_experiment.py",
    "analyzer/lab/scenarios/__init__.py": "tests/lab/test_scenarios.py",
    "analyzer/lab/scenarios/clean.py": "tests/kernel/test_incidents.py runs it",
    "analyzer/lab/scenarios/race.py": "tests/kernel/test_incidents.py runs it",
    "analyzer/lab/scenarios/remote.py": "tests/kernel/test_incidents.py runs it",
}
LONG = {
    "analyzer/capture/scan.py": "one loop over headers; cut in two it would not be compiled into one",
}


def imports(module: str) -> set[str]:
    """The modules of `analyzer` that a module imports when it runs, also inside functions; not for types alone."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("analyzer.") for name in names if name.startswith("analyzer.")}


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_imports_go_one_way(folder: str) -> None:
    """Nothing upstream knows anything downstream."""
    allowed = MAY_IMPORT[folder] | {folder, "errors"}
    for module in MODULES:
        if module.startswith(f"analyzer/{folder}/"):
            wrong = {
                name
                for name in imports(module)
                if not any(name == up or name.startswith(f"{up}.") for up in allowed)
            }
            assert not wrong, module


def test_the_words_import_nothing() -> None:
    """`analyzer.model` may be known upstream because it knows nobody."""
    assert set() == imports("analyzer/model.py")


def test_the_laboratory_needs_nothing_installed() -> None:
    """It is copied into emulated machines that have Python and nothing else."""
    also = ("analyzer/errors.py", "analyzer/uncompiled.py", "analyzer/field/script.py")
    import sys

    for module in MODULES:
        if module.startswith("analyzer/lab/") or module in also:
            tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
            names = {
                name.split(".")[0]
                for node in ast.walk(tree)
                for name in (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
            }
            assert names <= sys.stdlib_module_names | {"analyzer", "__future__"}, module
            known = ("lab.", "errors.", "uncompiled.", "field.script.")
            assert all(f"{name}.".startswith(known) for name in imports(module)), module


def _tests_of(module: str) -> Path:
    path = Path(module).relative_to("analyzer")
    name = path.parent.name if path.name == "__init__.py" else path.stem
    return ROOT / "tests" / path.parent / f"test_{name}.py"


def _has_code(module: str) -> bool:
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body)


def test_every_module_has_its_tests() -> None:
    """`analyzer/x/y.py` is tested by `tests/x/test_y.py`; exceptions are listed with their reason."""
    untested = {module for module in MODULES if _has_code(module) and not _tests_of(module).exists()}

    assert [] == sorted(untested - set(NO_TESTS_OF_THEIR_OWN))


def test_exceptions_are_needed() -> None:
    """An exception whose module has tests by now, or is gone, is taken off the lists."""
    assert [] == [m for m in (*NO_TESTS_OF_THEIR_OWN, *LONG) if m not in MODULES]
    assert [] == [m for m in NO_TESTS_OF_THEIR_OWN if _tests_of(m).exists()]


def test_modules_are_short() -> None:
    """More than 400 lines are thought over, and listed with the reason."""
    lines = {module: (ROOT / module).read_text(encoding="utf-8").count("\n") for module in MODULES}

    assert set(LONG) == {module for module, count in lines.items() if count > 400}
