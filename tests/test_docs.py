"""The documents say what is there: commands, options, words, columns, keys, links, names of code."""

from __future__ import annotations

import importlib
import inspect
import re
import runpy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import click
import pytest

from analyzer import plot
from analyzer.cli import group
from analyzer.cli.common import ROLES
from analyzer.connection.model import Fate
from analyzer.conntrack.states import TRANSITIONS, Kind, State
from analyzer.incident import causes
from analyzer.incident.model import Confidence
from analyzer.incident.model import Kind as FindingKind
from analyzer.lab.scenarios import SCENARIOS
from analyzer.report.json_ import schema
from tests import tutorial
from tests.conftest import CASES

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("fixtures/*.md")])
CONTEXT = click.Context(group, **group.context_settings)
COMMANDS = {name: group.get_command(CONTEXT, name) for name in group.list_commands(CONTEXT)}
SECTIONS = (
    "What happens",
    "How it is recognised",
    "What is ruled out",
    "Remedies and their risks",
    "References",
)
INDENTED = r"(?:^ {4}.*\n|^\n)*^ {4}.*\n"

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
every_command = pytest.mark.parametrize("name", COMMANDS)


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _code(page: Path) -> tuple[str, ...]:
    """Lines of a page's code blocks."""
    fenced = re.findall(r"^```.*?\n(.*?)^```", _text(page), re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```", "", _text(page), flags=re.MULTILINE | re.DOTALL)
    indented = re.findall(rf"(?<=\n\n){INDENTED}", rest, re.MULTILINE)
    return tuple(line.strip() for block in fenced + indented for line in block.splitlines())


@cache
def _spans(page: Path) -> tuple[str, ...]:
    """Code within a page's sentences."""
    prose = re.sub(r"^```.*?^```", "", _text(page), flags=re.MULTILINE | re.DOTALL)
    return tuple(re.findall(r"`([^`\n]+)`", prose))


def _section(name: str) -> str:
    """What docs/commands.md says under a command's heading."""
    found = re.search(
        rf"^## lostsyn {name}\n(.*?)(?=^## |\Z)",
        _text(ROOT / "docs/commands.md"),
        re.MULTILINE | re.DOTALL,
    )
    assert found, f"docs/commands.md has no section on lostsyn {name}"
    return found[1]


def _options(name: str) -> set[str]:
    command = COMMANDS[name]
    assert command is not None
    return {word for param in command.params for word in param.opts if word.startswith("-")} | {"--help"}


def _anchors(page: Path) -> set[str]:
    """What a link can name behind `#`, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.+)$", _text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_command
def test_every_option_is_documented(name: str) -> None:
    """docs/commands.md has a section for each command, with each of its options and what these choose from."""
    command = COMMANDS[name]
    assert command is not None
    section = _text(ROOT / "docs/commands.md").partition("## lostsyn ")[0] + _section(name)
    told = set(re.findall(r"`([^`\s]+)", section)) | set(re.findall(r"`-\S+ (\w+)`", section))
    choices = {
        str(choice)
        for param in command.params
        if isinstance(param, click.Option) and isinstance(param.type, click.Choice)
        for choice in param.type.choices
    }

    assert set() == (_options(name) | choices) - told - {"--help"}


@every_command
def test_every_help_is_whole(name: str) -> None:
    """`lostsyn COMMAND --help` has synopsis, description, each option with its help, exit status and examples that run."""
    command = COMMANDS[name]
    assert command is not None
    # A command remembers the help option that it made first: made with other settings, it would have no `-h` from then on.
    told = command.get_help(click.Context(command, info_name=f"lostsyn {name}", **group.context_settings))
    first, _, rest = told.partition("\n\n")
    description, _, rest = rest.partition("\n\n  Exit status:\n")
    status, _, examples = rest.partition("\n\n  Examples:\n")
    shown = re.findall(rf"lostsyn {name}\b(.*)", examples.partition("\n\n")[0])

    assert first.startswith(f"Usage: lostsyn {name} ")
    assert description.strip().splitlines()[0].endswith(".")
    assert {"0", "2"} <= set(re.findall(r"^    (\d)  \S", status, re.MULTILINE))
    assert shown
    for line in shown:
        assert set() == set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", line)) - _options(name), line
    assert [] == [p.name for p in command.params if isinstance(p, click.Option) and not p.help]


@every_command
def test_documented_options_exist(name: str) -> None:
    """No option is described that a command no longer takes."""
    described = re.findall(r"`(--?[a-z][a-z-]*)", _section(name))

    assert set() == set(described) - _options(name)


def test_documented_scenarios_exist() -> None:
    """The laboratory has the scenarios that docs/commands.md tells of."""
    told = re.findall(r"^\| `([a-z0-9-]+)` \|", _section("lab"), re.MULTILINE)

    assert told
    assert set() == set(told) - SCENARIOS.keys()


@every_page
def test_commands_shown_exist(page: Path) -> None:
    """Each `lostsyn ...` line of a code block calls a command that is there, with options that it takes."""
    for line in _code(page):
        found = re.match(r"(?:\.venv/bin/)?lostsyn (\S+)(.*?)(?:#|\||$)", line)
        if found and found[1] not in ("--help", "--version", "COMMAND"):
            assert found[1] in COMMANDS, line
            assert set() == set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", found[2])) - _options(found[1]), line


@every_page
def test_make_targets_exist(page: Path) -> None:
    """Each `make ...` is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", _text(ROOT / "Makefile"), re.MULTILINE))
    shown = {
        found[1] for text in (*_code(page), *_spans(page)) if (found := re.match(r"make ([a-z]+)\b", text))
    }

    assert set() == shown - targets


@every_page
def test_links_resolve(page: Path) -> None:
    """Relative links lead to files, and to headings in them."""
    for link in re.findall(r"\]\(([^)\s]+)\)", _text(page)):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page

        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


@every_page
def test_named_code_exists(page: Path) -> None:
    """Paths and dotted names in the sentences are those of the project."""
    for span in _spans(page):
        if re.fullmatch(r"(?:analyzer|tests|fixtures|reports|docs|benchmarks)/[\w./-]*", span):
            if not span.endswith(("/", "CASE")):
                assert (ROOT / span).exists(), span
        elif found := re.fullmatch(r"(analyzer(?:\.\w+)+)(?:\(\))?", span):
            assert _resolves(found[1]), span


def _resolves(name: str) -> bool:
    """Whether a dotted name leads to a module, or to something in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@pytest.mark.parametrize("code", causes.CODES)
def test_every_cause_has_its_page(code: str) -> None:
    """A cause's docstring is one sentence, then all sections in their order, none of them empty."""
    page = inspect.getdoc(causes.module(code)) or ""
    first, _, rest = page.partition("\n\n")
    sections = dict(re.findall(r"^(\S.*)\n((?:    .+\n?|\n)+)", rest + "\n", re.MULTILINE))

    assert first.endswith(".")
    assert "\n" not in first
    assert SECTIONS == tuple(sections)
    assert all(section.strip() for section in sections.values())


def test_every_cause_is_in_the_readme() -> None:
    """The table of README.md lists the causes that there are, and no others."""
    assert set(causes.CODES) == set(
        re.findall(r"^\| `([a-z-]+)` \|", _text(ROOT / "README.md"), re.MULTILINE)
    )


def test_every_cause_is_in_the_glossary() -> None:
    """So does the last table of docs/glossary.md."""
    causes_told = _text(ROOT / "docs/glossary.md").partition("\n## Causes\n")[2]

    assert list(causes.CODES) == re.findall(r"^\| `([a-z-]+)` \|", causes_told, re.MULTILINE)


def test_every_word_is_in_the_glossary() -> None:
    """The glossary and docs/design.md explain each fate, kind, role and confidence; docs/reading.md each fate and confidence."""
    design, reading, words_told = (
        _text(ROOT / "docs" / name) for name in ("design.md", "reading.md", "glossary.md")
    )
    glossary = design.partition("## Words\n")[2].partition("\n## ")[0]
    fates = set(map(str, Fate))
    words = fates | set(get_args(FindingKind)) | set(get_args(Confidence)) | set(ROLES)

    assert set() == words - set(re.findall(r"`([a-z-]+)`", glossary))
    assert set() == words - set(re.findall(r"`([a-z-]+)`", words_told))
    assert set() == (fates | set(get_args(Confidence))) - set(
        re.findall(r"^\| `([a-z-]+)`", reading, re.MULTILINE)
    )


def test_tables_page_is_current() -> None:
    """docs/tables.md is what docs/tables.py writes: every column of every table."""
    assert runpy.run_path(str(ROOT / "docs/tables.py"))["page"]() == _text(ROOT / "docs/tables.md")


def test_evidence_page_is_current() -> None:
    """docs/evidence.md is what docs/evidence.py writes: every source of side evidence."""
    assert runpy.run_path(str(ROOT / "docs/evidence.py"))["page"]() == _text(ROOT / "docs/evidence.md")


def test_every_plot_is_documented() -> None:
    """docs/notebooks.md lists the plots that there are, and no others."""
    told = re.findall(r"^\| `plot\.(\w+)\(", _text(ROOT / "docs/notebooks.md"), re.MULTILINE)

    assert sorted(plot.__all__) == sorted(told)


def test_every_json_key_is_documented() -> None:
    """docs/json.md names each key of the JSON Schema."""
    assert set() == set(_keys(schema())) - set(_spans(ROOT / "docs/json.md"))


def _keys(part: object) -> Iterator[str]:
    """The keys that a JSON Schema describes, at any depth."""
    if isinstance(part, dict):
        yield from part.get("properties", {})
    for below in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _keys(below)


def test_state_tables_are_the_models() -> None:
    """The two tables of docs/conntrack.md are the ones that the replay follows."""
    page = _text(ROOT / "docs/conntrack.md")
    short = {
        **dict(zip(["NO", "SS", "SR", "ES", "FW", "CW", "LA", "TW", "CL", "S2"], State, strict=True)),
        "IV": "invalid",
        "IG": "ignore",
    }
    for reply, heading in enumerate(("from the opener", "from the other side")):
        table = page.partition(f"| {heading} |")[2].partition("\n\n")[0].splitlines()
        for line in table[2:]:
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            kind = Kind[name.replace("-", "_")]

            assert [TRANSITIONS[reply][kind, state] for state in State] == [short[cell] for cell in cells]


def test_tutorial_is_current(tmp_path: Path) -> None:
    """The commands of docs/tutorial.md print what the page says (`python -m tests.tutorial` writes it anew)."""
    assert _text(tutorial.PAGE) == tutorial.run(tmp_path)


def test_every_page_can_be_reached() -> None:
    """From README.md links lead to every page."""
    reached = [ROOT / "README.md"]
    for page in reached:
        links = re.findall(r"\]\(([^)#\s]+\.md)", _text(page))
        reached += dict.fromkeys(
            target
            for link in links
            if (target := (page.parent / link).resolve()) not in reached and target.exists()
        )

    assert set() == set(PAGES) - set(reached)


def test_readme_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The Python lines of README.md print the incident and the frames where packets vanished."""
    (block,) = re.findall(r"^```python\n(.*?)^```", _text(ROOT / "README.md"), re.MULTILINE | re.DOTALL)
    (tmp_path / "readme.py").write_text(block)
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(tmp_path / "readme.py"))
    said = capsys.readouterr().out

    assert "10.244.0.11:20" in said
    assert "cni0" in said


def test_pictures_are_small() -> None:
    """No picture has more than 200 KB."""
    assert [] == [path.name for path in ROOT.glob("docs/images/*") if path.stat().st_size > 200_000]


def test_the_accuracy_is_that_of_the_fixtures() -> None:
    """The page counts the bundles and the expected incidents that there are."""
    page = (ROOT / "docs/accuracy.md").read_text(encoding="utf-8")
    expected = sum(len(case.expect.get("incidents", ())) for case in CASES.values())

    assert f"On the {len(CASES)} shipped bundles" in page
    assert f"| incidents expected | {expected} |" in page
