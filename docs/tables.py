"""Writes tables.md, the page of the DataFrames' columns, from `analyzer.result.schema.COLUMNS`: `python docs/tables.py`."""

from __future__ import annotations

from pathlib import Path

from analyzer.result.schema import COLUMNS, Column

OBTAINED = {
    "points": "`analysis.points`: one row per capture point, pod to uplink.",
    "packets": '`analysis.packets("eth0")`: packets of one capture point, in file order.',
    "flows": "`analysis.flows`: one row per five-tuple, point and incarnation; a SYN with a new ISN starts a new flow.",
    "crossings": "`analysis.crossings`: flows matched between neighbouring points, before and after NAT.",
    "passages": "`analysis.passages`: every request (SYN, UDP request) at every point that saw it, with its fate.",
    "findings": "`analysis.findings`: one row per finding of all incidents.",
    "connections": "`analysis.connections`: one row per connection, followed through all points, with its outcome.",
}
INTRODUCTION = """\
<!-- Written by docs/tables.py from analyzer.result.schema.COLUMNS; change it there. -->

# Tables

```python
from analyzer import analyze

analysis = analyze("fixtures/snat-race")
```

The tables are pandas DataFrames, built on first use.

* **Joins**: `point` joins all tables to `points`. With the point, `flow` joins `packets` and `passages` to `flows`, and
  both to `crossings`.
* **Names** of flow columns follow Zeek. The last column below gives the equivalent in Wireshark (a display filter
  field), Zeek's conn.log and the Elastic Common Schema. Programs find the same in `analyzer.result.schema.COLUMNS`.
* **Times** are on the bundle's common clock.

## Parquet

```python
analysis.to_parquet("tables")
```

writes `points.parquet`, `packets.parquet` (of all points), `flows.parquet`, `crossings.parquet`, `passages.parquet`,
`findings.parquet` and `connections.parquet` into a folder. The folder is created if needed, and files with these names are replaced. Needs
`pip install 'lostsyn[parquet]'`.

* The columns are those below. A column has the same type for every bundle, even in empty files, so the files of many
  bundles read as one table.
* Texts and categories are strings, times are UTC with nanoseconds. Each field has its meaning, unit and other names as
  metadata.
* The same analysis gives the same bytes.
* In `packets.parquet` a row group holds packets of one point, so a query for one point reads no other.
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
