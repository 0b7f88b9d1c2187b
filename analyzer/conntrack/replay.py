"""A captured connection, judged again as conntrack judged it.

Conntrack sees the originator's packets before NAT and the replies before reverse translation: what comes from inside is
taken at the inner point, what comes from outside at the uplink. What only the far side of the gap shows (the near
capture missed it, yet it must have passed conntrack) is taken from there. The host's own RST is no part of the
connection for conntrack: its tuple is nobody's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from analyzer.capture.layout import CUT, FRAGMENT, REPLY, TCP_ACK, TCP_RST, TCP_SYN
from analyzer.capture.transport import Options, tcp_options, transports
from analyzer.conntrack.generation import Generation
from analyzer.conntrack.model import Judgement, Segment, Settings
from analyzer.conntrack.pickup import Seen, infer_scales
from analyzer.conntrack.tcp import Connection
from analyzer.flow.point import Point
from analyzer.nat.gap import Gap
from analyzer.node.ways import IN

DEFAULTS = Settings()
MOST = 100_000
"""Segments of one connection that are judged: the last ones before the replay's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One packet with the kernel's judgement."""

    point: Point
    row: int
    segment: Segment
    judgement: Judgement


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What conntrack saw of one connection, in its order."""

    packets: tuple[tuple[Point, int], ...]
    segments: tuple[Segment, ...]

    @property
    def whole(self) -> bool:
        """Whether it begins with the originator's SYN."""
        first = self.segments[0] if self.segments else None
        return first is not None and not first.reply and first.flags & (TCP_SYN | TCP_ACK) == TCP_SYN

    def judge(self, generation: Generation, settings: Settings = DEFAULTS) -> list[Judged]:
        """Replay it.

        Args:
            generation: The kernel's rules.
            settings: The sysctls.
        """
        if self.whole:
            connection = Connection(generation, settings)
        else:
            original, reply = infer_scales(self.segments)
            connection = Connection.adopt(
                generation, settings, original=Seen(scale=original), reply=Seen(scale=reply)
            )
        return [
            Judged(point=point, row=row, segment=segment, judgement=connection.judge(segment))
            for (point, row), segment in zip(self.packets, self.segments, strict=True)
        ]


def refuted(judged: Sequence[Judged], gap: Gap, index: int, but: Collection[int] = ()) -> int | None:
    """Find what proves a replay wrong: the first packet that it calls INVALID and that got through, translated.

    Conntrack's own verdict was another one, so its window was not what the replay takes it for: a middlebox, an offload or a
    capture of other packets is in between. From there on the replay is no evidence.

    Args:
        judged: The replay.
        gap: Whose crossing it is.
        index: Of the crossing.
        but: Rows of the outer point that got through untranslated.
    """
    for place, j in enumerate(judged):
        if j.judgement.verdict != "invalid" or (j.point is gap.outer and j.row in but):
            continue
        outward = j.point is gap.inner
        there, beyond = (gap.outer, gap.matches.b) if outward else (gap.inner, gap.matches.a)
        row = int((gap.in_outer if outward else gap.in_inner)[j.row])
        if row >= 0 and there.packets.flow[row] == beyond[index]:
            return place
    return None


def script(gap: Gap, index: int, but: Collection[int] = ()) -> Script:
    """Collect what conntrack saw of the gap's crossing number *index*, without some rows of the outer point."""
    inner, outer, m = gap.inner, gap.outer, gap.matches
    flow_in, flow_out, flip = int(m.a[index]), int(m.b[index]), int(m.flip[index])
    opened_outside = gap.heading[index] == IN
    from_inside = 1 if opened_outside else 0  # the inner flow's side that sends outwards
    picked: list[tuple[int, Point, int]] = []
    for row in inner.rows(flow_in, from_inside):
        there = int(gap.in_outer[row])
        if there in but:
            continue
        # After moving clocks, the uplink's own times keep the order of both directions.
        moved = inner.clock_offset != outer.clock_offset and there >= 0
        picked.append((int(outer.packets.time[there] if moved else inner.packets.time[row]), inner, int(row)))
    late = [
        *((outer, row) for row in outer.rows(flow_out, (1 - from_inside) ^ flip)),
        *((outer, row) for row in outer.rows(flow_out, from_inside ^ flip) if _missed_inside(gap, row)),
        *((inner, row) for row in inner.rows(flow_in, 1 - from_inside) if gap.in_outer[row] < 0),
    ]
    picked += [(int(point.packets.time[row]), point, int(row)) for point, row in late]
    picked = [
        (t, p, r) for t, p, r in picked if not p.packets.bits[r] & (FRAGMENT | CUT) or p.packets.flags[r]
    ]
    picked.sort(key=lambda item: item[0])
    picked = picked[-MOST:]
    options = {
        (point.name, row): tcp_options(header)
        for point in (inner, outer)
        for row, header in transports(point.recording, (r for _, p, r in picked if p is point))
    }
    segments = []
    for time, point, row in picked:
        responder = bool(point.packets.bits[row] & REPLY) != (point is outer and bool(flip))
        segments.append(_segment(point, row, time, responder, options[point.name, row]))
    return Script(packets=tuple((p, r) for _, p, r in picked), segments=tuple(segments))


def _missed_inside(gap: Gap, row: int) -> bool:
    """Whether a packet on its way out was seen at the uplink only, and was not made by the host."""
    return bool(gap.in_inner[row] < 0) and not gap.outer.packets.flags[row] & TCP_RST


def _segment(point: Point, row: int, time: int, reply: bool, options: Options) -> Segment:
    packets = point.packets
    return Segment(
        reply=reply,
        time=time,
        seq=int(packets.seq[row]),
        ack=int(packets.ack[row]),
        flags=int(packets.flags[row]) & 0xFF,
        window=int(packets.window[row]),
        payload=int(packets.length[row]),
        options=options.any,
        wscale=options.wscale,
        sack_permitted=options.sack_permitted,
        sack=options.sack,
    )
