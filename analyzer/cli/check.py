"""`lostsyn check`: analyse, print, and let the exit code tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from analyzer.cli.common import bundle_options, note, run, write

if TYPE_CHECKING:
    from collections.abc import Sequence


@click.command()
@bundle_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What to print: text for people, json (format_version 1, with a JSON Schema) for programs.",
)
@click.option("--exit-zero", is_flag=True, help="Exit 0 also when incidents were found.")
@click.option(
    "-o", "output", type=click.Path(dir_okay=False, path_type=Path), help="Write to FILE instead of stdout."
)
@click.pass_context
def command(
    context: click.Context,
    paths: Sequence[str],
    points: Sequence[str],
    roles: Sequence[str],
    memory: str | None,
    form: str,
    exit_zero: bool,
    output: Path | None,
) -> None:
    """Analyse captures and print what was found.

    Each PATH is a capture, a folder or an archive; together they are one bundle, from one node.

    Exit status: 0 no incident, 1 incidents, 2 could not run, or the captures allow no conclusion at all.
    """
    from analyzer.report import json_, text

    analysis = run(paths, points, roles, memory)
    write(json_.render(analysis) if form == "json" else text.render(analysis), output)
    if analysis.inconclusive:
        note(analysis.inconclusive)
        context.exit(2)
    context.exit(1 if analysis.incidents and not exit_zero else 0)
