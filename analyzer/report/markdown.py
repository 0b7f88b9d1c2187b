"""Markdown for the summary of a CI job: the verdict of each bundle, and of those to look at the incidents and their fixes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from analyzer.report import account, provenance
from analyzer.report.annotation import events, grounds, line
from analyzer.report.checked import Checked
from analyzer.report.verdict import causes, headline
from analyzer.report.words import between, count, sure, title

BUNDLES = 500
"""Rows of the table. GitHub takes 1 MiB of summary from a step, and shows nothing of a longer one."""
TOLD = 20
"""Bundles whose incidents are told."""
CAUSES = 10
INCIDENTS = 10
"""Of one cause."""
INPUTS = 200
"""Lines that name inputs."""
_RESULTS = ("fine", "to look at", "cannot be told")


def render(checked: Sequence[Checked]) -> str:
    """Return a table with a row for each bundle, then a section for each that is to be looked at."""
    wrong = [one for one in checked if one.exit]
    rows = sorted(checked, key=lambda one: -one.exit)[:BUNDLES]
    told = [
        f"## Lostsyn: {count(len(checked), 'bundle')} checked, {len(wrong):,} to look at",
        "",
        "| bundle | result | verdict |",
        "|---|---|---|",
        *(f"| {_plain(one.name)} | {_RESULTS[one.exit]} | {_plain(_verdict(one))} |" for one in rows),
    ]
    if len(rows) < len(checked):
        told += ["", f"and {count(len(checked) - len(rows), 'further bundle')}"]
    for one in wrong[:TOLD]:
        told += ["", *_section(one)]
    if len(wrong) > TOLD:
        told += ["", f"{len(wrong) - TOLD:,} more bundles are to be looked at."]
    told += ["", *islice((row for one in checked for row in _made_from(one)), INPUTS)]
    return "\n".join(told) + "\n"


def _made_from(checked: Checked) -> Iterator[str]:
    """Version, command line, and each input with its SHA-256."""
    if checked.analysis:
        yield f"* made by {_plain(provenance.made_by(checked.analysis))}"
        for file, sha256 in provenance.inputs(checked.analysis):
            yield f"  * {_plain(checked.name)}: {_plain(file)} {sha256}"


def _verdict(checked: Checked) -> str:
    if checked.analysis is None:
        return checked.error
    return headline(checked.analysis)


def _section(checked: Checked) -> Iterator[str]:
    yield f"### {_plain(checked.name)}"
    yield ""
    if checked.error:
        yield f"* {_plain(checked.error)}"
    if checked.analysis:
        yield f"* {_plain(account.line(checked.analysis.account))}"
    for unmet in checked.missing:
        yield f"* not as expected: {_plain(unmet.says)}"
    found = causes(checked.incidents)
    for cause in found[:CAUSES]:
        says = sure(cause.first)
        yield f"* **{_plain(title(cause.first) + between(cause.gap))}**" + f" ({says})" * bool(says)
        yield from (f"  * fix: {_plain(remedy.do)}" for remedy in cause.first.remedies[:1])
        yield from (f"  * {_plain(told)}" for one in cause.incidents[:INCIDENTS] for told in events(one))
        if (rest := len(cause.incidents) - INCIDENTS) > 0:
            yield f"  * {count(rest, 'further incident')}"
        yield from (f"  * {_plain(grounds(evidence))}" for evidence in cause.evidence)
    if (rest := len(found) - CAUSES) > 0:
        yield f"* {count(rest, 'further cause')}"


def _plain(text: str) -> str:
    """Return *text* on one line, of which neither Markdown nor HTML makes anything: no markup, no link, no mention."""
    return re.sub(r"[\\`*_\[\]<>#|~&$@]|:(?=[/:])", lambda found: f"&#{ord(found[0])};", line(text))
