"""Writes tables.md, the page of the DataFrames' columns, from `analyzer.result.schema.COLUMNS`: `python docs/tables.py`."""

from __future__ import annotations

from pathlib import Path

from analyzer.result.schema import COLUMNS, Column

OBTAINED = {
    "points": "`analysis.points`: one row per capture point, pod to uplink.",
    "packets": '`analysis.packets("eth0")`: packets of one capture point, in the order of its files.',
    "flows": "`analysis.flows`: one row per five-tuple, point and incarnation; a SYN with a new ISN begins a new flow.",
    "crossings": "`analysis.crossings`: flows matched between neighbouring points, with what NAT made of them.",
    "passages": "`analysis.passages`: every request (SYN, UDP request) at every point that saw it, with its fate.",
    "findings": "`analysis.findings`: one row per finding of all incidents.",
    "connections": "`analysis.connections`: one row per connection, followed through all points, with what became of it.",
}
INTRODUCTION = """\
<!-- Written by docs/tables.py from analyzer.result.schema.COLUMNS; change it there. -->

# Tables

```python
from analyzer import analyze

analysis = analyze("fixtures/snat-race")
```

The tables are pandas DataFrames, made when asked for. Names of flows are Zeek's. Times are on the bundle's common clock.
`point` joins all tables to `points`; `flow` numbers join `packets` and `passages` to `flows` (with the point), and both to
`crossings`. The last column gives the name of the same thing in Wireshark (a display filter field), in Zeek's conn.log and in
the Elastic Common Schema. The same is there for programs: `analyzer.result.schema.COLUMNS`.

## Parquet

```python
analysis.to_parquet("tables")
```

writes `points.parquet`, `packets.parquet` (of all points), `flows.parquet`, `crossings.parquet`, `passages.parquet` and
`findings.parquet` into a folder, which is made if need be; files of these names are replaced. It needs
`pip install 'lostsyn[parquet]'`. The columns are those below; a column has one type in the files of every bundle, also in
files without a row, so files of many bundles read as one table. Texts and categories are strings, times are UTC with
nanoseconds, and each field carries its meaning, unit and other names as metadata. The same analysis gives the same bytes. In
`packets.parquet` a row group holds packets of one point, so what asks for one point reads no other.
"""


def page() -> str:
    """Return the text of tables.md."""
    sections = [INTRODUCTION]
    for table, columns in COLUMNS.items():
        lines = [f"## {table}", "", OBTAINED[table], ""]
        lines += ["| column | type | unit | what | elsewhere |", "|---|---|---|---|---|"]
        lines += [
            f"| `{name}` | {said.dtype} | {said.unit} | {said.meaning} | {_elsewhere(said)} |"
            for name, said in columns.items()
        ]
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


def _elsewhere(column: Column) -> str:
    names = (("Wireshark", column.wireshark), ("Zeek", column.zeek), ("ECS", column.ecs))
    return "; ".join(f"{tool} `{name}`" for tool, name in names if name)


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(page(), encoding="utf-8")
