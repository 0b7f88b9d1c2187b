"""Renders every fixture into `reports/`: `python -m tests.golden`, or `make reports`."""

from __future__ import annotations

from pathlib import Path

from analyzer import Analysis, analyze
from analyzer.report import html, json_, text

ROOT = Path(__file__).parent.parent
FIXTURES = sorted(path.parent for path in (ROOT / "fixtures").glob("*/case.toml"))


def renderings(analysis: Analysis) -> dict[str, str]:
    """Return each file of a case's folder in `reports/` with its text."""
    return {
        "report.html": html.render(analysis),
        "report.json": json_.render(analysis),
        "report.txt": text.render(analysis),
    }


def main() -> None:
    """Write all of them anew."""
    for fixture in FIXTURES:
        folder = ROOT / "reports" / fixture.name
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in renderings(analyze(fixture)).items():
            (folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
