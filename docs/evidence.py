"""Writes evidence.md, the page of the sources of side evidence, from their docstrings: `python docs/evidence.py`."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import get_args

from analyzer.evidence import facts
from analyzer.evidence.sources import sources

INTRODUCTION = """\
<!-- Written by docs/evidence.py from the sources' docstrings; change it there. -->

# Side evidence

What Lostsyn reads beside the captures. [capturing.md](capturing.md#side-evidence) says what is worth collecting.

* **Files are recognised by content**, never by name. A file may hold several outputs in a row.
* **Wrapping is removed first**: prompts, colours, Markdown's fences and quotes, HTML's `<pre>`, the JSON of ansible,
  AWS SSM and Azure, the prefixes of `kubectl logs --prefix`, `docker compose logs`, CRI and systemd, line numbers of an
  editor or of grep, UTF-16.
* **Nothing is skipped silently.** What is truncated or not understood is reported in a caveat. A file in no known
  format is named, with the format it resembles or a command whose output would help. Each report lists the files that
  were read, and the incidents that rest on them.

## What outranks what

Sources in the order of their weight:

1. **The kernel's own record of a dropped packet.** A cause that it contradicts is not given, and the finding says so. A
   packet that the captures leave open counts as lost if a record with its addresses names it. A loss without a known
   cause is reported with the record's reason, function and hook.
2. **Rules, settings, the kernel log and neighbours' state**, if they are about this very packet.
3. **Conntrack's counters**, compared with what the first two leave over.
4. **A line that a rule logged about this packet**, and a rule behind chains that are not in the listing.
5. **The captures alone.**

Records of copies (a flooded frame, a closed socket's queue) and of packets that reached a socket decide nothing. A
record without addresses counts only if its time span holds as many losses as records.
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
    named = {node.id for node in ast.walk(ast.parse(inspect.getsource(source))) if isinstance(node, ast.Name)}
    kinds = {kind.__name__: kind for kind in get_args(facts.Fact)}
    return [
        (name, " ".join((inspect.getdoc(kinds[name]) or "").partition("\n\n")[0].split()))
        for name in sorted(named & kinds.keys() - {"Caveat"})
    ]


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
