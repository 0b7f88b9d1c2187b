"""Writes api.md, the reference of the Python interface, from the docstrings: `python docs/api.py`."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from analyzer import api, errors
from analyzer.capture.bundle import Bundle
from analyzer.connection import model as connections
from analyzer.incident import model as incidents

TYPES: dict[str, tuple[type, ...]] = {
    "The result": (api.Analysis, Bundle),
    "Incidents": (
        incidents.Incident, incidents.Finding, incidents.Attempt, incidents.Evidence, incidents.Exclusion, incidents.Remedy,
        incidents.WindowPoint,
    ),
    "Connections": (
        connections.Account, connections.Connection, connections.Passage, connections.Sighting, connections.Fate,
    ),
    "What is said of the bundle": (
        incidents.CapturePoint, incidents.Counts, incidents.Reconciled, incidents.Occupancy, incidents.Advice,
        incidents.Outside, incidents.OutsideDestination, incidents.Trait, incidents.Coverage, incidents.Untold,
    ),
    "Errors": (errors.LostsynError, errors.UnusableInput, errors.UnknownPoint, errors.TooLarge, errors.MissingTool),
}  # fmt: skip
INTRODUCTION = """\
<!-- Written by docs/api.py from the docstrings; change it there. -->

# Python reference

```python
from analyzer import analyze

analysis = analyze("fixtures/snat-race")
print(analysis.account.node, [incident.cause for incident in analysis.incidents])
```

`analyze`, `Analysis`, `Bundle`, `Incident`, `Finding`, `LostsynError` and `UnusableInput` are imported from `analyzer`; the other
types are parts of these. Times are nanoseconds since the epoch on the bundle's common clock. See [tables.md](tables.md) for the
columns of tables, and [notebooks.md](notebooks.md) for plots.
"""


def page() -> str:
    """Return the text of api.md."""
    parts = [INTRODUCTION, "## analyze", _call("analyze", api.analyze), _prose(api.analyze)]
    for heading, types in TYPES.items():
        parts.append(f"## {heading}")
        for type_ in types:
            parts += [f"### {type_.__name__}", _prose(type_), *_members(type_)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _call(name: str, function: Any) -> str:
    parameters = [
        str(parameter).replace("'", "").replace("<function <lambda>", "...")
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in ("self", "cls")
    ]
    shown = ", ".join(re.sub(r" = \.\.\..*", " = ...", parameter) for parameter in parameters)
    returns = str(inspect.signature(function).return_annotation).strip("'")
    return f"`{name}({shown})`" + ("" if returns == "None" else f" → `{returns}`")


def _prose(of: Any) -> str:
    """A Google-style docstring as Markdown: sections become lists, examples code."""
    lines, told = (inspect.getdoc(of) or "").splitlines(), []
    section = ""
    for line in lines:
        if line in ("Args:", "Returns:", "Raises:", "Example:"):
            section = line
            told += [f"**{line.removesuffix(':')}**", ""]
        elif section and re.match(r" {4}\S", line) and section in ("Args:", "Raises:"):
            name, _, rest = line.strip().partition(": ")
            told.append(f"* `{name}`: {rest}")
        else:
            told.append(
                line
                if section == "Example:"
                else line.strip()
                if section == "Returns:"
                else re.sub(r"^ {6}", "", line)
            )
    return "\n".join(told)


def _members(of: type) -> Iterator[str]:
    fields = [
        row
        for base in reversed(of.__mro__)
        if base.__module__.startswith("analyzer")
        for row in _fields(base)
    ]
    if fields:
        yield "\n".join(["| attribute | type | what |", "|---|---|---|", *fields])
    for name, member in sorted(_public(of).items()):
        if isinstance(member, property):
            yield f"`{name}` → `{str(inspect.signature(member.fget).return_annotation).strip(chr(39))}`"  # type: ignore[arg-type]
            yield _prose(member)
        elif callable(getattr(of, name)):
            yield _call(name, getattr(of, name))
            yield _prose(getattr(of, name))


def _fields(of: type) -> Iterator[str]:
    (tree,) = ast.parse(inspect.getsource(of)).body
    assert isinstance(tree, ast.ClassDef)
    for field, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        name, kind = "", ""
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            name, kind = field.target.id, ast.unparse(field.annotation)
        elif isinstance(field, ast.Assign) and isinstance(field.targets[0], ast.Name):
            name, kind = field.targets[0].id, ast.unparse(field.value)
        if name and not name.startswith("_"):
            told = (
                ast.literal_eval(after.value)
                if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                else ""
            )
            shown = kind.replace("|", "\\|")
            yield f"| `{name}` | {shown if 'Literal' not in kind else 'text'} | {' '.join(told.split())} |"


def _public(of: type) -> dict[str, Any]:
    """Methods and properties, those of bases within the project included."""
    return {
        name: member
        for base in reversed(of.__mro__)
        if base.__module__.startswith("analyzer")
        for name, member in vars(base).items()
        if not name.startswith("_")
        and (isinstance(member, property | classmethod) or inspect.isfunction(member))
    }


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
