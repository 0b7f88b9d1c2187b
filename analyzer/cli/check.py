"""`lostsyn check`: analyse, print, and let the exit code tell."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analyzer.cli.common import advise, bundle_options, run, slow_log_option, terminal, write
from analyzer.cli.saying import note
from analyzer.cli.sharing import Sharing, sharing_options
from analyzer.errors import LostsynError, UnusableInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.expectations.file import Expectations
    from analyzer.report.checked import Checked

FORMATS = ("text", "json", "junit", "sarif", "github")


@click.command()
@bundle_options
@slow_log_option
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="What to print: see Formats.",
)
@click.option("--each", is_flag=True, help="Make every PATH a bundle of its own, instead of all PATHs one.")
@click.option(
    "--expect",
    "expected",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Compare with what FILE (TOML) says that each bundle holds: see Expectations.",
)
@click.option(
    "--update", is_flag=True, help="Write what was found into the file of --expect, where it differs."
)
@click.option("--exit-zero", is_flag=True, help="Exit 0 where it would be 1.")
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
    each: bool,
    expected: Path | None,
    update: bool,
    exit_zero: bool,
    output: Path | None,
    sharing: Sharing,
) -> None:
    """Analyse captures and print what was found.

    Each PATH is a capture, a folder or an archive; together they are one bundle, from one node. With --each every
    PATH is a bundle; one that cannot be analysed is reported, and the others are checked all the same.

    \b
    Formats:
      text    for people: impact, cause and fix first; coloured on a terminal (not if NO_COLOR is set)
      json    for programs: format_version 1, with a JSON Schema
      junit   JUnit XML: a suite for each bundle, a test for each incident
      sarif   SARIF 2.1.0: a result for each incident, for code scanning
      github  workflow commands: annotations of a GitHub Actions job

    Expectations: a table for each bundle, with the incidents that must or may be found, by kind, cause, gap,
    destination and number. What none of them names is not expected, and what they require must be there. --update
    writes the file; comments in it are lost where it changes, and a file that is met stays as it is.

    \b
        [[expect]]
        bundle = "captures/node7"        # relative to the file
        [[expect.incidents]]
        kind = "syn-vanished"
        cause = "snat-port-race"
        destination = "192.0.2.100:80"
        findings = { min = 1, max = 10 } # or a number
        required = false                 # none is as good

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
      lostsyn check --each captures/*/ --expect lostsyn.toml --format junit -o lostsyn.xml
    """  # noqa: D301 - the backspaces keep click from joining the lines
    from analyzer.expectations.file import read
    from analyzer.report.checked import Checked

    if update and expected is None:
        raise UnusableInput("--update: give the file to write with --expect FILE")
    if each and sharing.evidence:
        raise UnusableInput("--evidence: one file holds the packets of one bundle; leave out --each")
    if expected and sharing.key:
        raise UnusableInput("--redact: hides the addresses that --expect may name; give one of them")
    sharing.keep_apart(output, expected, *slow_logs)
    known = read(expected, missing_ok=update) if expected else None
    checked = []
    for bundle in [(path,) for path in paths] if each else [tuple(paths)]:
        try:
            outputs = (output, sharing.evidence)
            analysis = sharing.share(run(bundle, points, roles, memory, outputs, slow_logs))
        except LostsynError as error:
            if not each:
                raise
            checked.append(Checked(paths=bundle, error=str(error)))
        else:
            checked.append(Checked.of(bundle, analysis, known.of(bundle) if known else None))
    absent = known.besides(one.paths for one in checked) if known and each else []
    gone = [paths for paths in absent if not any(map(os.path.lexists, paths))]
    checked += [
        Checked(paths=paths, error=f"it is not there, but {expected} names it: remove its table there")
        for paths in gone
    ]
    if known and update:
        checked = _updated(known, checked)
    style = terminal() if form == "text" and output is None else {}
    text = _render(form, checked, style, each=each)
    write(text, output, "terminal" if style.get("colour") else form)
    _explain(checked, known, each=each, advice=form != "text" or output is not None)
    if left := [", ".join(paths) for paths in absent if paths not in gone]:
        note(f"{expected} also names {', '.join(left)}: not checked")
    worst = max(one.exit for one in checked)
    context.exit(0 if worst == 1 and exit_zero else worst)


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
        note(f"{known.path} is as it should be")
        return list(checked)
    write(update(known, differing), known.path)
    note(f"{known.path}: wrote {', '.join(path for paths, _ in differing for path in paths)}")
    known = read(known.path)
    return [
        Checked.of(one.paths, one.analysis, known.of(one.paths)) if one.analysis else one for one in checked
    ]


def _render(form: str, checked: Sequence[Checked], style: dict[str, Any], *, each: bool) -> str:
    module = import_module(f"analyzer.report.{'json_' if form == 'json' else form}")
    if form not in ("text", "json"):
        text: str = module.render(checked)
    else:
        text = module.render_each(checked, **style) if each else module.render_checked(checked[0], **style)
    return text


def _explain(checked: Sequence[Checked], known: Expectations | None, *, each: bool, advice: bool) -> None:
    """Say on stderr what the result may leave a user wondering about."""
    for one in checked:
        if one.error:
            note(one.why if each else one.error)
        if one.error and one.analysis and advice:
            advise(one.analysis)  # else it stands right above
        if known and one.unmet and not known.names(one.paths):
            note(f"{known.path} does not name {one.name}, so nothing is expected of it")
