"""Why a packet has its fate: one connection, what became of it, and what each point and each witness said of its packets.

The answer to "why is this SYN not called lost?": every packet that was followed, with its reason in every gap that it entered
(`analyzer.connection.reasons`), and what rules, records and the point beyond say of the first that did not get through.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

import numpy as np

from analyzer.connection.account import CLASSES, DIRECTIONS, WHY
from analyzer.connection.fates import Followed
from analyzer.connection.model import Fate
from analyzer.connection.outcome import OUTCOMES, STATES
from analyzer.connection.passages import ends, flow_name, label
from analyzer.connection.reasons import REASONS
from analyzer.errors import UnusableInput
from analyzer.flow.point import Point
from analyzer.incident.records import joined, told
from analyzer.incident.scene import Scene
from analyzer.nat.gap import Gap
from analyzer.report import account
from analyzer.report.words import cause_title, clock, duration, offset, printable, short
from analyzer.result.analysis import Result

WIDTH = 80
CONNECTIONS = 5
"""Connections of one five-tuple that are told: it may have been used again and again."""
PACKETS = 40
"""Packets of one connection that are told."""
_TUPLE = re.compile(r"(?P<src>\S+?)\s*(?:>|->|-)\s*(?P<dst>[^\s/]+)(?:/(?P<proto>\w+))?")


def why(analysis: Result, what: str) -> str:
    """Return what is known of the connections that *what* names.

    Args:
        analysis: Made by `analyze`.
        what: A packet, `POINT:FRAME`, or a five-tuple as reports have it, `10.244.0.11:20000 > 192.0.2.100:80/tcp`.

    Raises:
        UnusableInput: Nothing of that name is in the captures.
    """
    scene = analysis.captured
    found = _frame(scene, what) if re.fullmatch(r"[^>]+:\d+", what) else _tuple(scene, what)
    if not found:
        raise UnusableInput(
            f"{short(what, 100)!r} is not a connection in these captures; give a packet as POINT:FRAME (cni0:12), or a "
            "five-tuple as reports have it ('10.244.0.11:20000 > 192.0.2.100:80/tcp')"
        )
    blocks = ["\n".join(_connection(analysis, scene, number)) for number in found[:CONNECTIONS]]
    if len(found) > CONNECTIONS:
        blocks.append(f"... and {len(found) - CONNECTIONS} further connections with these ends")
    return "\n\n".join(blocks) + "\n"


def _frame(scene: Scene, what: str) -> list[int]:
    name, _, frame = what.rpartition(":")
    point = next((point for point in scene.points if point.name == name), None)
    if point is None:
        return _tuple(scene, what)
    rows = (
        np.flatnonzero(point.packets.frame == int(frame)) if int(frame) < 1 << 32 else np.zeros(0, np.int64)
    )
    numbers = (
        (scene.connections.of(name, int(flow)) for flow in point.packets.flow[rows])
        if scene.connections
        else ()
    )
    return list(dict.fromkeys(number for number in numbers if number is not None))


def _tuple(scene: Scene, what: str) -> list[int]:
    """Connections with these ends at any point, whoever opened them."""
    asked = _TUPLE.fullmatch(what.strip())
    if asked is None or scene.connections is None:
        return []
    wanted = {asked["src"], asked["dst"]}
    ports = {
        int(end.rpartition(":")[2]) for end in wanted if end.rpartition(":")[2].isdecimal() and ":" in end
    }
    found: dict[int, None] = {}
    for point in scene.points:
        flows = point.flows
        some = np.ones(len(flows), bool)
        if len(ports) == len(wanted):
            some = np.isin(flows.ports >> 16, [*ports]) & np.isin(flows.ports & 0xFFFF, [*ports])
        for flow in np.flatnonzero(some).tolist():
            if set(ends(flows, flow)) != wanted or (
                asked["proto"] and not flow_name(flows, flow).endswith(f"/{asked['proto']}")
            ):
                continue
            number = scene.connections.of(point.name, flow)
            if number is not None:
                found[number] = None
    return list(found)


def _connection(analysis: Result, scene: Scene, number: int) -> Iterator[str]:
    """One connection: its outcome, its class, and its packets."""
    all_ = scene.connections
    assert all_ is not None
    chains, outcomes = all_.chains, all_.outcomes
    point, flow = chains.points[int(chains.point[number])], int(chains.flow[number])
    yield f"{flow_name(point.flows, flow)} ({DIRECTIONS[int(all_.direction[number])]})"
    outcome = OUTCOMES[int(outcomes.code[number])]
    refused = all_.refused.get(number)
    delay = int(outcomes.delay[number])
    says = f"outcome  {outcome}" + (f": {refused.words}" if refused else "")
    says += f", after {duration(delay)}" if delay else ""
    state, history = STATES[int(outcomes.state[number])], outcomes.letters(number)
    yield from _wrap(f"{says} (conn_state {state}, history {history or '-'})", "  ", "           ")
    cause = WHY[int(all_.why[number])]
    of = CLASSES[int(all_.told[number])]
    reason = REASONS[int(all_.fates.reason[number])]
    because = f": {account.why(reason.code if cause == 'open' else cause)}" if cause else ""
    yield from _wrap(f"class    {of}{because}", "  ", "           ")
    yield from _wrap(f"reason   {reason.code}: {reason.says}", "  ", "           ")
    for incident in analysis.incidents:
        if any(all_.of(one.point, one.flow) == number for one in incident.findings):
            named = f"{incident.id}, {cause_title(incident.cause)} ({incident.confidence})"
            yield from _wrap(f"incident {named}", "  ", "           ")
    yield from _packets(scene, number)


def _packets(scene: Scene, number: int) -> Iterator[str]:
    """Every packet of a connection that was followed, where it was seen first, with its reasons from there on."""
    all_ = scene.connections
    assert all_ is not None
    place = {point.name: n for n, point in enumerate(all_.chains.points)}
    by_row: dict[tuple[str, int], tuple[Followed, int]] = {}
    begun: list[tuple[int, str, int]] = []
    for at in scene.followed:
        mine = np.flatnonzero(all_.chains.of[place[at.point.name]][at.point.packets.flow[at.rows]] == number)
        for index in mine.tolist():
            row = int(at.rows[index])
            by_row[at.point.name, row] = (at, index)
            if at.first[index]:
                begun.append((int(at.point.packets.time[row]), at.point.name, row))
    begun.sort()
    asked = False
    for time, name, row in begun[:PACKETS]:
        point = scene.trails.points[name]
        seen = scene.trails.sightings(point, row)
        frames = ", ".join(f"{short(p.name, 24)} {p.packets.frame[r]}" for p, r in seen)
        yield ""
        since = offset(time - begun[0][0]) if time > begun[0][0] else clock(time)
        yield from _wrap(f"{since}  {label(point, row)}: {frames}", "  ", "    ")
        for p, r in seen:
            if (p.name, r) not in by_row:
                continue
            at, index = by_row[p.name, r]
            if at.gap[index] < 0 and at.reason[index] == 0:
                continue
            gap = scene.gaps[int(at.gap[index])] if at.gap[index] >= 0 else None
            reason = REASONS[int(at.reason[index])]
            where = "-".join(gap.names) if gap else f"after {p.name}"
            yield from _wrap(f"{where}: {reason.fate.value}, {reason.code}: {reason.says}", "    ", "      ")
            if gap is not None and reason.fate is not Fate.PASSED and not asked:
                asked = True
                yield from _asked(scene, at, index, gap)
    if len(begun) > PACKETS:
        yield f"  ... and {len(begun) - PACKETS} further packets"
    if not begun:
        yield "  none of its packets could be followed: no request of it, and no answer, was captured"


def _asked(scene: Scene, at: Followed, index: int, gap: Gap) -> Iterator[str]:
    """What was asked of the evidence for the first packet that did not get through, and what it answered."""
    row, point = int(at.rows[index]), at.point
    there = gap.outer if at.outward[index] else gap.inner
    time = point.packets.time[row : row + 1]
    for asked, answer in (
        (f"was {there.name} recording?", _recording(there, bool(there.recorded(time)[0]))),
        ("was it answered?", "yes" if at.answered[index] else "no"),
        ("does an ICMP error quote it?", _error(scene, at, row)),
        ("do the rules of the node let it pass?", _rules(scene, at, index, gap)),
        ("did the kernel record a drop?", _record(scene, point, row)),
        ("did conntrack count?", _counters(scene)),
    ):
        yield from _wrap(f"? {asked} {answer}", "      ", "        ")


def _recording(there: Point, recorded: bool) -> str:
    witness = there.interval.why if there.interval else "its own packets before and after"
    first, last = there.recording_span
    return f"{'yes' if recorded else 'nothing shows it'}: from {clock(first)} to {clock(last)}, by {witness}"


def _error(scene: Scene, at: Followed, row: int) -> str:
    one = None if at.replies else scene.refusals.of(at.point, row)
    return f"yes, {one.words}, in {at.point.name} frame {at.point.packets.frame[one.row]}" if one else "no"


def _rules(scene: Scene, at: Followed, index: int, gap: Gap) -> str:
    walked = scene.walk(at.point, int(at.rows[index]), gap, outward=bool(at.outward[index]))
    if walked is None:
        return "no rules are in the bundle"
    steps, file = walked
    rule = f": {steps.end.text}" if steps.end is not None and steps.end.text else ""
    return f"{steps.verdict}{rule} [{file}]"


def _record(scene: Scene, point: Point, row: int) -> str:
    if not scene.evidence.drops:
        return "no records are in the bundle"
    record = joined(scene).get((point.name, row))
    return f"yes: {told(record).says} [{told(record).source}]" if record else "none names this packet"


def _counters(scene: Scene) -> str:
    if not scene.counters:
        return "no counters of before and after are in the bundle"
    rose = ", ".join(
        f"{name} rose by {scene.counters.get(name, 0):,}" for name in ("drop", "insert_failed", "invalid")
    )
    return f"{rose}; {sum(scene.vanished.values()):,} requests vanished in all"


def _wrap(says: str, first: str, then: str) -> list[str]:
    text = " ".join(printable(says).split())
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)
