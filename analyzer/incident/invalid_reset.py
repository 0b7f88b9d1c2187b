"""Conntrack called a packet INVALID, and the host, or the pod, answered it with a RST.

What happens
    A packet from outside that fails a test of conntrack's window tracking is not translated. If the connection's source is
    translated, it is addressed to the node itself, which knows no such connection and answers with a RST (RFC 9293
    section 3.10.7.1) that neither end asked for. The pod hears nothing of it; the server closes, ignores it, or resets.
    If the destination alone is translated (a service, and pods' addresses that are routed), it reaches the pod with
    the endpoint's own address instead of the service's. The pod knows no such connection, and resets it.

How it is recognised
    A reply of a translated connection is on the uplink, and inside it is not there, or untranslated; then a RST leaves the
    uplink that is its exact mirror: the sequence number is the reply's acknowledgement number, window 0, no options, and it
    was never seen inside, or it came from the pod with the endpoint's address. The connection is replayed through the
    rules of the kernel's generation; the test that fails is the cause: `ack-under-lower-bound`, `ack-over-upper-bound`,
    `seq-over-upper-bound`, `seq-under-lower-bound`. A replay that calls INVALID what got through is withdrawn. `invalid` rises
    by two for each, the reply and the RST.

What is ruled out
    A RST of the server (it would come from outside), of the container for its own reasons (it would carry the service's
    address), of a closed port (it would answer a SYN).

Remedies and their risks
    Those of the cause: `lostsyn explain ack-under-lower-bound`, and so on.

References
    https://github.com/moby/libnetwork/issues/1090; https://github.com/kubernetes/kubernetes/issues/74839;
    nf_conntrack_proto_tcp.c `tcp_in_window`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.capture.layout import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from analyzer.compute.thresholds import CHANCE
from analyzer.connection.model import Fate
from analyzer.connection.passages import flow_name
from analyzer.conntrack import CLASSIC, generation_of
from analyzer.conntrack.replay import refuted, script
from analyzer.incident import logged
from analyzer.incident.absence import misses, openings
from analyzer.incident.lost_entry import gone
from analyzer.incident.model import Evidence, Exclusion, Finding, WindowPoint
from analyzer.incident.wording import duration
from analyzer.node.ways import FIRST_TTLS, IN

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from analyzer.connection.model import Passage
    from analyzer.conntrack.generation import Generation
    from analyzer.conntrack.replay import Judged
    from analyzer.incident.host_resets import Reset
    from analyzer.incident.lost_entry import Gone
    from analyzer.incident.scene import Scene

BEFORE, AFTER = 40, 24
"""Packets of the connection that are drawn around the first offender."""
TESTS = ("ack-under-lower-bound", "ack-over-upper-bound", "seq-over-upper-bound", "seq-under-lower-bound")


def findings(resets: Sequence[Reset], scene: Scene) -> list[Finding]:
    """One finding per connection that the host, or the pod, reset; the causes are named by replaying it."""
    by_connection: dict[tuple[str, int, bool], list[Reset]] = {}
    for reset in resets:
        if not reset.by_pod and _perhaps_the_pod_s(reset, scene):
            continue
        by_connection.setdefault(("/".join(reset.gap.names), reset.crossing, reset.by_pod), []).append(reset)
    return [f for group in by_connection.values() for f in _finding(group, scene)]


def _perhaps_the_pod_s(reset: Reset, scene: Scene) -> bool:
    """Whether a router had the RST before, and the point inside lacks more than that one: a filter kept the pod's from it."""
    gap, ttl = reset.gap, reset.gap.outer.packets.ttl[reset.reset]
    lacks = openings(gap.inner) or misses(scene, gap, outward=False) > CHANCE
    return bool(lacks and ttl and ttl not in FIRST_TTLS)


def _finding(resets: list[Reset], scene: Scene) -> list[Finding]:
    """The findings of one connection: one per test that failed."""
    gap, index = resets[0].gap, resets[0].crossing
    # Where the bridge translates, what the pod was handed untranslated is of the same flow there, and so are its RSTs.
    by_pod = [reset for reset in resets if reset.by_pod]
    replay, contrary = script(gap, index, {reset.reset for reset in by_pod}), None
    offenders, passed = {reset.offender for reset in resets}, {reset.offender for reset in by_pod}
    kernel = scene.evidence.kernel
    generation, judged = generation_of(kernel), []
    for generation in (generation_of(kernel), CLASSIC):
        judged = replay.judge(generation)
        contrary = refuted(judged, gap, index, passed)
        if contrary is None and all(
            j.judgement.verdict == "invalid" for j in judged if _is(j, gap.outer, offenders)
        ):
            break  # what the captures show decides, not what uname says
    by_offender = {
        j.row: (place, j) for place, j in enumerate(judged[:contrary]) if _is(j, gap.outer, offenders)
    }
    by_test: dict[str, list[Reset]] = {}
    lost: Gone | None = None
    for reset in resets:
        test: str = by_offender[reset.offender][1].judgement.test if reset.offender in by_offender else ""
        if test not in TESTS:
            lost = lost or _entry_gone(reset, scene)
            test = lost.cause if lost else "unknown"
        by_test.setdefault(test, []).append(reset)
    return [
        _told(
            test,
            group,
            judged,
            by_offender,
            generation,
            scene,
            whole=replay.whole,
            contrary=contrary,
            lost=lost,
        )
        for test, group in by_test.items()
    ]


def _entry_gone(reset: Reset, scene: Scene) -> Gone | None:
    """Why conntrack did not know the connection any more, where no window test failed."""
    gap, inner = reset.gap, reset.gap.inner
    flow, time = int(gap.matches.a[reset.crossing]), int(gap.outer.packets.time[reset.offender])
    rows = inner.rows(flow)
    before = rows[inner.packets.time[rows] < time]
    return gone(scene, inner, flow, int(before[-1]), time) if len(before) else None


def _is(judged: Judged, outer: object, offenders: set[int]) -> bool:
    return judged.point is outer and judged.row in offenders


def _told(
    test: str,
    resets: list[Reset],
    judged: list[Judged],
    by_offender: dict[int, tuple[int, Judged]],
    generation: Generation,
    scene: Scene,
    *,
    whole: bool,
    contrary: int | None,
    lost: Gone | None,
) -> Finding:
    """Write down what one test did to one connection."""
    gap, index = resets[0].gap, resets[0].crossing
    outer = gap.outer
    first = resets[0]
    place, offender = by_offender.get(first.offender, (len(judged), None))
    failed = offender.judgement if offender and test in TESTS else None
    who = "pod" if first.by_pod else "host"
    what = "packet" if gap.heading[index] == IN else "reply"
    evidence, details = [], []
    for reset in resets:
        seen, rst = scene.trails.sighting(outer, reset.offender), scene.trails.sighting(outer, reset.reset)
        after = rst.time - seen.time
        reason = ""
        if failed and reset.offender in by_offender:
            j = by_offender[reset.offender][1].judgement
            reason = f": {j.reason}; bound {j.bound}, short by {j.short_by:,} bytes"
            details.append(
                {
                    "frame": seen.frame,
                    "ack": int(outer.packets.ack[reset.offender]),
                    "seq": int(outer.packets.seq[reset.offender]),
                    "bound": j.bound,
                    "short_by": j.short_by,
                    "rst_frame": rst.frame,
                    "rst_seq": int(outer.packets.seq[reset.reset]),
                }
            )
        else:
            details.append({"frame": seen.frame, "rst_frame": rst.frame})
        evidence.append(
            Evidence(
                says=f"the {what} with ack {outer.packets.ack[reset.offender]} was seen on {outer.name}, "
                + (
                    f"on {gap.inner.name} still from {seen.src}, untranslated"
                    if reset.by_pod
                    else f"never on {gap.inner.name}"
                )
                + f"{reason}; {duration(after)} later the {who} sent a RST with seq {outer.packets.seq[reset.reset]}",
                source=f"{seen.file} frames {seen.frame} and {rst.frame}",
            )
        )
        evidence += logged.packet(scene, outer, reset.offender)
    facts: dict[str, object] = {
        "generation": generation.name,
        "whole_connection": whole,
        "offenders": details,
        "reset_by": who,
        "aftermath": _aftermath(first),
    }
    if failed:
        facts |= {"bound": failed.bound, "short_by": failed.short_by, "reason": failed.reason}
    if lost is not None and test == lost.cause:
        evidence += lost.evidence
    elif contrary is not None and not failed:
        through = scene.trails.sighting(judged[contrary].point, judged[contrary].row)
        evidence.append(
            Evidence(
                says="no replay explains it: by the window that the captures show, this packet would have been INVALID "
                "as well, and it got through",
                source=f"{through.file} frame {through.frame}",
            )
        )
    invalid = scene.counters.get("invalid")
    if invalid:
        evidence.append(
            Evidence(
                says=f"invalid rose by {invalid}: two for each of these (its own, and the {who}'s RST)",
                source="conntrack -S before and after",
            )
        )
    return Finding(
        kind="invalid-reset",
        cause=test,
        # The RST proves the verdict; the replay, also one that began mid-connection, names the test.
        confidence="proven" if failed else lost.confidence if lost and test == lost.cause else "likely",
        gap=gap.names,
        point=gap.inner.name,
        flow=int(gap.matches.a[index]),
        time=int(outer.packets.time[first.offender]),
        inner=flow_name(gap.inner.flows, int(gap.matches.a[index])),
        outer=flow_name(outer.flows, int(gap.matches.b[index])),
        delay_s=None,
        passages=_passages(resets, judged, place, scene, failed=failed is not None),
        omitted=max(0, len(judged) - BEFORE - AFTER),
        window=_window(judged[max(0, place - BEFORE) : place + AFTER], resets),
        facts=facts,
        evidence=tuple(evidence),
        excluded=_excluded(first, gap.inner.name, failed is not None, scene.evidence.kernel, generation),
    )


def _excluded(
    reset: Reset, inner: str, failed: bool, kernel: str | None, generation: Generation
) -> tuple[Exclusion, ...]:
    outer = reset.gap.outer
    found = [
        Exclusion(
            cause="reset by the server", because=f"the RST leaves {outer.name}; it does not arrive there"
        ),
        Exclusion(
            cause="reset by the application",
            because="the pod's connection is to the service; the RST is from a stack that knows no connection to the endpoint",
        )
        if reset.by_pod
        else Exclusion(
            cause="reset by the container", because=f"the RST was never on {inner}, nor inside of it"
        ),
        Exclusion(cause="closed port", because="it answers a packet of an established connection, not a SYN"),
    ]
    if failed and not generation.late_ignored and kernel and generation_of(kernel).late_ignored:
        found.append(
            Exclusion(
                cause="rules of the named kernel",
                because=f"{kernel} by its release would have ignored this packet; the captures show that it did not",
            )
        )
    return tuple(found)


def _later(reset: Reset) -> NDArray[np.int32]:
    """What came from the far side after the host's RST: rows at the uplink."""
    gap = reset.gap
    side = (0 if gap.heading[reset.crossing] == IN else 1) ^ int(gap.matches.flip[reset.crossing])
    rows = gap.outer.rows(int(gap.outer.packets.flow[reset.reset]), side)
    return rows[rows > reset.reset]


def _server_reset(reset: Reset) -> int | None:
    """The first RST that came back."""
    later = _later(reset)
    rst = later[(reset.gap.outer.packets.flags[later] & TCP_RST) != 0]
    return int(rst[0]) if len(rst) else None


def _aftermath(reset: Reset) -> str:
    """What the server did after the RST (RFC 5961 section 3.2 lets it ignore one that does not fit)."""
    packets, later, answer = reset.gap.outer.packets, _later(reset), _server_reset(reset)
    if answer is not None:
        after = (packets.time[answer] - packets.time[reset.reset]) / 1e6
        return f"the server reset the connection {after:.3f} ms later"
    if not len(later):
        return "nothing more came from the server"
    if (packets.flags[later] & TCP_FIN).any():
        return "the server ignored it; the connection ended with a FIN"
    return "the server ignored it and went on"


def _window(judged: Sequence[Judged], resets: Sequence[Reset]) -> tuple[WindowPoint, ...]:
    """The judged packets, and the host's RSTs among them, which conntrack judges by no window: they belong to no entry."""
    shown = list(window_points(judged))
    rows = {j.row for j in judged if j.point is resets[0].gap.outer}
    for reset in resets:
        packets = reset.gap.outer.packets
        seq = int(packets.seq[reset.reset])
        if reset.offender in rows:
            shown.append(
                WindowPoint(
                    time=int(packets.time[reset.reset]),
                    point=reset.gap.outer.name,
                    frame=int(packets.frame[reset.reset]),
                    reply=reset.gap.heading[reset.crossing] == IN,
                    flags=_letters(int(packets.flags[reset.reset])),
                    seq=seq,
                    end=seq,
                    ack=0,
                    window=0,
                    verdict="invalid",
                )
            )
    return tuple(sorted(shown, key=lambda p: p.time))


def window_points(judged: Sequence[Judged]) -> tuple[WindowPoint, ...]:
    """Judged packets, as the window chart takes them."""
    return tuple(_window_point(j) for j in judged)


def _window_point(j: Judged) -> WindowPoint:
    s, told = j.segment, j.judgement
    bound = told.bound if told.verdict != "accept" else told.ack_lower
    return WindowPoint(
        time=int(j.point.packets.time[j.row]),
        point=j.point.name,
        frame=int(j.point.packets.frame[j.row]),
        reply=s.reply,
        flags=_letters(s.flags),
        seq=s.seq,
        end=s.end,
        ack=told.ack if told.ack is not None else (s.ack if s.flags & TCP_ACK else 0),
        window=told.window,
        verdict=told.verdict,
        test=told.test,
        bound=bound,
        upper=told.ack_upper,
        short_by=told.short_by,
    )


def _letters(flags: int) -> str:
    """As Zeek and tcpdump abbreviate."""
    letters = ((TCP_SYN, "S"), (TCP_FIN, "F"), (TCP_RST, "R"), (8, "P"), (TCP_ACK, "A"))
    return "".join(letter for bit, letter in letters if flags & bit) or "none"


def _passages(
    resets: list[Reset], judged: list[Judged], place: int, scene: Scene, *, failed: bool
) -> tuple[Passage, ...]:
    """The packets around the first offender, the offenders and the host's RSTs."""
    gap = resets[0].gap
    opened_outside = gap.heading[resets[0].crossing] == IN
    offenders = {r.offender: r for r in resets[:AFTER]}
    drawn = []
    around = judged[max(0, place - 8) : place + 8]
    for j in around + [j for j in judged if _is(j, gap.outer, set(offenders)) and j not in around]:
        lost = _is(j, gap.outer, set(offenders))
        short = j.judgement.short_by
        drawn.append(
            scene.trails.passage(
                j.point,
                j.row,
                outward=j.segment.reply == opened_outside,
                fate=Fate.VANISHED if lost and not resets[0].by_pod else Fate.PASSED,
                gap=gap.names if lost and not resets[0].by_pod else None,
                role="offender" if lost else "context",
                note=f"INVALID, {short:,} bytes beyond the bound"
                if lost and short and failed
                else "INVALID, not translated"
                if lost and resets[0].by_pod
                else "INVALID"
                if lost
                else "",
            )
        )
    drawn += [
        scene.trails.passage(
            gap.outer,
            r.reset,
            outward=True,
            role="host-reset",
            note=f"sent by the {'pod' if r.by_pod else 'host itself'}",
        )
        for r in offenders.values()
    ]
    answer = _server_reset(resets[0])
    if answer is not None:
        drawn.append(
            scene.trails.passage(
                gap.outer, answer, outward=False, role="context", note="the server's answer to it"
            )
        )
    return tuple(sorted(drawn, key=lambda p: p.sightings[0].time))
