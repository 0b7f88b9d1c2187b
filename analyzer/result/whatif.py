"""What would have happened with one setting changed: the incidents of a bundle, judged again.

Each setting is one function here. What it has nothing to do with remains; what the captures do not show is `unknown`.
Whether a setting would have brought other incidents is not asked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.compute.thresholds import RACE
from analyzer.connection.fates import VANISHED
from analyzer.connection.passages import flow_name
from analyzer.conntrack import Settings, generation_of
from analyzer.conntrack.generation import GENERATIONS, LINUX_4_15, Generation
from analyzer.conntrack.occupancy import estimate
from analyzer.conntrack.replay import DEFAULTS, Script, script
from analyzer.conntrack.timeouts import Timeouts
from analyzer.errors import UnusableInput
from analyzer.incident.model import Finding, Incident
from analyzer.incident.scene import Scene
from analyzer.incident.wording import count
from analyzer.result.analysis import Result

Outcome = Literal["avoided", "remaining", "unknown"]
PORTS = 65_535 - 1024 + 1
"""Source ports from which SNAT chooses for a port of 1024 or above (`nf_nat_l4proto_unique_tuple`)."""
_JUDGED = ("invalid-reset", "invalid-dropped")
_LATE = ("ack-under-lower-bound", "seq-under-lower-bound")


class Told(NamedTuple):
    """What becomes of one incident."""

    outcome: Outcome
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """What one changed setting would have done; the three tuples hold incident ids, each id once."""

    setting: str
    """As asked for: `table=524288`."""
    avoided: tuple[str, ...]
    """Would not have happened."""
    remaining: tuple[str, ...]
    """Would have happened all the same, in this form or as a sentence of `says` tells."""
    unknown: tuple[str, ...]
    """The bundle does not allow to say."""
    says: dict[str, str]
    """Incident id to one sentence."""
    arithmetic: str
    """How the numbers came about; empty where nothing was computed."""


def what_if(analysis: Result, setting: str) -> WhatIf:
    """Judge every incident of an analysis again with one setting changed.

    Args:
        analysis: As `analyze` made it.
        setting: `be-liberal`, `drop-invalid`, `random-fully`, `kernel=RELEASE` or `table=ENTRIES`.

    Raises:
        UnusableInput: There is no such setting, or its value makes no sense.
        ValueError: The analysis holds no captures.
    """
    known, value = parse(setting)
    if analysis.scene is None:
        raise ValueError("this Analysis holds no captures; make it with analyzer.analyze()")
    told, arithmetic = known.ask(analysis.scene, analysis.incidents, value)
    by_outcome: dict[Outcome, list[str]] = {"avoided": [], "remaining": [], "unknown": []}
    for incident in analysis.incidents:
        by_outcome[told[incident.id].outcome].append(incident.id)
    return WhatIf(
        setting=setting,
        avoided=tuple(by_outcome["avoided"]),
        remaining=tuple(by_outcome["remaining"]),
        unknown=tuple(by_outcome["unknown"]),
        says={incident.id: told[incident.id].says for incident in analysis.incidents},
        arithmetic=arithmetic,
    )


Answers = tuple[dict[str, Told], str]


class Setting(NamedTuple):
    """One setting that can be changed."""

    form: str
    """How it is written."""
    value: str
    """What stands behind the `=`, as a regular expression; empty where there is none."""
    ask: Callable[[Scene, Sequence[Incident], str], Answers]


def parse(setting: str) -> tuple[Setting, str]:
    """Read a setting as it is written: what it is, and its value.

    Raises:
        UnusableInput: There is no such setting, or its value makes no sense.
    """
    name, equals, value = setting.partition("=")
    known = SETTINGS.get(name)
    if known is None or bool(equals) != bool(known.value) or not re.fullmatch(known.value, value, re.ASCII):
        forms = ", ".join(one.form for one in SETTINGS.values())
        raise UnusableInput(
            f"{setting!r} is not a setting; there are {forms} (a release such as 6.1, a number such as 524288)"
        )
    return known, value


def _be_liberal(scene: Scene, incidents: Sequence[Incident], _: str) -> Answers:
    """Judge the INVALID packets without the window tests."""
    told = {}
    for incident in incidents:
        if incident.kind in _JUDGED:
            told[incident.id] = _judged_again(incident, scene, None, Settings(be_liberal=True))
        elif incident.kind == "unnatted-leak":
            told[incident.id] = Told(
                "unknown",
                "the captures do not tell whether the window tests or a missing entry let these packets out",
            )
        else:
            told[incident.id] = Told("remaining", "no window check was involved")
    return told, ""


def _drop_invalid(_: Scene, incidents: Sequence[Incident], __: str) -> Answers:
    """Let the host drop what is INVALID instead of answering it."""
    told = {}
    for incident in incidents:
        if incident.kind == "invalid-reset" and incident.cause in _LATE:
            fate = Told(
                "avoided",
                "the host would have sent no RST; the packets are dropped, but they are late and carry nothing new",
            )
        elif incident.kind == "invalid-reset":
            fate = Told(
                "remaining",
                "as invalid-dropped: the host would have sent no RST, but the packets never arrive, nor do their repetitions "
                "as long as the same test fails",
            )
        elif incident.kind == "invalid-dropped":
            fate = Told("remaining", "these packets were dropped without an answer anyway")
        elif incident.kind == "unnatted-leak":
            fate = Told("remaining", "these packets are forwarded; only a rule in FORWARD would see them")
        else:
            fate = Told("remaining", "the lost packets were new, not INVALID")
        told[incident.id] = fate
    return told, ""


def _kernel(scene: Scene, incidents: Sequence[Incident], value: str) -> Answers:
    """Judge by another kernel's rules."""
    major, minor = re.findall(r"\d+", value)[:2]
    release, generation = (int(major), int(minor)), generation_of(value)
    told = {}
    for incident in incidents:
        if incident.kind in _JUDGED:
            told[incident.id] = _judged_again(incident, scene, generation, DEFAULTS)
        elif incident.cause == "dns-insert-race":
            told[incident.id] = _dns(release)
        elif incident.cause == "unknown":
            told[incident.id] = Told("unknown", "what is not explained cannot be judged by other rules")
        else:
            told[incident.id] = Told("remaining", f"Linux {value} does the same")
    order = list(GENERATIONS.values())
    older = order.index(generation) < order.index(generation_of(scene.evidence.kernel))
    return told, f"judged by the rules of conntrack generation {generation.name}" + (
        "; an older kernel calls more packets INVALID, and whether it would have refused others here was not checked"
        if older
        else ""
    )


def _dns(release: tuple[int, int]) -> Told:
    """See `docs/conntrack.md`: 4e35c1cb9460 (5.0) for SNAT, 6a757c07e51f (5.6) where DNAT chose different endpoints."""
    if release >= (5, 6):
        return Told("avoided", "clashes of UDP are resolved without loss from 5.6 on")
    if release >= (5, 0):
        return Told(
            "unknown",
            "5.0 resolves the clash unless DNAT chose different endpoints for the two; 5.6 also then",
        )
    return Told("remaining", "before 5.0 the second query is dropped wherever NAT is")


def _judged_again(
    incident: Incident, scene: Scene, generation: Generation | None, settings: Settings
) -> Told:
    """Replay an incident's connections, first as they went, then changed.

    Args:
        incident: Of a kind in `_JUDGED`.
        scene: Its bundle.
        generation: Other rules; None for those that explained the incident.
        settings: Other sysctls.
    """
    packets = refused = unexplained = 0
    reasons: Counter[str] = Counter()
    for finding in incident.findings:
        own = GENERATIONS.get(str(finding.facts.get("generation"))) or generation_of(scene.evidence.kernel)
        replayed, offenders = _replayed(finding, scene)
        packets += len(offenders)
        before = replayed.judge(own)
        if not offenders or any(before[place].judgement.verdict != "invalid" for place in offenders):
            unexplained += 1
            continue
        after = replayed.judge(generation or own, settings)
        still = [after[place].judgement for place in offenders if after[place].judgement.verdict == "invalid"]
        refused += len(still)
        reasons.update(judgement.reason for judgement in still)
    what = count(packets, "packet")
    if refused:
        why = reasons.most_common(1)[0][0]
        return Told("remaining", f"{refused} of {what} would still be INVALID: {why}")
    if unexplained:
        return Told(
            "unknown", f"no replay explains why {what} were INVALID, so none can tell what would pass"
        )
    return Told("avoided", f"replayed with it, {what} would have been translated and passed on")


def _replayed(finding: Finding, scene: Scene) -> tuple[Script, list[int]]:
    """What conntrack saw of a finding's connection, and the places therein of what it called INVALID."""
    gap = next(gap for gap in scene.gaps if gap.names == finding.gap)
    packets, matches = gap.outer.packets, gap.matches
    frames = {told["frame"] for told in finding.facts["offenders"]}
    for row in np.flatnonzero(packets.time == finding.time):
        for index in np.flatnonzero(matches.b == packets.flow[row]):
            if flow_name(gap.inner.flows, int(matches.a[index])) == finding.inner:
                found = script(gap, int(index))
                return found, [
                    place
                    for place, (point, row) in enumerate(found.packets)
                    if point is gap.outer and gap.in_inner[row] < 0 and int(packets.frame[row]) in frames
                ]
    return Script(packets=(), segments=()), []


def _table(scene: Scene, incidents: Sequence[Incident], value: str) -> Answers:
    """Ask whether the refused connections would have found room."""
    size = int(value)
    said = re.fullmatch("[0-9]{1,10}", scene.evidence.sysctls.get("net.netfilter.nf_conntrack_max", ""))
    limit = int(said[0]) if said else None
    shown, wanted, more = _needed(scene)
    if limit is not None:
        needed = limit + more
        arithmetic = (
            f"the table was full with {limit:,} entries (nf_conntrack_max); had every request that vanished got one, up to "
            f"{more:,} more would have been in it at once: {limit:,} + {more:,} = {needed:,} entries are needed"
        )
    else:
        needed = wanted
        arithmetic = (
            f"the captures show up to {shown:,} entries at once, and would show {wanted:,} had every request that vanished "
            f"got one; so many are needed at least: what was in the table before the captures, and its size, are not known"
        )
    if size < needed:
        full = Told("remaining", f"{size:,} entries are too few: {needed:,} are needed")
    elif limit is not None:
        full = Told("avoided", f"{size:,} entries hold the {needed:,} that are needed for what was captured")
    else:
        full = Told(
            "unknown",
            f"at least {needed:,} entries are needed; whether {size:,} suffice, the bundle does not tell",
        )
    other = Told("remaining", "the table's size was not involved")
    told = {i.id: full if i.cause == "conntrack-table-full" else other for i in incidents}
    return told, arithmetic if full in told.values() else ""


def _needed(scene: Scene) -> tuple[int, int, int]:
    """Most entries at once: as it was, had nothing been refused, and the largest difference of the two."""
    generation = generation_of(scene.evidence.kernel)
    timeouts = Timeouts.of(generation, scene.evidence.sysctls)
    made = scene.occupancy
    asked = estimate(scene.points, scene.gaps, generation, timeouts)
    if made is None or asked is None:
        return 0, 0, 0
    common = np.intersect1d(made.time, asked.time)
    more = asked.entries[np.isin(asked.time, common)] - made.entries[np.isin(made.time, common)]
    return made.peak, asked.peak, max(int(more.max()), asked.peak - made.peak)


def _random_fully(scene: Scene, incidents: Sequence[Incident], _: str) -> Answers:
    """Compute how many losses are left to expect when every port is drawn at random."""
    rules = scene.evidence.rules[-1].rules("masquerade", "snat") if scene.evidence.rules else ()
    translations = [
        action for rule in rules for action in rule.actions if action.kind in ("masquerade", "snat")
    ]
    drawn = bool(translations) and all("fully-random" in action.flags for action in translations)
    pairs = coincidences(*_newcomers(scene), RACE)
    used = _used(scene)
    free = PORTS - used
    expected = pairs / free
    races = [incident for incident in incidents if incident.cause == "snat-port-race"]
    lost = sum(int(f.facts["attempts_vanished"]) for i in races for f in i.findings)
    arithmetic = (
        f"R = {PORTS:,} ports (1024 to 65535), of which U = {used:,} at most were taken towards one destination: two "
        f"connections that draw at the same moment draw the same with P = 1 / (R - U) = 1 / {free:,}. "
        f"{count(pairs, 'pair')} of new connections to one destination began within {RACE / 1e6:g} ms of each other: "
        f"{pairs:,} x P = {expected:.2g} losses are to be expected at most, against {lost:,} seen"
    )
    no_rover = generation_of(scene.evidence.kernel) is not LINUX_4_15  # 6ed5943f8735, 5.0
    told = {}
    for incident in incidents:
        if incident.cause != "snat-port-race":
            told[incident.id] = Told("remaining", "no two connections raced for one port of SNAT's in it")
        elif drawn:
            told[incident.id] = Told("remaining", "the rules draw every port at random already")
        elif not all(f.facts["port_kept"] for f in incident.findings) and no_rover:
            told[incident.id] = Told(
                "unknown",
                "some of these connections could not keep their port, and from 5.0 on the search for another begins "
                "at random by itself",
            )
        elif expected < 0.5:
            collisions = count(len(incident.findings), "collision")
            told[incident.id] = Told(
                "avoided", f"its {collisions} would have had a chance of 1 in {free:,} each"
            )
        else:
            told[incident.id] = Told(
                "unknown", f"among so many coincidences {expected:.2g} collisions are to be expected"
            )
    return told, arithmetic if races else ""


def _newcomers(scene: Scene) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Time and destination of the first packet of each new connection that is to leave, and of those that vanished."""
    times, destinations = [], []
    before_uplink = {gap.inner.name for gap in scene.gaps if gap.exit}
    for at in (
        at for followed in scene.requests.values() for at in followed if at.point.name in before_uplink
    ):
        rows, lost = at.rows[at.outward], at.fate[at.outward] == VANISHED
        flow = at.point.packets.flow[rows]
        first = np.zeros(len(rows), bool)
        first[np.unique(flow, return_index=True)[1]] = True
        rows, flow = rows[first | lost], flow[first | lost]
        times.append(at.point.packets.time[rows])
        # Connections of TCP and of UDP never clash.
        proto = at.point.flows.proto[flow].astype(np.uint64)
        destinations.append(scene.destinations[at.point.name][flow] ^ proto)
    return np.concatenate([*times, np.zeros(0, np.int64)]), np.concatenate(
        [*destinations, np.zeros(0, np.uint64)]
    )


def coincidences(time: NDArray[np.int64], destination: NDArray[np.uint64], within: int) -> int:
    """Count the pairs with one destination whose times are at most *within* ns apart."""
    order = np.lexsort((time, destination))
    time, destination = time[order], destination[order]
    here = np.arange(len(time))
    ends = np.append(np.flatnonzero(destination[1:] != destination[:-1]), len(time) - 1)
    # Of each one the last that is near enough: a binary search for all at once.
    low, high = here.copy(), ends[np.searchsorted(ends, here)] if len(time) else here
    while (low < high).any():
        middle = (low + high + 1) // 2
        near = time[middle] - time <= within
        low, high = np.where(near, middle, low), np.where(near, high, middle - 1)
    return int((low - here).sum())


def _used(scene: Scene) -> int:
    """The most outer ports that were taken towards one destination."""
    most = 0
    for mappings in scene.new_mappings.values():
        _, counts = np.unique(np.column_stack([mappings.proto, mappings.dst]), axis=0, return_counts=True)
        most = max(most, int(counts.max(initial=0)))
    return min(most, PORTS - 1)


SETTINGS: Mapping[str, Setting] = {
    "be-liberal": Setting("be-liberal", "", _be_liberal),
    "drop-invalid": Setting("drop-invalid", "", _drop_invalid),
    "random-fully": Setting("random-fully", "", _random_fully),
    "kernel": Setting("kernel=RELEASE", r"\d{1,3}\.\d{1,3}([.\-+~]\S{0,80})?", _kernel),
    "table": Setting("table=ENTRIES", r"[1-9]\d{0,9}", _table),
}
