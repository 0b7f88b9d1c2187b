"""Numbers that sway verdicts are in one table, with where they are from, and nowhere else."""

from __future__ import annotations

import ast
import re

from analyzer.compute import thresholds
from tests.conftest import ROOT

DECIDING = ("nat", "node", "connection", "incident", "result", "capture/pauses.py", "fleet/losses.py")
"""What says what became of a packet, and why."""
UNITS = re.compile(r"\bns\b|\bshare\b|\bseconds?\b", re.IGNORECASE)


def test_every_number_says_where_it_is_from() -> None:
    """Its unit, its source, and what it may decide; and the table has all of them."""
    names = [name for name in vars(thresholds) if name.isupper() and name not in ("T", "TABLE")]

    assert len(names) == len(thresholds.TABLE)
    for row in thresholds.TABLE:
        assert row.value > 0
        assert row.unit in ("ns", "share", "times")
        assert row.source
        assert row.decides


def test_no_other_module_has_one() -> None:
    """Durations and shares that a module defines for itself: numbers of a thousand or more, or below one, that say so."""
    found = []
    for path in sorted((ROOT / "analyzer").rglob("*.py")):
        name = path.relative_to(ROOT / "analyzer").as_posix()
        if not name.startswith(DECIDING) or name == "incident/health.py":  # signs of health are no verdicts
            continue
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for one, then in zip(body, [*body[1:], None], strict=True):
            says = (
                then.value.value
                if isinstance(then, ast.Expr) and isinstance(then.value, ast.Constant)
                else ""
            )
            if isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant):
                value = one.value.value
                number = isinstance(value, float) or (isinstance(value, int) and value >= 1_000_000)
                if number and UNITS.match(str(says)):
                    found.append(f"{name}:{one.lineno}")

    assert [] == found


def test_finds_one() -> None:
    """The near miss: `ns` alone is no number, and a bound of work is none of time."""
    assert UNITS.match("ns between two packets")
    assert not UNITS.match("Connections that are told.")
