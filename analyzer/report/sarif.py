"""SARIF 2.1.0, with what GitHub's code scanning asks for: a result for each incident that was not expected.

Captures have no lines, so a result points at the beginning of the file in which the packet was last seen, and its text
says in which frame.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from analyzer import __version__
from analyzer.incident import causes
from analyzer.incident.model import Incident
from analyzer.report import account
from analyzer.report.annotation import line, lines
from analyzer.report.checked import Checked, last_seen
from analyzer.report.verdict import headline
from analyzer.report.words import cause_title, printable

RESULTS = 5000
"""GitHub shows as many of one run."""
_UNMET = "not-as-expected"


def render(checked: Sequence[Checked]) -> str:
    """Return the document as JSON in ASCII."""
    every = (result for one in checked for result in _results(one))
    results = list(islice(every, RESULTS))
    notes = [note for one in checked for note in _notes(one)]
    if folded := sum(1 for _ in every):
        notes.append(
            _note("warning", f"{folded} further results are left out: code scanning shows {RESULTS}.")
        )
    rules = sorted({result["ruleId"] for result in results})
    for result in results:
        result["ruleIndex"] = rules.index(result["ruleId"])
    driver = {
        "name": "lostsyn",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [_rule(name) for name in rules],
    }
    invocation: dict[str, Any] = {
        "executionSuccessful": not any(one.error for one in checked),
        "toolExecutionNotifications": notes,
    }
    if command := next((one.analysis.command for one in checked if one.analysis), ""):
        invocation["commandLine"] = line(command)
    run: dict[str, Any] = {"tool": {"driver": driver}, "invocations": [invocation], "results": results}
    # By place: of two bundles that share a file it is one artifact.
    artifacts = {one["location"]["uri"]: one for every in checked for one in _artifacts(every)}
    if artifacts:
        run["artifacts"] = list(artifacts.values())
    document = {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    return json.dumps(document, indent=2) + "\n"


def _artifacts(checked: Checked) -> Iterator[dict[str, Any]]:
    """What was analysed, as SARIF 2.1.0 section 3.24 has it."""
    for one in checked.analysis.inputs if checked.analysis else ():
        path = checked.file(one.file)
        if Path(path).name != Path(one.file).name:  # not there any more, or stored under another name
            path = f"{path}/{one.file}"
        artifact: dict[str, Any] = {
            "location": {"uri": _uri(path), "uriBaseId": "%SRCROOT%"},
            "length": one.size,
            "roles": ["analysisTarget"],
        }
        yield artifact | ({"hashes": {"sha-256": one.sha256}} if one.sha256 else {})


def _results(checked: Checked) -> Iterator[dict[str, Any]]:
    for incident in checked.incidents:
        seen = last_seen(incident.findings[0])
        path = checked.file(seen.file if seen else "")
        yield _result(incident.cause, path, 1, "\n".join(lines(incident)), incident.id) | {
            "level": "warning" if incident.confidence == "possible" else "error",
            "properties": _properties(checked, incident),
        }
    for unmet in checked.missing:
        assert checked.expectation is not None
        source, told = checked.expectation.source, line(f"{checked.name}: {unmet.says}")
        # What was found may differ from run to run; what was expected is the same alert.
        yield _result(_UNMET, source, checked.expectation.line, told, told.rpartition(", ")[0])


def _result(rule: str, path: str, at: int, text: str, identity: str) -> dict[str, Any]:
    place = _uri(path)
    fingerprint = hashlib.sha256("\0".join((rule, place, identity)).encode()).hexdigest()[:16]
    region = {"startLine": at, "startColumn": 1, "endLine": at, "endColumn": 1}
    artifact = {"uri": place, "uriBaseId": "%SRCROOT%"}
    return {
        "ruleId": rule,
        "level": "error",
        "message": {"text": text.replace("](", "] (")},  # no link that a capture brings along
        "locations": [{"physicalLocation": {"artifactLocation": artifact, "region": region}}],
        "partialFingerprints": {"primaryLocationLineHash": f"{fingerprint}:1"},
    }


def _properties(checked: Checked, incident: Incident) -> dict[str, Any]:
    return {
        "bundle": line(checked.name),
        "incident": line(incident.id),
        "kind": incident.kind,
        "confidence": incident.confidence,
        "gap": [line(point) for point in incident.gap or ()],
        "findings": len(incident.findings),
    }


def _uri(path: str) -> str:
    """Return *path* relative to the working directory, where a CI job has its repository, and without `..`."""
    inside = (part for part in Path(os.path.relpath(path)).parts if part != "..")
    return quote(os.fsencode("/".join(inside)))


def _rule(name: str) -> dict[str, Any]:
    if name == _UNMET:
        title = first = "not as expected"
        page = (
            "An incident that the file of expectations requires was not found, or a number differs from it."
        )
    else:
        title, page = cause_title(name), inspect.cleandoc(causes.module(name).__doc__ or "")
        first = page.partition("\n")[0]
    return {
        "id": name,
        "shortDescription": {"text": title},
        "fullDescription": {"text": first},
        "help": {"text": page, "markdown": _markdown(page)},
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["network", "netfilter"], "precision": "high", "problem.severity": "error"},
    }


def _markdown(page: str) -> str:
    """Make the headings of a cause's page, which stand at the left with indented text below, those of Markdown."""
    blocks = [block.split("\n", 1) for block in page.split("\n\n")]
    return "\n\n".join(
        f"## {head}\n\n{inspect.cleandoc(rest[0])}"
        if rest and rest[0].startswith(" ")
        else "\n".join([head, *rest])
        for head, *rest in blocks
    )


def _notes(checked: Checked) -> Iterator[dict[str, Any]]:
    if checked.error:
        yield _note("error", checked.why)
    if checked.analysis:
        told = checked.analysis
        yield _note("note", f"{checked.name}: {headline(told)} ({account.line(told.account)})")
    for caveat in checked.analysis.caveats if checked.analysis else ():
        yield _note("note", f"{checked.name}: {caveat}")


def _note(level: str, text: str) -> dict[str, Any]:
    return {"level": level, "message": {"text": printable(text)}}
