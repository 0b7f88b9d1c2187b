"""The shape of the project: imports go one way, every module has its tests, none is long."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

from tests.conftest import ROOT

MODULES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "analyzer").rglob("*.py"))

# From the bytes up to who shows what was found: a module imports from its own room and from those above it in this list.
ROOMS = (
    "errors", "compute", "capture", "field", "evidence", "flow", "nat", "node", "connection", "conntrack", "incident", "result",
    "expectations", "report", "pipeline", "api", "pytest_plugin", "plot", "fleet", "web", "lab", "cli",
)  # fmt: skip

NO_TESTS_OF_THEIR_OWN = {
    "analyzer/__init__.py": "tests/result/test_analysis.py asks for its names",
    "analyzer/errors.py": "tests/capture/test_bundle.py tells reason and advice apart",
    "analyzer/compute/uncompiled.py": "every test of a hot loop runs with it",
    "analyzer/capture/columns.py": "data; tests/capture/test_decoder.py holds it against its documentation",
    "analyzer/cli/common.py": "what check and report share is tested with them",
    "analyzer/evidence/rules/packet.py": "what tests/evidence/rules/test_walk.py walks with",
    "analyzer/evidence/sources/__init__.py": "tests/evidence/test_collecting.py finds every source through it",
    "analyzer/incident/translating.py": "tests/node/test_ways.py follows what is translated",
    "analyzer/capture/link.py": "tests/evidence/test_links.py reads some",
    "analyzer/connection/model.py": "data",
    "analyzer/incident/model.py": "data",
    "analyzer/nat/gap.py": "tests/nat/test_crossing.py and everything that is followed",
    "analyzer/report/crossings.py": "tests/result/test_analysis.py shows one",
    "analyzer/capture/files.py": "tests/capture/test_bundle.py opens each",
    "analyzer/result/connection_table.py": "tests/connection/test_connections.py and tests/result/test_tables.py read it",
    "analyzer/incident/explanation.py": "what every cause in tests/incident/causes answers with",
    "analyzer/connection/asking.py": "tests/connection/test_fates.py: who asks and who answers",
    "analyzer/nat/tuples.py": "tests/nat/test_matching.py compares by them",
    "analyzer/incident/causes/_invalid.py": "texts that the four window tests share: tests/incident/test_invalid_reset.py",
    "analyzer/incident/causes/bridge_netfilter_off.py": "tests/incident/test_misdelivered.py",
    "analyzer/incident/causes/mtu_black_hole.py": "tests/incident/test_lost_errors.py",
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


@functools.cache
def imports(module: str) -> set[str]:
    """The modules of `analyzer` that a module imports, also inside functions, and for types alone."""
    tree = ast.parse((ROOT / module).read_text(encoding="utf-8"))
    known = {_name(path) for path in MODULES}
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in known else node.module for name in inner}
    return (names & known) - {_name(module), "analyzer"}


def _name(module: str) -> str:
    return module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _room(name: str) -> str:
    return name.split(".")[1]


def test_imports_go_one_way() -> None:
    """No room knows one further down the list, not even for a type."""
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        if module != "analyzer/__init__.py" and module != "analyzer/__main__.py"
        for name in sorted(imports(module))
        if ROOMS.index(_room(name)) > ROOMS.index(_room(_name(module)))
    ]

    assert [] == wrong


def test_no_circle_of_imports() -> None:
    """Modules that nobody waits for are taken away, until none is left; those of a circle would stay."""
    waits = {_name(module): imports(module) for module in MODULES if module != "analyzer/__init__.py"}
    while free := {name for name, others in waits.items() if not others & waits.keys()}:
        waits = {name: others for name, others in waits.items() if name not in free}

    assert {} == waits


def test_the_laboratory_needs_nothing_installed() -> None:
    """It is copied into emulated machines that have Python and nothing else."""
    also = ("analyzer/errors.py", "analyzer/compute/uncompiled.py", "analyzer/field/script.py")
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
            known = ("analyzer.lab.", "analyzer.errors.", "analyzer.field.script.", "analyzer.field.")
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
