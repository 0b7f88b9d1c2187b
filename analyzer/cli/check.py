"""`lostsyn check`: analyse, print, and let the exit code tell."""

from __future__ import annotations

import inspect
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from analyzer.cli.common import (
    COMMAND,
    SHA256,
    advise,
    bundle_options,
    pairs,
    slow_log_option,
    terminal,
    write,
)
from analyzer.cli.formats import FORMATS, HELP
from analyzer.cli.saying import coloured, note
from analyzer.cli.sharing import Sharing, sharing_options
from analyzer.errors import UnusableInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.expectations.file import Expectations
    from analyzer.report.checked import Checked


@click.command()
@partial(bundle_options, required=False)
@slow_log_option
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="text",
    show_default=True,
    help="What to print: see Formats.",
)
@click.option(
    "--also",
    "others",
    multiple=True,
    metavar="FORMAT=FILE",
    help="Also write this format into FILE. May be repeated.",
)
@click.option(
    "--html",
    "pages",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Also write an HTML report into DIR for each bundle whose exit status is not 0.",
)
@click.option("--each", is_flag=True, help="Treat every PATH as a bundle of its own.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    metavar="N",
    help="With --each: analyse in N processes.  [default: one for four bundles, as many as there are processors]",
)
@click.option(
    "--expect",
    "expected",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Compare with the incidents that FILE (TOML) expects: see Expectations.",
)
@click.option("--update", is_flag=True, help="Update the --expect file where it differs from what was found.")
@click.option("--exit-zero", is_flag=True, help="Exit 0 instead of 1.")
@click.option(
    "-o", "output", type=click.Path(dir_okay=False, path_type=Path), help="Write to FILE instead of stdout."
)
@sharing_options
@click.pass_context
def command(
    context: click.Context,
    paths: Sequence[str],
    points: Sequence[str],
    roles: Sequence[str],
    memory: int | None,
    slow_logs: Sequence[Path],
    form: str,
    others: Sequence[str],
    pages: Path | None,
    each: bool,
    jobs: int | None,
    expected: Path | None,
    update: bool,
    exit_zero: bool,
    output: Path | None,
    sharing: Sharing,
) -> None:
    """Analyse captures and print what was found.

    Each PATH is a capture, a folder or an archive; together they are one bundle. With --each every
    PATH is a bundle; one that cannot be analysed is reported, and the others are checked all the same. Without a PATH
    the bundles are those that the file of --expect names.

    \b
    Formats:
    {formats}

    Expectations: a table for each bundle, with the incidents that must or may be found, by kind, cause, gap,
    destination and number. What none of them names is not expected, and what they require must be there. --update
    writes the file; comments are lost if it changes; a file that is met stays as it is.

    \b
        [[expect]]
        bundle = "captures/node7"        # relative to the file
        [[expect.incidents]]
        kind = "syn-vanished"
        cause = "snat-port-race"
        destination = "192.0.2.100:80"
        findings = { min = 1, max = 10 } # or a number
        required = false                 # may be absent

    \b
    Exit status:
      0  no incident, or all is as expected
      1  incidents, or something is not as expected
      2  could not run, or the captures allow no conclusion
    With --each it is the highest of the bundles'.

    \b
    Examples:
      lostsyn check captures/node7
      lostsyn check node.tar.gz --evidence evidence.pcapng --redact
      lostsyn check cni0.pcap wan.pcap --point eth0=wan.pcap
      lostsyn check --each captures/*/ --expect lostsyn.toml --update
      lostsyn check --each captures/*/ --expect lostsyn.toml --also junit=lostsyn.xml --html reports
    """  # noqa: D301 - the backspaces keep click from joining the lines
    from analyzer.cli import bundles
    from analyzer.cli.bundles import Order, hint_at_each
    from analyzer.expectations.file import read
    from analyzer.report.checked import Checked

    if not paths and expected is None:
        raise click.UsageError(
            "Missing argument 'PATH...', or --expect FILE with bundles of its own.", context
        )
    if update and expected is None:
        raise UnusableInput("--update: give the file to write with --expect FILE")
    if each and sharing.evidence:
        raise UnusableInput("--evidence: one file holds the packets of one bundle; leave out --each")
    if expected and sharing.key:
        raise UnusableInput("--redact: hides the addresses that --expect may name; give one of them")
    also = _others(others)
    for path in (output, *also):
        sharing.keep_apart(path, expected, *slow_logs)
    known = read(expected, missing_ok=update) if expected else None
    outputs = (output, *also, sharing.evidence, *(pages.glob("*.html") if pages else ()))
    order = Order(
        points=points,
        roles=roles,
        memory=memory,
        slow_logs=slow_logs,
        outputs=outputs,
        sharing=sharing,
        known=known,
        asked={name: context.meta[name] for name in (COMMAND, SHA256) if name in context.meta},
    )
    named: list[tuple[str, ...]] = [(path,) for path in paths]
    if known and not paths:
        each, named = True, known.besides([])
        if not named:
            raise UnusableInput(f"{expected}: names no bundle; give a PATH")
    if not each:
        hint_at_each(paths)
    checked = bundles.each(named, order, jobs) if each else [order.check(tuple(paths))]
    absent = known.besides(one.paths for one in checked) if known and each else []
    gone = [paths for paths in absent if not any(map(os.path.lexists, paths))]
    checked += [
        Checked(paths=paths, error=f"it is not there, but {expected} names it: remove its table there")
        for paths in gone
    ]
    if known and update:
        checked = _updated(known, checked)
    style = terminal() if form == "text" and output is None else {}
    printed = coloured if style.get("colour") else FORMATS[form].printed
    write(FORMATS[form].render(checked, each=each, **style), output, printed)
    for path, other in also.items():
        write(FORMATS[other].render(checked, each=each), path)
    if pages is not None:
        bundles.write_pages(checked, pages)
    _explain(checked, known, each=each, advice=form != "text" or output is not None)
    if left := [", ".join(paths) for paths in absent if paths not in gone]:
        note(f"{expected} also names {', '.join(left)}: not checked")
    worst = max(one.exit for one in checked)
    context.exit(0 if worst == 1 and exit_zero else worst)


command.help = inspect.cleandoc(str(command.help)).replace("{formats}", HELP)


def _others(given: Sequence[str]) -> dict[Path, str]:
    """File to format, as --also gives them."""
    found: dict[Path, str] = {}
    for form, file in pairs(given, "--also", "FORMAT=FILE"):
        if form not in FORMATS:
            raise UnusableInput(f"--also: {form!r} is not a format; there are {', '.join(FORMATS)}")
        if Path(file) in found or file == "-":
            raise UnusableInput(f"--also: {file}: give each format a file of its own")
        found[Path(file)] = form
    return found


def _updated(known: Expectations, checked: Sequence[Checked]) -> list[Checked]:
    """Write into the file what differs, or is not in it, and judge again."""
    from analyzer.expectations.file import read, update
    from analyzer.report.checked import Checked

    differing = [
        (one.paths, one.analysis)
        for one in checked
        if one.analysis and (one.exit or not known.names(one.paths))
    ]
    if not differing:
        note(f"{known.path} is up to date")
        return list(checked)
    write(update(known, differing), known.path)
    note(f"{known.path}: wrote {', '.join(path for paths, _ in differing for path in paths)}")
    known = read(known.path)
    return [
        Checked.of(one.paths, one.analysis, known.of(one.paths)) if one.analysis else one for one in checked
    ]


def _explain(checked: Sequence[Checked], known: Expectations | None, *, each: bool, advice: bool) -> None:
    """Say on stderr what the result may leave a user wondering about."""
    for one in checked:
        if one.error:
            note(one.why if each else one.error)
        if one.error and one.analysis and advice:
            advise(one.analysis)  # else it stands right above
        if known and one.unmet and not known.names(one.paths):
            note(f"{known.path} does not name {one.name}, so nothing is expected of it")
