"""The report on a terminal: impact, cause and fix first, evidence after; coloured and as wide as asked."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from analyzer.connection.model import Fate, GapNames
from analyzer.evidence.naming import Name
from analyzer.field.explaining import Explained
from analyzer.incident.model import Advice, Attempt, Finding, Incident
from analyzer.report import account, provenance, reading
from analyzer.report.checked import Checked
from analyzer.report.verdict import Cause, causes, headline
from analyzer.report.words import (
    cause_title,
    clock,
    count,
    day,
    duration,
    fix_label,
    offset,
    period,
    printable,
    short,
    still,
    sure,
    title,
)
from analyzer.result.analysis import Result

WIDTH = 80
INCIDENTS = 20
"""Incidents that the overview tells, and causes told with their incidents; the rest is counted."""
OF_CAUSE = 8
"""Incidents told of one cause; the rest is counted."""
CAUSES = 4
"""Causes told first, each with its fix; the rest is told with its incidents."""
FINDINGS = 3
"""Connections told of one incident; the rest is counted."""
ATTEMPTS = 8
DESTINATIONS = 8
"""Destinations outside the node that are told; the rest is counted."""
SLOW = 8
"""Slow requests that are told; the rest is counted."""
UNTOLD = 5
"""Connections that cannot be told that are named; the rest is counted."""
NOTES = 12
FILES = 3
"""Files of one purpose that are named; the rest is counted."""

_SIGNS = {Fate.VANISHED: "x", Fate.PASSED: "o"}
_BOLD, _DIM, _RED, _GREEN, _YELLOW = "1", "2", "31", "32", "33"
_SURE = {"proven": _GREEN, "likely": _YELLOW}


def render(analysis: Result, width: int = WIDTH, *, colour: bool = False) -> str:
    """Return the report as text; strings from captures are made printable and kept to their line."""
    return _Sheet(width, colour).report(analysis)


def render_checked(checked: Checked, width: int = WIDTH, *, colour: bool = False) -> str:
    """Return the report of one bundle, whether it is as expected before it."""
    return _Sheet(width, colour).checked(checked)


def render_each(checked: Sequence[Checked], width: int = WIDTH, *, colour: bool = False) -> str:
    """Return the reports of several bundles, each under its path, and how many are as they should be."""
    sheet = _Sheet(width, colour)
    told = [
        f"{sheet.paint(f'==> {short(one.name, width - 8)} <==', _BOLD)}\n{sheet.checked(one)}"
        for one in checked
    ]
    sums = Counter(one.exit for one in checked)
    words = ("without incident or as expected", "with findings", "inconclusive")
    parts = [f"{sums[code]} {words[code]}" for code in sorted(sums)]
    bundles = count(len(checked), "bundle")
    return "\n".join([*told, *sheet.wrap(f"{bundles}: {', '.join(parts)}")]) + "\n"


def overview(analysis: Result) -> str:
    """Return the verdict, the capture points and each incident's summary."""
    sheet = _Sheet(WIDTH, colour=False)
    blocks = [sheet.wrap(headline(analysis)), sheet.bundle(analysis)]
    blocks += [sheet.summary(incident) for incident in analysis.incidents[:INCIDENTS]]
    blocks.append(_more(len(analysis.incidents) - INCIDENTS, "incident"))
    if analysis.slow is not None:
        blocks.append(sheet.wrap(_line(analysis.slow.says)))
    return "\n\n".join("\n".join(block) for block in blocks if block)


@dataclass(frozen=True, slots=True)
class _Sheet:
    """What the report is written on; each method gives the lines of one part."""

    width: int
    colour: bool

    def paint(self, text: str, *codes: str) -> str:
        """Colour *text* (ECMA-48, SGR)."""
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if self.colour and text else text

    def labelled(self, lines: list[str], label: str, *codes: str) -> list[str]:
        """Colour the *label* that *lines* begin with, now that they are wrapped."""
        return [lines[0].replace(label, self.paint(label, *codes), 1), *lines[1:]]

    def section(self, name: str, lines: Iterable[str]) -> list[str]:
        """Give *lines* a heading; nothing where there are none."""
        told = list(lines)
        return [self.paint(name, _BOLD), *told] if told else []

    def wrap(self, text: str, first: str = "", then: str | None = None) -> list[str]:
        return textwrap.wrap(
            text,
            self.width,
            initial_indent=first,
            subsequent_indent=first if then is None else then,
            break_on_hyphens=False,
            drop_whitespace=True,
        )

    def bullets(self, items: Iterable[str]) -> list[str]:
        told = list(items)
        lines = [line for item in told[:NOTES] for line in self.wrap(f"- {_line(item)}", "  ", "    ")]
        return lines + ([f"  ... and {len(told) - NOTES} more"] if len(told) > NOTES else [])

    def report(self, analysis: Result) -> str:
        wrong = analysis.incidents or analysis.account.open or analysis.inconclusive
        codes = (_BOLD, _RED) if wrong else (_BOLD,) if analysis.account.outside else (_BOLD, _GREEN)
        blocks = [[self.paint(line, *codes) for line in self.wrap(headline(analysis))]]
        found = causes(analysis.incidents)
        blocks += [self.cause(cause) for cause in found[:CAUSES]]
        blocks += [self.slow(analysis), self.account(analysis), self.outside(analysis)]
        blocks += [self.advice(advice) for advice in analysis.advice]
        blocks += [self.incidents(one, summed=row >= CAUSES) for row, one in enumerate(found[:INCIDENTS])]
        blocks.append(_more(len(found) - INCIDENTS, "cause"))
        unwell = [signal for signal in analysis.health if signal.level != "ok"]
        blocks += [
            self.section("Captures", [*self.bundle(analysis), *_packets(analysis)]),
            self.section("Kernel counters", self.reconciliation(analysis)),
            self.section(
                "Node health", self.bullets(f"{s.level}: {s.name} {s.value}: {s.says}" for s in unwell)
            ),
            self.section("Caveats", self.bullets(analysis.caveats)),
            self.section("Files read and what they are used for", self.read(analysis)),
            self.made_by(analysis),
        ]
        return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"

    def checked(self, checked: Checked) -> str:
        if checked.analysis is None:
            return "\n".join(self.wrap(_line(checked.error))) + "\n"
        if checked.expectation is None:
            return self.report(checked.analysis)
        verdict = ["Not as expected", *self.bullets(unmet.says for unmet in checked.unmet)]
        return "\n".join(
            [*(verdict if checked.unmet else ["As expected"]), "", self.report(checked.analysis)]
        )

    def bundle(self, analysis: Result) -> list[str]:
        lines = self.wrap(f"bundle  {short(analysis.bundle, 60)}", "  ", "          ")
        if analysis.kernel:
            lines.append(f"  kernel  {short(analysis.kernel, 60)}")
        if span := period(analysis):
            lines.append(f"  time    {day(span[0])} {clock(span[0])} UTC, {duration(span[1] - span[0])}")
        for point in analysis.capture_points[:NOTES]:
            lost = count(point.dropped or 0, "packet")
            dropped = f", {lost} dropped by the capture" if point.dropped else ""
            role = "point" if point.role == "unknown" else short(point.role, 6)
            packets = count(point.packets, "packet")
            lines.append(f"  {role:<6}  {short(point.name, 24)}, {packets}{dropped}")
        lines += _more(len(analysis.capture_points) - NOTES, "point", "  ")
        return lines

    def cause(self, cause: Cause) -> list[str]:
        """A cause, how sure it is, what it did, and the fix: what a reader acts on."""
        incident = cause.first
        name = short(title(incident), 60)
        many = f", {count(cause.connections, 'connection')}"
        alone = len(cause.incidents) == 1
        several = "" if alone else f" in {len(cause.incidents):,} incidents"
        lines = self.wrap(f"Cause: {name}{_sure(incident, cause.gap)}{many}{several}", "", "       ")
        if says := sure(incident):
            lines = self.labelled(lines, says, _SURE.get(incident.confidence, _BOLD))
        lines = self.labelled(lines, f"Cause: {name}", _BOLD)
        return [*lines, *(self.wrap(_line(incident.summary), "  ") if alone else ()), *self.fix(cause)]

    def fix(self, cause: Cause) -> list[str]:
        remedy = cause.fix
        if remedy is None:
            return []
        label = fix_label(cause.first)
        indent = " " * (len(label) + 2)
        lines = self.labelled(
            self.wrap(f"{label}: {_line(remedy.do)}", "", indent), f"{label}:", _BOLD, _GREEN
        )
        lines += _commands(remedy.command)
        lines += self.wrap(f"Effect: {_line(remedy.effect)}", "  ", "    ") if remedy.effect else []
        if remedy.risk:
            lines += self.labelled(self.wrap(f"Risk: {_line(remedy.risk)}", "  ", "    "), "Risk:", _YELLOW)
        if cause.others:
            more = count(cause.others, "other remedy", "other remedies")
            lines.append(f"  {more}: lostsyn explain {short(cause.first.cause, 40)}")
        return lines

    def summary(self, incident: Incident) -> list[str]:
        return [*self.wrap(_heading(incident)), *self.wrap(_line(incident.summary), "  ")]

    def incidents(self, cause: Cause, *, summed: bool) -> list[str]:
        """The incidents of *cause*, their connections, the evidence and what is ruled out; *summed* if nothing above told it."""
        lines, several = [], len(cause.incidents) > 1
        for number, incident in enumerate(cause.incidents[:OF_CAUSE]):
            told = self.summary(incident) if summed or several else self.wrap(_heading(incident))
            lines += [*[""] * bool(number), *self.labelled(told, short(incident.id, 40), _BOLD)]
            findings = incident.findings[: 1 if several else FINDINGS]
            for row, finding in enumerate(findings):
                lines += [*[""] * bool(row or summed or several), *self.finding(finding)]
            lines += _more(len(incident.findings) - len(findings), "connection", "\n  ")
        lines += _more(len(cause.incidents) - OF_CAUSE, "incident", "\n")
        if cause.evidence:
            told_evidence = (f"{_line(item.says)} [{_line(item.source)}]" for item in cause.evidence)
            lines += ["", self.paint("  Evidence", _BOLD), *self.bullets(told_evidence)]
        if cause.excluded:
            told_excluded = (
                f"{cause_title(_line(item.cause))}: {_line(item.because)}" for item in cause.excluded
            )
            lines += ["", self.paint("  Ruled out", _BOLD), *self.bullets(told_excluded)]
        return lines

    def finding(self, finding: Finding) -> Iterator[str]:
        yield f"  {short(finding.inner, self.width - 2)}"
        if finding.outer and finding.outer != finding.inner:
            yield f"  outside {short(finding.outer, self.width - 10)}"
        yield from self.names(finding.names)
        first = finding.attempts[0].time if finding.attempts else 0
        for attempt in finding.attempts[:ATTEMPTS]:
            yield from self.attempt(attempt, first)
        yield from _more(len(finding.attempts) - ATTEMPTS, "attempt", "    ")
        for passage in finding.passages:
            if passage.role in {"offender", "host-reset"}:
                frames = ", ".join(f"{short(s.point, 16)} {s.frame}" for s in passage.sightings[:4])
                after = offset(passage.sightings[0].time - finding.time) if passage.sightings else ""
                note = f", {_line(passage.note)}" if passage.note else ""
                yield from self.wrap(f"! {after:<13}{_line(passage.label)}{note}; {frames}", "    ", "      ")
        if finding.delay_s is not None:
            yield f"    waited {duration(round(finding.delay_s * 10**9))}"

    def names(self, names: Iterable[Name]) -> list[str]:
        return [line for one in names for line in self.wrap(_line(one.says), "    ", "      ")]

    def attempt(self, attempt: Attempt, first: int) -> list[str]:
        frames = ", ".join(f"{short(packet.point, 16)} {packet.frame}" for packet in attempt.packets[:6])
        sign = _SIGNS.get(attempt.fate, "?")
        said = f"{sign} {offset(attempt.time - first):<13}{attempt.fate.value:<16}"
        code = _RED if sign == "x" else _GREEN if sign == "o" else _YELLOW
        return self.labelled(self.wrap(f"{said}{frames}", "    ", " " * 29), f"{sign} ", code)

    def advice(self, advice: Advice) -> list[str]:
        lines = self.wrap(_line(advice.situation), "  ")
        lines += self.wrap(f"Visible: {_line(advice.tells)}", "  - ", "    ")
        lines += self.wrap(f"Not visible: {_line(advice.hides)}", "  - ", "    ")
        lines += self.wrap(_line(advice.next), "  ")
        lines += _commands(advice.command)
        return self.section("What to capture next", lines)

    def slow(self, analysis: Result) -> list[str]:
        """What the slow requests of a log waited for."""
        if analysis.slow is None:
            return []
        told = analysis.slow.requests
        lines = self.wrap(_line(analysis.slow.says), "  ")
        for one in told[:SLOW]:
            lines += self.wrap(f"- {_waited(one)}", "  ", "    ")
        lines += _more(len(told) - SLOW, "request", "  ")
        return self.section("Slow requests", lines)

    def account(self, analysis: Result) -> list[str]:
        """The four numbers, and what stays open."""
        told = analysis.account
        lines = [f"  {number:>12,}  {label}" for _, number, label in account.numbers(told)]
        lines += self.bullets(account.waits(told))
        if told.open:
            lines += self.bullets(account.whys(told))
            lines += self.bullets(account.coverage(one) for one in analysis.coverage)
            for one in analysis.untold[:UNTOLD]:
                outcome = account.OUTCOMES.get(one.outcome, one.outcome)
                says = f"{short(one.connection, 74)}: {outcome}, {account.why(one.why)}"
                lines += self.wrap(f"? {says}", "  ", "    ")
                lines += self.names(one.names)
                lines += self.wrap(_line(one.logged), "    ", "      ") if one.logged else []
            lines += _more(told.open - len(analysis.untold[:UNTOLD]), "connection", "  ")
        return self.section("Connections", lines)

    def outside(self, analysis: Result) -> list[str]:
        """What failed outside the node: to whom, what the unanswered have in common, what to record next."""
        told = analysis.outside
        if told is None:
            return []
        lines = []
        for one in told.destinations[:DESTINATIONS]:
            failed = f"{one.connections:,} of {one.connections + one.worked:,}"
            sources = ", ".join(f"{short(name, 40)} {number:,}" for name, number in one.sources[:3])
            when = clock(one.first)[:12] + (f" to {clock(one.last)[:12]}" if one.last > one.first else "")
            says = f"{short(one.name, 56)}: {failed} ({account.outcomes(one.outcomes, one.refusals)}), from {sources}; {when}"
            lines += self.wrap(f"- {says}", "  ", "    ")
            lines += self.names(one.names)
        lines += _more(max(len(told.destinations) - DESTINATIONS, 0) + told.hidden, "destination", "  ")
        for trait in told.traits:
            lines += self.wrap(f"In common: {_line(trait.says)}. {_line(trait.next)}", "  ", "    ")
        if told.advice is not None:
            lines += self.wrap(f"Next: {_line(told.advice.next)}", "  ", "    ")
            lines += _commands(told.advice.command, "      ")
        return self.section("Outside this node", lines)

    def reconciliation(self, analysis: Result) -> list[str]:
        lines = []
        for row in [row for row in analysis.reconciliation if row.delta or row.explained][:NOTES]:
            told = f"{row.delta:>+12,}  {short(row.counter, 30)}: {_line(row.note)}"
            lines += self.wrap(told, "  ", " " * 16)
        return lines + self.wrap(still(analysis.reconciliation), "  ")

    def read(self, analysis: Result) -> list[str]:
        files: dict[tuple[str, str], list[str]] = {}
        # What decided first, what was not understood last.
        for row in sorted(reading.rows(analysis.read), key=lambda row: (not row.what, not row.cited)):
            files.setdefault((row.purpose or row.what, row.outcome), []).append(short(row.file, 60))
        lines = []
        for (purpose, outcome), names in list(files.items())[:NOTES]:
            hidden = f" and {len(names) - FILES:,} more" if len(names) > FILES else ""
            told = " - ".join(filter(None, (purpose, _line(outcome))))
            lines.append(f"{', '.join(names[:FILES])}{hidden}: {told}")
        if (left := len(files) - NOTES) > 0:
            lines.append(f"{count(left, 'further kind')} of files: --format json has all")
        return self.bullets(lines)

    def made_by(self, analysis: Result) -> list[str]:
        lines = [f"Made by {_line(provenance.made_by(analysis))}"]
        files = provenance.inputs(analysis)
        # A command and a hash stay in one piece, to be compared and copied.
        lines += [f"  {sha256}  {short(file, 60)}" for file, sha256 in files[:NOTES]]
        if (hidden := len(files) - NOTES) > 0:
            lines.append(f"  ... and {count(hidden, 'further input')}: --format json has all")
        return [self.paint(line, _DIM) for line in lines]


def _more(hidden: int, what: str, before: str = "") -> list[str]:
    """How many are left out, if any are."""
    told = f"{before}... and {count(hidden, f'further {what}', f'further {what}s')}"
    return told.split("\n") if hidden > 0 else []


def _commands(text: str, indent: str = "    ") -> list[str]:
    """Each on one line, however long: wrapped, it could not be copied."""
    return [indent + printable(line).replace("\t", "    ") for line in text.splitlines()]


def _sure(incident: Incident, gap: GapNames | None) -> str:
    where = f"between {short(gap[0], 20)} and {short(gap[1], 20)}" if gap else ""
    says = ", ".join(filter(None, (sure(incident), where)))
    return f" ({says})" if says else ""


def _heading(incident: Incident) -> str:
    return f"{short(incident.id, 40)}: {short(title(incident), 60)}{_sure(incident, incident.gap)}"


def _waited(one: Explained) -> str:
    request, found = one.request, one.connection
    cause = f" ({cause_title(found.cause)}, {short(found.incident, 40)})" if found and found.cause else ""
    of = f": {short(found.name, 90)}" if found else ""
    says = (
        f"{clock(request.begin)}, {duration(round(request.duration * 10**9))}, {account.WAITED[one.verdict]}"
    )
    return f"{says}{cause}{of} [{short(request.file, 40)}:{request.line}]"


def _packets(analysis: Result) -> list[str]:
    counts = analysis.counts
    numbers = (
        ("SYN attempts", counts.syn_attempts),
        ("SYNs vanished", counts.syn_vanished),
        ("SYNs sent, no reply", counts.syn_unanswered),
        ("UDP requests", counts.udp_requests),
        ("UDP requests vanished", counts.udp_vanished),
        ("replies vanished", counts.reply_vanished),
        ("connections refused by this node", counts.refused),
        ("packets judged INVALID", counts.invalid_packets),
        ("RSTs by the host", counts.host_resets),
    )
    return [f"  {number:>12,}  {label}" for label, number in numbers if number]


def _line(text: str) -> str:
    """Return *text* on one printable line."""
    return " ".join(printable(text).split())
