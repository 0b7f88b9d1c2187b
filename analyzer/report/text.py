"""The report on a terminal: the verdict first, plain text, 80 columns wide, no colours."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from analyzer.connection.model import Fate
from analyzer.report import account
from analyzer.report.verdict import headline
from analyzer.report.words import (
    cause_title,
    clock,
    count,
    day,
    duration,
    offset,
    period,
    printable,
    short,
    title,
)

if TYPE_CHECKING:
    from analyzer.evidence.naming import Name
    from analyzer.field.explaining import Explained
    from analyzer.incident.model import Advice, Attempt, Finding, Incident
    from analyzer.report.checked import Checked
    from analyzer.result.analysis import Result

WIDTH = 80
INCIDENTS = 20
"""Incidents told; the rest is counted."""
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

_SIGNS = {Fate.VANISHED: "x", Fate.PASSED: "o"}


def render(analysis: Result) -> str:
    """Return the report as text; strings from captures are made printable and kept to their line."""
    blocks = [_head(analysis), *(_incident(incident) for incident in analysis.incidents[:INCIDENTS])]
    if hidden := len(analysis.incidents) - INCIDENTS:
        blocks += (
            [[f"... and {count(hidden, 'further incident', 'further incidents')}"]] if hidden > 0 else []
        )
    blocks += [_slow(analysis), _account(analysis), _outside(analysis)]
    blocks += [_advice(advice) for advice in analysis.advice]
    blocks += [_packets(analysis), _reconciliation(analysis)]
    unwell = [signal for signal in analysis.health if signal.level != "ok"]
    if unwell:
        says = [f"{s.level}: {s.name} {s.value}: {s.says}" for s in unwell[:NOTES]]
        blocks.append(["Node health", *_bullets(says)])
    if analysis.caveats:
        blocks.append(["Caveats", *_bullets(analysis.caveats)])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def render_checked(checked: Checked) -> str:
    """Return the report of one bundle, whether it is as expected before it."""
    if checked.analysis is None:
        return "\n".join(_wrap(_line(checked.error))) + "\n"
    if checked.expectation is None:
        return render(checked.analysis)
    verdict = ["Not as expected", *_bullets(unmet.says for unmet in checked.unmet)]
    return "\n".join([*(verdict if checked.unmet else ["As expected"]), "", render(checked.analysis)])


def render_each(checked: Sequence[Checked]) -> str:
    """Return the reports of several bundles, each under its path, and how many are as they should be."""
    told = [f"==> {short(one.name, WIDTH - 8)} <==\n{render_checked(one)}" for one in checked]
    sums = Counter(one.exit for one in checked)
    words = ("without incident or as expected", "with something to look at", "of which nothing can be said")
    parts = [f"{sums[code]} {words[code]}" for code in sorted(sums)]
    return (
        "\n".join([*told, *_wrap(f"{count(len(checked), 'bundle', 'bundles')}: {', '.join(parts)}")]) + "\n"
    )


def overview(analysis: Result) -> str:
    """Return the verdict, the capture points and each incident's summary."""
    blocks = [_head(analysis), *(_summary(incident) for incident in analysis.incidents[:INCIDENTS])]
    if (hidden := len(analysis.incidents) - INCIDENTS) > 0:
        blocks.append([f"... and {count(hidden, 'further incident', 'further incidents')}"])
    if analysis.slow is not None:
        blocks.append(_wrap(_line(analysis.slow.says)))
    return "\n\n".join("\n".join(block) for block in blocks)


def _head(analysis: Result) -> list[str]:
    span = period(analysis)
    lines = [*_wrap(headline(analysis.incidents, analysis)), ""]
    lines += _wrap(f"bundle  {short(analysis.bundle, 60)}", "  ", "          ")
    if analysis.kernel:
        lines.append(f"  kernel  {short(analysis.kernel, 60)}")
    if span:
        lines.append(f"  time    {day(span[0])} {clock(span[0])} UTC, {duration(span[1] - span[0])}")
    for point in analysis.capture_points[:NOTES]:
        dropped = (
            f", {count(point.dropped, 'packet', 'packets')} dropped by the capture" if point.dropped else ""
        )
        packets = count(point.packets, "packet", "packets")
        role = "point" if point.role == "unknown" else short(point.role, 6)
        lines.append(f"  {role:<6}  {short(point.name, 24)}, {packets}{dropped}")
    if len(analysis.capture_points) > NOTES:
        lines.append(f"  ... and {len(analysis.capture_points) - NOTES} further points")
    return lines


def _summary(incident: Incident) -> list[str]:
    where = f", between {short(incident.gap[0], 20)} and {short(incident.gap[1], 20)}" if incident.gap else ""
    heading = f"{short(incident.id, 40)}: {short(title(incident), 60)} ({incident.confidence}{where})"
    return [*_wrap(heading), *_wrap(_line(incident.summary), "  ")]


def _incident(incident: Incident) -> list[str]:
    lines = [*_summary(incident), *_fix(incident)]
    for finding in incident.findings[:FINDINGS]:
        lines += ["", *_finding(finding)]
    if hidden := max(len(incident.findings) - FINDINGS, 0):
        lines += ["", f"  ... and {count(hidden, 'further connection', 'further connections')}"]
    if incident.evidence:
        told = (f"{_line(item.says)} [{_line(item.source)}]" for item in incident.evidence)
        lines += ["", "  Evidence", *_bullets(told)]
    if incident.excluded:
        told = (f"{cause_title(_line(item.cause))}: {_line(item.because)}" for item in incident.excluded)
        lines += ["", "  Ruled out", *_bullets(told)]
    return lines


def _fix(incident: Incident) -> list[str]:
    if not incident.remedies:
        return []
    remedy = incident.remedies[0]
    lines = ["", *_wrap(f"Fix: {_line(remedy.do)}", "  ", "       ")]
    # A command stays as long as it is: wrapped, it could not be copied.
    lines += [f"      {_line(part, keep=True)}" for part in remedy.command.splitlines()]
    lines += _wrap(f"Effect: {_line(remedy.effect)}", "    ", "      ") if remedy.effect else []
    lines += _wrap(f"Risk: {_line(remedy.risk)}", "    ", "      ") if remedy.risk else []
    if others := len(incident.remedies) - 1:
        lines.append(f"    {count(others, 'further remedy', 'further remedies')} in the HTML report")
    return lines


def _finding(finding: Finding) -> Iterator[str]:
    yield f"  {short(finding.inner, WIDTH - 2)}"
    if finding.outer and finding.outer != finding.inner:
        yield f"  outside {short(finding.outer, WIDTH - 10)}"
    yield from _names(finding.names)
    first = finding.attempts[0].time if finding.attempts else 0
    for attempt in finding.attempts[:ATTEMPTS]:
        yield from _attempt(attempt, first)
    if hidden := max(len(finding.attempts) - ATTEMPTS, 0):
        yield f"    ... and {count(hidden, 'further attempt', 'further attempts')}"
    for passage in finding.passages:
        if passage.role in {"offender", "host-reset"}:
            frames = ", ".join(f"{short(s.point, 16)} {s.frame}" for s in passage.sightings[:4])
            after = offset(passage.sightings[0].time - finding.time) if passage.sightings else ""
            note = f", {_line(passage.note)}" if passage.note else ""
            yield from _wrap(f"! {after:<13}{_line(passage.label)}{note}; {frames}", "    ", "      ")
    if finding.delay_s is not None:
        yield f"    waited {duration(round(finding.delay_s * 10**9))}"


def _names(names: Iterable[Name]) -> Iterator[str]:
    for one in names:
        yield from _wrap(_line(one.says), "    ", "      ")


def _attempt(attempt: Attempt, first: int) -> Iterator[str]:
    frames = ", ".join(f"{short(packet.point, 16)} {packet.frame}" for packet in attempt.packets[:6])
    said = f"{_SIGNS.get(attempt.fate, '?')} {offset(attempt.time - first):<13}{attempt.fate.value:<16}"
    yield from _wrap(f"{said}{frames}", "    ", " " * 29)


def _advice(advice: Advice) -> list[str]:
    lines = ["What to capture next", *_wrap(_line(advice.situation), "  ")]
    lines += _wrap(f"Can be told: {_line(advice.tells)}", "  - ", "    ")
    lines += _wrap(f"Cannot be told: {_line(advice.hides)}", "  - ", "    ")
    lines += _wrap(_line(advice.next), "  ")
    return lines + [f"    {_line(part, keep=True)}" for part in advice.command.splitlines()]


def _slow(analysis: Result) -> list[str]:
    """What the slow requests of a log waited for."""
    if analysis.slow is None:
        return []
    told = analysis.slow.requests
    lines = ["Slow requests", *_wrap(_line(analysis.slow.says), "  ")]
    for one in told[:SLOW]:
        lines += _wrap(f"- {_waited(one)}", "  ", "    ")
    if hidden := len(told) - SLOW:
        lines += [f"  ... and {count(hidden, 'further request', 'further requests')}"] if hidden > 0 else []
    return lines


def _waited(one: Explained) -> str:
    request, found = one.request, one.connection
    cause = f" ({cause_title(found.cause)}, {short(found.incident, 40)})" if found and found.cause else ""
    of = f": {short(found.name, 90)}" if found else ""
    says = (
        f"{clock(request.begin)}, {duration(round(request.duration * 10**9))}, {account.WAITED[one.verdict]}"
    )
    return f"{says}{cause}{of} [{short(request.file, 40)}:{request.line}]"


def _account(analysis: Result) -> list[str]:
    """The four numbers, and what stays open."""
    told = analysis.account
    lines = ["Connections", *(f"  {number:>12,}  {label}" for _, number, label in account.numbers(told))]
    lines += _bullets(account.waits(told))
    if told.open:
        lines += _bullets(account.whys(told))
        lines += _bullets(account.coverage(one) for one in analysis.coverage)
        for one in analysis.untold[:UNTOLD]:
            says = f"{short(one.connection, 74)}: {account.OUTCOMES.get(one.outcome, one.outcome)}, {account.why(one.why)}"
            lines += _wrap(f"? {says}", "  ", "    ")
            lines += _names(one.names)
            lines += _wrap(_line(one.logged), "    ", "      ") if one.logged else []
        if hidden := told.open - len(analysis.untold[:UNTOLD]):
            lines.append(f"  ... and {count(hidden, 'further connection', 'further connections')}")
    return lines


def _outside(analysis: Result) -> list[str]:
    """What failed outside the node: to whom, what the unanswered have in common, what to record next."""
    told = analysis.outside
    if told is None:
        return []
    lines = ["Outside this node"]
    for one in told.destinations[:DESTINATIONS]:
        failed = f"{one.connections:,} of {one.connections + one.worked:,}"
        sources = ", ".join(f"{short(name, 40)} {number:,}" for name, number in one.sources[:3])
        when = clock(one.first)[:12] + (f" to {clock(one.last)[:12]}" if one.last > one.first else "")
        says = f"{short(one.name, 56)}: {failed} ({account.outcomes(one.outcomes, one.refusals)}), from {sources}; {when}"
        lines += _wrap(f"- {says}", "  ", "    ")
        lines += _names(one.names)
    if hidden := max(len(told.destinations) - DESTINATIONS, 0) + told.hidden:
        lines.append(f"  ... and {count(hidden, 'further destination', 'further destinations')}")
    for trait in told.traits:
        lines += _wrap(f"In common: {_line(trait.says)}. {_line(trait.next)}", "  ", "    ")
    if told.advice is not None:
        lines += _wrap(f"Next: {_line(told.advice.next)}", "  ", "    ")
        lines += [f"      {_line(part, keep=True)}" for part in told.advice.command.splitlines()]
    return lines


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
    told = [f"  {number:>12,}  {label}" for label, number in numbers if number]
    return ["Packets", *told] if told else []


def _reconciliation(analysis: Result) -> list[str]:
    if not analysis.reconciliation:
        return []
    lines = ["Kernel counters"]
    for row in analysis.reconciliation[:NOTES]:
        told = f"{row.delta:>+12,}  {short(row.counter, 30)}, {row.explained:,} explained. {_line(row.note)}"
        lines += _wrap(told, "  ", " " * 16)
    return lines


def _bullets(items: Iterable[str]) -> list[str]:
    told = list(items)
    lines = [line for item in told[:NOTES] for line in _wrap(f"- {_line(item)}", "  ", "    ")]
    return lines + ([f"  ... and {len(told) - NOTES} more"] if len(told) > NOTES else [])


def _line(text: str, *, keep: bool = False) -> str:
    """Return *text* on one printable line, its inner spaces as they are if *keep*."""
    text = printable(text)
    return text.replace("\t", "    ") if keep else " ".join(text.split())


def _wrap(text: str, first: str = "", then: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=first if then is None else then,
        break_on_hyphens=False,
        drop_whitespace=True,
    )
