"""The documentation as a site, and its examples: every link leads somewhere, every example runs, every public name is told of."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import json
import pydoc
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import analyzer
from analyzer import api
from analyzer.result import analysis as result
from tests.conftest import FIXTURES, ROOT

PAGES = [
    page for page in sorted(ROOT.glob("docs/*.md")) if "\n```python\n" in page.read_text(encoding="utf-8")
]


def test_the_site(tmp_path: Path) -> None:
    """It is built without a warning, which covers every link between pages; and it asks no other host for anything."""
    ran = subprocess.run(
        [sys.executable, ROOT / "docs/site.py", tmp_path / "site"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (ran.returncode, ran.stdout), ran.stderr
    assert "WARNING" not in ran.stderr

    made = {page.relative_to(tmp_path / "site").as_posix() for page in tmp_path.glob("site/**/*.html")}
    pages = {page.relative_to(ROOT).with_suffix(".html").as_posix() for page in ROOT.glob("docs/*.md")}
    assert pages | {"index.html", "CHANGELOG.html"} <= made
    bar = (tmp_path / "site/index.html").read_text(encoding="utf-8").partition('role="complementary"')[0]
    linked = set(re.findall(r'href="([\w/]+\.html)"', bar))
    assert pages | {"CHANGELOG.html", "CONTRIBUTING.html"} <= linked
    for page in sorted(made):
        asked = re.findall(
            r"<(?:script|link|img)[^>]+(?:src|href)=\"(?:https?:)?//[^\"]+",
            (tmp_path / "site" / page).read_text(),
        )
        assert [] == asked, page


def test_the_reference_is_current() -> None:
    """docs/api.md is what docs/api.py writes."""
    page = runpy.run_path(str(ROOT / "docs/api.py"))["page"]()

    assert page == (ROOT / "docs/api.md").read_text(encoding="utf-8")


def test_every_public_name_is_in_the_reference() -> None:
    """What `analyzer` exports, and every attribute of the types that it is made of, has its sentence."""
    known = runpy.run_path(str(ROOT / "docs/api.py"))
    types = {type_ for group in known["TYPES"].values() for type_ in group}
    told = (ROOT / "docs/api.md").read_text(encoding="utf-8")

    assert {getattr(analyzer, name) for name in analyzer.__all__ if name != "analyze"} <= types
    assert [] == re.findall(r"^\| `(\w+)` \| [^|]+ \|  \|$", told, re.MULTILINE)
    assert [] == [
        f"{type_.__name__}.{name}"
        for type_ in types
        for name, member in known["_public"](type_).items()
        if not inspect.getdoc(member)
    ]


def test_help() -> None:
    """`help(analyze)` says what goes in, what comes out, what may go wrong, and shows it."""
    told = pydoc.render_doc(analyzer.analyze, renderer=pydoc.plaintext)

    assert all(f"\n    {section}:\n" in told for section in ("Args", "Returns", "Raises", "Example"))


@pytest.mark.parametrize("module", [api, result])
def test_docstrings_run(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of docstrings print what they say."""
    monkeypatch.chdir(ROOT)
    known = {"analyze": api.analyze, "analysis": api.analyze("fixtures/snat-race")}
    failed, tried = doctest.testmod(module, extraglobs=known)

    assert (0, True) == (failed, tried > 1)


def test_no_docstring_is_left_out() -> None:
    """Examples stand in those two files only."""
    files = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "analyzer").rglob("*.py")
        if ">>> " in path.read_text("utf-8")
    }

    assert {"analyzer/api.py", "analyzer/result/analysis.py"} == files


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page run one after the other, where its files are: fixtures, a dataset, another tool's log."""
    analysis = api.analyze(FIXTURES / "snat-race")
    (tmp_path / "fixtures").symlink_to(FIXTURES)
    (tmp_path / "november/findings/node=node7").mkdir(parents=True)
    pd.DataFrame({"kind": ["syn-vanished"]}).to_parquet(tmp_path / "november/findings/node=node7/a.parquet")
    (tmp_path / "conn.log").write_text(
        json.dumps({"community_id": analysis.crossings["outer_community_id"].iloc[0]}) + "\n"
    )
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    known = {"analysis": analysis, "Path": Path, "pandas": importlib.import_module("pandas")}
    for block in blocks:
        exec(compile(ast.parse(block), str(page), "exec"), known)  # noqa: S102 - the project's own pages

    assert blocks
