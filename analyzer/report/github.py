"""Workflow commands of GitHub Actions: an annotation for each incident that was not expected."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice

from analyzer.report import account, provenance
from analyzer.report.annotation import heading, line, lines
from analyzer.report.checked import Checked, last_seen
from analyzer.report.verdict import headline
from analyzer.report.words import count, printable

ANNOTATIONS = 10
"""GitHub shows ten errors of one step; the last of ours says how many there are besides."""


INPUTS = 200
"""Lines of the log that name inputs."""


def render(checked: Sequence[Checked]) -> str:
    """Return one command a line, and a last line for those who read the log."""
    told = [command for one in checked for command in _commands(one)]
    if len(told) > ANNOTATIONS:
        rest = len(told) - ANNOTATIONS + 1
        told = [*told[: ANNOTATIONS - 1], _command({"title": "Lostsyn"}, f"and {rest} more; see the log")]
    told += [notice for one in checked[:ANNOTATIONS] if one.exit and (notice := _notice(one))]
    bundles = count(len(checked), "bundle")
    wrong = sum(one.exit != 0 for one in checked)
    told += list(islice((row for one in checked for row in _made_from(one)), INPUTS))
    return "\n".join([*told, f"lostsyn: {bundles} checked, {wrong} with findings"]) + "\n"


def _commands(checked: Checked) -> Iterator[str]:
    if checked.error:
        yield _command({"title": "Inconclusive", **_file(checked.paths[0])}, line(checked.why))
    for incident in checked.incidents:
        seen = last_seen(incident.findings[0])
        where = _file(checked.file(seen.file if seen else ""))
        yield _command({"title": heading(incident), **where}, "\n".join(lines(incident)))
    for unmet in checked.missing:
        assert checked.expectation is not None
        where = _file(checked.expectation.source) | {"line": str(checked.expectation.line)}
        yield _command({"title": "Not as expected", **where}, line(f"{checked.name}: {unmet.says}"))


def _made_from(checked: Checked) -> Iterator[str]:
    """For the log: version, command line, and each input with its SHA-256."""
    if checked.analysis:
        yield line(f"made by {provenance.made_by(checked.analysis)}")
        for file, sha256 in provenance.inputs(checked.analysis):
            yield line(f"{sha256}  {checked.name}: {file}")


def _notice(checked: Checked) -> str:
    """The verdict and the account, where something is to be looked at."""
    if checked.analysis is None:
        return ""
    told = checked.analysis
    says = f"{checked.name}: {headline(told)} ({account.line(told.account)})"
    return _command({"title": "Lostsyn"}, line(says), "notice")


def _file(path: str) -> dict[str, str]:
    """The property `file`, which GitHub takes as relative to the repository; none for what lies elsewhere."""
    relative = os.path.relpath(path)
    return {} if relative.startswith("..") else {"file": printable(relative)}


def _command(properties: dict[str, str], message: str, level: str = "error") -> str:
    # actions/toolkit, packages/core/src/command.ts: escapeData, escapeProperty.
    given = ",".join(
        f"{name}={_escape(value).replace(':', '%3A').replace(',', '%2C')}"
        for name, value in properties.items()
    )
    return f"::{level} {given}::{_escape(message)}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
