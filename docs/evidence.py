"""Writes evidence.md, the page of the sources of side evidence, from their docstrings: `python docs/evidence.py`."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import ModuleType

from analyzer.evidence import counting, facts, network
from analyzer.evidence.naming import Name
from analyzer.evidence.rules.model import Ruleset
from analyzer.evidence.sources import sources
from analyzer.evidence.table import Table

INTRODUCTION = """\
<!-- Written by docs/evidence.py from the sources' docstrings; change it there. -->

# Side evidence

What Lostsyn reads beside the captures. A file is recognised by what it holds, never by its name, and may hold several
outputs in a row. What people and tools put around an output comes off first: prompts, colours, Markdown's fences and quotes,
HTML's `<pre>`, the JSON of ansible, AWS SSM and Azure, the prefixes of `kubectl logs --prefix`, `docker compose logs`, CRI and
systemd, the line numbers of an editor or of grep, UTF-16. What is cut, or not understood, is reported in a caveat; what is in
no known format is named, with what it resembles, or what would tell more. Each report lists the files that were read, with the
incidents that rest on them. [capturing.md](capturing.md#side-evidence) says what is worth collecting.

**What outranks what.** The kernel's own record of a dropped packet outranks every inference: a cause that it contradicts is
not given, and the finding says so; a packet that the captures leave open is lost where a record with its addresses names it;
a loss of no known cause is reported with the record's reason, function and hook. Then come rules, settings, the kernel's log and
neighbours' state where they are about this very packet; then conntrack's counters, compared with what those leave over; then
a line that a rule logged of this packet, and a rule behind chains that nobody listed; then the captures alone. Records of
copies (a flooded frame, a closed socket's queue) and of packets that reached a socket decide nothing, and a record without
addresses counts only where as many losses as records lie in its time.
"""


def page() -> str:
    """Return the text of evidence.md."""
    told = [source for source in sources() if isinstance(source, ModuleType)]
    return "\n".join([INTRODUCTION, *(_section(source) for source in sorted(told, key=_title))])


def _title(source: ModuleType) -> str:
    return _paragraphs(source)[0].rstrip(".").replace("\n", " ")


def _section(source: ModuleType) -> str:
    _head, *rest = _paragraphs(source)
    title, colon, what = _title(source).partition(": ")
    lines = [f"## {title}", ""]
    if colon:
        lines += [f"{what[0].upper()}{what[1:]}.", ""]
    for paragraph in rest:
        code = all(line.startswith("    ") for line in paragraph.splitlines())
        lines += [f"```text\n{inspect.cleandoc(paragraph)}\n```" if code else paragraph, ""]
    lines += [f"* **{name}**: {said}" for name, said in _facts(source)]
    return "\n".join(lines) + "\n"


def _paragraphs(source: ModuleType) -> list[str]:
    return re.split(r"\n\n+", inspect.getdoc(source) or source.__name__)


def _facts(source: ModuleType) -> list[tuple[str, str]]:
    """The kinds of facts that a source makes, each with the first sentence of its docstring."""
    tree = ast.parse(inspect.getsource(source))
    made = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    kinds = {"Name": Name, "Ruleset": Ruleset, "Table": Table, "Counters": counting.Counters}
    kinds |= {
        name: kind
        for module in (network, facts)
        for name, kind in vars(module).items()
        if inspect.isclass(kind)
    }
    inner = {"Caveat", "NextHop"}
    return [
        (name, " ".join((inspect.getdoc(kinds[name]) or "").partition("\n\n")[0].split()))
        for name in sorted(made & kinds.keys() - inner)
    ]


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
