"""`lostsyn fleet`: the bundles of many nodes, on many machines."""

from __future__ import annotations

import sys
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import click

from analyzer.cli.common import LINE, memory_option, meter, text_or_json, write
from analyzer.cli.saying import in_json, note, shown
from analyzer.errors import MissingTool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from analyzer.fleet.dataset import Result


@click.command()
@click.argument("root")
@click.option(
    "-o",
    "output",
    default="lostsyn-fleet",
    show_default=True,
    metavar="FOLDER",
    help="Folder or URL of the dataset and the report; bundles already in it are not analysed again.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Analyse on the workers of this Dask scheduler (tcp://HOST:8786) instead of this machine.",
)
@click.option(
    "--workers",
    "count",
    type=click.IntRange(min=1),
    help="Processes on this machine.  [default: one for each CPU]",
)
@memory_option
@text_or_json
@click.pass_context
def command(
    context: click.Context,
    root: str,
    output: str,
    scheduler: str | None,
    count: int | None,
    memory: int | None,
    form: str,
) -> None:
    """Analyse the bundles of many nodes and write one report.

    ROOT is a folder or URL (s3://, gs://, ...) with a folder for each node. Bundles below it are folders with captures, or
    archives. Findings, crossings and flows become a Parquet dataset; report.html beside it tells which nodes,
    destinations and pods lose most. A second run analyses what is new or has changed.

    \b
    Exit status:
      0  the report was written, whatever it says
      2  it could not be, or no bundle could be analysed

    \b
    Examples:
      lostsyn fleet captures -o november
      lostsyn fleet captures -o november --format json
      lostsyn fleet s3://captures -o s3://results --scheduler tcp://scheduler:8786
    """  # noqa: D301 - the backspaces keep click from joining the lines
    try:
        import fsspec  # noqa: F401
        import pyarrow  # noqa: F401
    except ModuleNotFoundError:
        raise MissingTool("a fleet needs pyarrow and fsspec: pip install 'lostsyn[fleet]'") from None
    from analyzer.fleet import html, json_, text
    from analyzer.fleet.pipeline import survey
    from analyzer.fleet.places import Place
    from analyzer.fleet.work import work
    from analyzer.fleet.workers import Processes, Scheduler

    if scheduler and count:
        raise click.UsageError("--workers is for this machine; those of a scheduler are started beside it")
    source, target = Place.at(root), Place.at(output)
    with (
        closing(Scheduler(scheduler) if scheduler else Processes(count)) as workers,
        _progress() as (begin, advance),
    ):
        report = survey(
            source, target, workers, begin=begin, advance=advance, task=partial(work, memory=memory)
        )
    target.write("report.html", html.render(report).encode())
    write(
        json_.render(report) if form == "json" else text.render(report),
        None,
        in_json if form == "json" else shown,
    )
    note(f"the report is {output.rstrip('/')}/report.html")
    if not report.bundles:
        context.exit(2)


@contextmanager
def _progress() -> Iterator[tuple[Callable[[int], None], Callable[[Result], None]]]:
    """Say what goes wrong at once; count the bundles if stderr is a terminal."""
    from analyzer.report.words import short

    with ExitStack() as shown:
        advance: Callable[[int], object] = int

        def begin(total: int) -> None:
            nonlocal advance
            advance = shown.enter_context(meter("bundles", total))

        def done(result: Result) -> None:
            if result.problem is not None:
                click.echo(LINE if sys.stderr.isatty() else "", err=True, nl=False)
                note(f"{short(result.path, 200)}: {short(result.problem, 600)}")
            advance(1)

        yield begin, done
