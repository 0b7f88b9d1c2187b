"""Writes tables.md, the page of the DataFrames' columns, from `analyzer.tables.COLUMNS`: `python docs/tables.py`."""

from __future__ import annotations

from pathlib import Path

from analyzer.tables import COLUMNS

OBTAINED = {
    "packets": '`analysis.packets("eth0")`: packets of one capture point, in the order of its files.',
    "flows": "`analysis.flows`: one row per five-tuple, point and incarnation; a SYN with a new ISN begins a new flow.",
    "crossings": "`analysis.crossings`: flows matched between neighbouring points, with what NAT made of them.",
    "passages": "`analysis.passages`: every request (SYN, UDP request) at every point that saw it, with its fate.",
    "findings": "`analysis.findings`: one row per finding of all incidents.",
}
INTRODUCTION = """\
<!-- Written by docs/tables.py from analyzer.tables.COLUMNS; change it there. -->

# Tables

```python
from analyzer import analyze

analysis = analyze("fixtures/snat-race")
```

The tables are pandas DataFrames, made when asked for. Names of flows are Zeek's; in brackets stands Wireshark's or Zeek's
name of the same thing. Times are on the bundle's common clock. `flow` numbers join `packets` and `passages` to
`flows` (with the point), and both to `crossings`.
"""


def page() -> str:
    """Return the text of tables.md."""
    sections = [INTRODUCTION]
    for table, columns in COLUMNS.items():
        lines = [f"## {table}", "", OBTAINED[table], "", "| column | type | what |", "|---|---|---|"]
        for name, told in columns.items():
            dtype, _, meaning = told.partition(": ")
            lines.append(f"| `{name}` | {dtype} | {meaning} |")
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
