"""Conntrack called a reply INVALID, and the host answered it with a RST.

What happens
    A reply that fails a test of conntrack's window tracking is not translated back. So it is addressed to the node itself,
    which knows no such connection and answers with a RST (RFC 9293 section 3.10.7.1) that neither end asked for. The pod
    hears nothing of it; the server closes, ignores it, or resets.

How it is recognised
    A reply of a translated connection is on the uplink and not inside; within about a millisecond a RST leaves the uplink
    that is its exact mirror: the sequence number is the reply's acknowledgement number, window 0, no options, never seen
    inside. The connection is replayed through the rules of the kernel's generation; the test that fails is the cause:
    `ack-under-lower-bound`, `ack-over-upper-bound`, `seq-over-upper-bound`, `seq-under-lower-bound`. `invalid`
    rises by two for each, the reply and the host's own RST.

What is ruled out
    A RST of the server (it would come from outside), of the container (it would be seen inside first), of a closed port
    (it would answer a SYN).

Remedies and their risks
    Those of the cause: `lostsyn explain ack-under-lower-bound`, and so on.

References
    https://github.com/moby/libnetwork/issues/1090; https://github.com/kubernetes/kubernetes/issues/74839;
    nf_conntrack_proto_tcp.c `tcp_in_window`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.capture.layout import TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from analyzer.conntrack import CLASSIC, generation_of
from analyzer.conntrack.replay import script
from analyzer.model import Evidence, Exclusion, Fate, Finding, WindowPoint
from analyzer.nat.passages import flow_name
from analyzer.nat.ways import IN

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from analyzer.conntrack.generation import Generation
    from analyzer.conntrack.replay import Judged
    from analyzer.incident.host_resets import HostReset
    from analyzer.incident.scene import Scene
    from analyzer.model import Passage

BEFORE, AFTER = 40, 24
"""Packets of the connection that are drawn around the first offender."""
TESTS = ("ack-under-lower-bound", "ack-over-upper-bound", "seq-over-upper-bound", "seq-under-lower-bound")


def findings(resets: Sequence[HostReset], scene: Scene) -> list[Finding]:
    """One finding per connection that the host reset, and the causes named by replaying it."""
    by_connection: dict[tuple[str, int], list[HostReset]] = {}
    for reset in resets:
        by_connection.setdefault(("/".join(reset.gap.names), reset.crossing), []).append(reset)
    return [f for group in by_connection.values() for f in _finding(group, scene)]


def _finding(resets: list[HostReset], scene: Scene) -> list[Finding]:
    """The findings of one connection: one per test that failed."""
    gap, index = resets[0].gap, resets[0].crossing
    replay = script(gap, index)
    offenders = {reset.offender for reset in resets}
    kernel = scene.evidence.kernel
    generation, judged = generation_of(kernel), []
    for generation in (generation_of(kernel), CLASSIC):
        judged = replay.judge(generation)
        if all(j.judgement.verdict == "invalid" for j in judged if _is(j, gap.outer, offenders)):
            break  # what the captures show decides, not what uname says
    by_offender = {j.row: (place, j) for place, j in enumerate(judged) if _is(j, gap.outer, offenders)}
    by_test: dict[str, list[HostReset]] = {}
    for reset in resets:
        test = by_offender[reset.offender][1].judgement.test if reset.offender in by_offender else ""
        by_test.setdefault(test if test in TESTS else "unknown", []).append(reset)
    return [
        _told(test, group, judged, by_offender, generation, scene, whole=replay.whole)
        for test, group in by_test.items()
    ]


def _is(judged: Judged, outer: object, offenders: set[int]) -> bool:
    return judged.point is outer and judged.row in offenders


def _told(
    test: str,
    resets: list[HostReset],
    judged: list[Judged],
    by_offender: dict[int, tuple[int, Judged]],
    generation: Generation,
    scene: Scene,
    *,
    whole: bool,
) -> Finding:
    """Write down what one test did to one connection."""
    gap, index = resets[0].gap, resets[0].crossing
    outer = gap.outer
    first = resets[0]
    place, offender = by_offender.get(first.offender, (len(judged), None))
    failed = offender.judgement if offender and test != "unknown" else None
    evidence, details = [], []
    for reset in resets:
        seen, rst = scene.trails.sighting(outer, reset.offender), scene.trails.sighting(outer, reset.reset)
        after = (rst.time - seen.time) / 1000
        reason = ""
        if failed and reset.offender in by_offender:
            j = by_offender[reset.offender][1].judgement
            reason = f": {j.reason}; bound {j.bound}, short by {j.short_by} bytes"
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
                says=f"the reply with ack {outer.packets.ack[reset.offender]} is on {outer.name} and not on "
                f"{gap.inner.name}{reason}; {after:.0f} us later the host sent a RST with seq {outer.packets.seq[reset.reset]}",
                source=f"{seen.file} frames {seen.frame} and {rst.frame}",
            )
        )
        evidence += scene.logged(outer, reset.offender)
    facts: dict[str, object] = {
        "generation": generation.name,
        "whole_connection": whole,
        "offenders": details,
        "aftermath": _aftermath(first),
    }
    if failed:
        facts |= {"bound": failed.bound, "short_by": failed.short_by, "reason": failed.reason}
    invalid = scene.counters.get("invalid")
    if invalid:
        evidence.append(
            Evidence(
                says=f"invalid rose by {invalid}: two for each of these replies (its own, and the host's RST)",
                source="conntrack -S before and after",
            )
        )
    return Finding(
        kind="invalid-reset",
        cause=test,
        # The host's RST proves the verdict; the replay, also one that began mid-connection, names the test.
        confidence="proven" if failed else "likely",
        gap=gap.names,
        point=gap.inner.name,
        flow=int(gap.matches.a[index]),
        time=int(outer.packets.time[first.offender]),
        inner=flow_name(gap.inner.flows, int(gap.matches.a[index])),
        outer=flow_name(outer.flows, int(gap.matches.b[index])),
        delay_s=None,
        passages=_passages(resets, judged, place, scene),
        omitted=max(0, len(judged) - BEFORE - AFTER),
        window=_window(judged[max(0, place - BEFORE) : place + AFTER], resets),
        facts=facts,
        evidence=tuple(evidence),
        excluded=_excluded(first, gap.inner.name, failed is not None, scene.evidence.kernel, generation),
    )


def _excluded(
    reset: HostReset, inner: str, failed: bool, kernel: str | None, generation: Generation
) -> tuple[Exclusion, ...]:
    outer = reset.gap.outer
    found = [
        Exclusion(
            cause="reset by the server", because=f"the RST leaves {outer.name}; it does not arrive there"
        ),
        Exclusion(cause="reset by the container", because=f"the RST was never on {inner}, nor inside of it"),
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


def _later(reset: HostReset) -> NDArray[np.int32]:
    """What came from the far side after the host's RST: rows at the uplink."""
    gap = reset.gap
    side = (0 if gap.heading[reset.crossing] == IN else 1) ^ int(gap.matches.flip[reset.crossing])
    rows = gap.outer.rows(int(gap.outer.packets.flow[reset.reset]), side)
    return rows[rows > reset.reset]


def _server_reset(reset: HostReset) -> int | None:
    """The first RST that came back."""
    later = _later(reset)
    rst = later[(reset.gap.outer.packets.flags[later] & TCP_RST) != 0]
    return int(rst[0]) if len(rst) else None


def _aftermath(reset: HostReset) -> str:
    """What the server did after the host's RST (RFC 5961 section 3.2 lets it ignore one that does not fit)."""
    packets, later, answer = reset.gap.outer.packets, _later(reset), _server_reset(reset)
    if answer is not None:
        after = (packets.time[answer] - packets.time[reset.reset]) / 1e6
        return f"the server reset the connection {after:.3f} ms later"
    if not len(later):
        return "nothing more came from the server"
    if (packets.flags[later] & TCP_FIN).any():
        return "the server ignored it; the connection ended with a FIN"
    return "the server ignored it and went on"


def _window(judged: Sequence[Judged], resets: Sequence[HostReset]) -> tuple[WindowPoint, ...]:
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


def _passages(resets: list[HostReset], judged: list[Judged], place: int, scene: Scene) -> tuple[Passage, ...]:
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
                fate=Fate.VANISHED if lost else Fate.PASSED,
                gap=gap.names if lost else None,
                role="offender" if lost else "context",
                note=f"INVALID, {short} bytes beyond the bound"
                if lost and short
                else "INVALID"
                if lost
                else "",
            )
        )
    drawn += [
        scene.trails.passage(
            gap.outer, r.reset, outward=True, role="host-reset", note="sent by the host itself"
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
