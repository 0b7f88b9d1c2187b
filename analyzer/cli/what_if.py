"""`lostsyn what-if`: the same captures, judged with one setting changed."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from analyzer.cli.common import bundle_options, run, text_or_json, write
from analyzer.cli.saying import in_json, note, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.result.analysis import Result
    from analyzer.result.whatif import WhatIf

WIDTH = 80


@click.command()
@bundle_options
@click.option(
    "--setting",
    "settings",
    multiple=True,
    required=True,
    metavar="SETTING",
    help="be-liberal, drop-invalid, random-fully, kernel=RELEASE or table=ENTRIES. May be repeated: each is changed alone.",
)
@text_or_json
@click.option(
    "-o", "output", type=click.Path(dir_okay=False, path_type=Path), help="Write to FILE instead of stdout."
)
def command(
    paths: Sequence[str],
    points: Sequence[str],
    roles: Sequence[str],
    memory: int | None,
    settings: Sequence[str],
    form: str,
    output: Path | None,
) -> None:
    """Say which incidents another setting would have avoided.

    The captures are judged again as if the node had been set so:

    \b
      be-liberal       nf_conntrack_tcp_be_liberal=1: no window test
      drop-invalid     the host drops INVALID packets instead of answering
      random-fully     SNAT draws every port at random
      kernel=RELEASE   the node runs another kernel, such as 6.1
      table=ENTRIES    nf_conntrack_max is so large

    \b
    Exit status:
      0  whatever the answer is
      2  could not run

    \b
    Examples:
      lostsyn what-if FOLDER --setting random-fully
      lostsyn what-if FOLDER --setting be-liberal --setting kernel=6.1 --format json
    """  # noqa: D301 - the backspaces keep click from joining the lines
    from analyzer.result.whatif import parse, what_if

    for setting in settings:
        parse(setting)  # before the captures are read
    analysis = run(paths, points, roles, memory, (output,))
    answers = [what_if(analysis, setting) for setting in settings]
    write(
        _json(analysis, answers) if form == "json" else _text(analysis, answers),
        output,
        in_json if form == "json" else shown,
    )
    if analysis.inconclusive:
        note(analysis.inconclusive)


def _json(analysis: Result, answers: Sequence[WhatIf]) -> str:
    told = {
        "format_version": 1,
        "bundle": analysis.bundle,
        "kernel": analysis.kernel,
        "what_if": [asdict(answer) for answer in answers],
    }
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def _text(analysis: Result, answers: Sequence[WhatIf]) -> str:
    if not analysis.incidents:
        return "No incident: there is nothing that another setting could have avoided.\n"
    summaries = {incident.id: incident for incident in analysis.incidents}
    blocks = []
    for answer in answers:
        lines = [f"What if {answer.setting}:"]
        for title, ids in (
            ("would not have happened", answer.avoided),
            ("would have happened all the same", answer.remaining),
            ("cannot be told", answer.unknown),
        ):
            for name in ids:
                lines += _wrap(
                    f"{name} ({summaries[name].cause}) {title}: {answer.says[name]}.", "  ", "    "
                )
        if answer.arithmetic:
            lines += ["", *_wrap(f"{answer.arithmetic}.", "  ", "  ")]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _wrap(text: str, first: str, then: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)
