"""Random but TCP-shaped traffic: what two hosts and a bad network would send, and what lies on every edge."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from analyzer.conntrack.entry import Entry, Side
from analyzer.conntrack.model import Segment
from analyzer.conntrack.states import ACK, FIN, PSH, RST, SYN, URG
from analyzer.conntrack.tcp import Connection
from analyzer.conntrack.window import SMALLEST_ACK_WINDOW

MODULUS = 1 << 32
PAYLOADS = (0, 0, 1, 2, 100, 536, 1460, 1460, 1460, 2920, 9000, 20_000)


@dataclass(slots=True)
class Host:
    """One end of a connection."""

    next: int
    """The sequence number it sends next."""
    shift: int | None
    sack: bool
    window: int


def script(rng: Random, connection: Connection) -> Iterator[Segment]:
    """Yield the segments of one pair of ports: one or more connections after each other, and probes.

    Args:
        rng: The only source of chance.
        connection: The model of the same ports; read, so that probes meet its bounds to the byte.
    """
    probing = rng.choice((0.0, 0.05, 0.15, 0.5))
    for _incarnation in range(rng.choice((1, 1, 1, 2, 3))):
        swapped = rng.random() < 0.1
        for segment in network(rng, list(dialogue(rng, swapped))):
            while rng.random() < probing:
                yield probe(rng, connection)
            yield segment
        for _again in range(rng.choice((0, 0, 1, 4))):
            yield probe(rng, connection)


def network(rng: Random, sent: list[Segment]) -> list[Segment]:
    """Lose, repeat and delay some of the segments."""
    loss, repetition, delay = rng.choice(
        ((0, 0, 0), (0, 0, 0), (0.05, 0.05, 1.5), (0.1, 0.2, 6), (0, 0.1, 30))
    )
    arriving: list[tuple[float, int, Segment]] = []
    for position, segment in enumerate(sent):
        if rng.random() < loss:
            continue
        for _copy in range(1 + (rng.random() < repetition) * rng.choice((1, 1, 4))):
            late = rng.random() * delay if rng.random() < 0.3 else 0.0
            arriving.append((position + late, len(arriving), segment))
    return [segment for _when, _tie, segment in sorted(arriving, key=lambda entry: entry[:2])]


def dialogue(rng: Random, swapped: bool) -> Iterator[Segment]:
    """Yield what two hosts send, from the first SYN, or from the middle, to a close or to silence."""
    hosts = [
        Host(
            next=rng.choice((rng.getrandbits(32), MODULUS - rng.randrange(1, 70_000))),
            shift=rng.choice((None, 0, 2, 7, 7, 9, 14, 15)),
            sack=rng.random() < 0.7,
            window=rng.choice((0, 1, 200, 1352, 8192, 29200, 64240, 65535)),
        )
        for _side in range(2)
    ]
    history: list[Segment] = []

    def say(
        who: int, flags: int, payload: int = 0, *, back: int = 0, ack: int | None = None, **more: object
    ) -> Segment:
        """Let a host send its next segment, or one from *back* bytes ago that moves nothing."""
        host, peer = hosts[who], hosts[not who]
        if ack is None:
            ack = peer.next if flags & ACK else 0
        segment = Segment(
            reply=bool(who) != swapped,
            time=0,
            seq=(host.next - back) % MODULUS,
            ack=ack % MODULUS,
            flags=flags,
            window=host.window,
            payload=payload,
            **more,  # type: ignore[arg-type]
        )
        if not back:
            host.next = segment.end
        history.append(segment)
        return segment

    def syn(who: int, flags: int, *, back: int = 0, bare: bool = False) -> Segment:
        host = hosts[who]
        if bare:
            return say(who, flags, back=back)
        return say(who, flags, back=back, wscale=host.shift, sack_permitted=host.sack, options=True)

    opening = rng.choice(("normal",) * 8 + ("simultaneous", "middle", "middle", "again", "half", "challenge"))
    bare = rng.random() < 0.05
    if opening != "middle":
        yield syn(0, SYN, bare=bare)
    if opening == "again":
        for _retry in range(rng.choice((1, 2))):
            if rng.random() < 0.5:
                hosts[0].next = rng.getrandbits(32)
                hosts[0].shift = rng.choice((None, 3, 7))
                yield syn(0, SYN)
            else:
                yield syn(0, SYN, back=1, bare=rng.random() < 0.2)
    if opening == "half":
        return
    if opening == "challenge":
        yield say(1, ACK, ack=rng.getrandbits(32))
        yield say(0, RST, ack=0)
        yield syn(0, SYN, back=1)
    if opening == "simultaneous":
        yield syn(1, SYN)
        yield syn(0, SYN | ACK, back=1)
        yield syn(1, SYN | ACK, back=1)
        yield say(1, ACK)
    elif opening != "middle":
        yield syn(1, SYN | ACK, bare=bare or rng.random() < 0.03)
        if rng.random() < 0.15:
            if rng.random() < 0.5:
                hosts[1].next = rng.getrandbits(32)
                yield syn(1, SYN | ACK)
            else:
                yield syn(1, SYN | ACK, back=1)
        yield say(0, ACK)

    for _round in range(rng.choice((0, 1, 3, 8, 20))):
        who = int(rng.random() < 0.5)
        host, peer = hosts[who], hosts[not who]
        match rng.choice(("data", "data", "burst", "burst", "ack", "sack", "old", "alive", "window", "late")):
            case "data":
                yield say(who, ACK | PSH, rng.choice(PAYLOADS))
                yield say(not who, ACK)
            case "burst":
                acked = host.next
                sent = [say(who, ACK, rng.choice(PAYLOADS)) for _segment in range(rng.randrange(1, 6))]
                yield from sent
                for segment in sent[: rng.randrange(len(sent) + 1)]:
                    acked = segment.end
                    yield say(not who, ACK, ack=acked)
                if peer.sack and acked != host.next:
                    edge = (acked + rng.randrange(1, 3000)) % MODULUS
                    yield say(not who, ACK, ack=acked, sack=((edge, host.next),))
            case "sack":
                low = (peer.next - rng.randrange(1, 200_000)) % MODULUS
                blocks = tuple(
                    ((peer.next - start) % MODULUS, (peer.next - start + rng.randrange(1, 3000)) % MODULUS)
                    for start in (rng.randrange(0, 5000) for _block in range(rng.randrange(1, 4)))
                )
                yield say(who, ACK, ack=low, sack=blocks, options=rng.random() < 0.5)
            case "old" if history:
                yield rng.choice(history)
            case "alive":
                yield say(who, ACK, rng.choice((0, 1)), back=1)
                yield say(not who, ACK)
            case "window":
                host.window = rng.choice((0, 1, 500, 1352, 65535))
                for _same in range(rng.choice((1, 1, 5))):
                    yield say(who, ACK, options=rng.random() < 0.3)
            case "late":
                yield say(who, ACK, ack=peer.next - rng.choice((1, 1000, 65_999, 66_000, 66_001, 200_000)))
            case _:
                yield say(who, ACK)

    who = int(rng.random() < 0.5)
    match rng.choice(("fin", "fin", "fin", "half", "rst", "rst", "rst-ack", "train", "off", "silence")):
        case "fin":
            yield say(who, FIN | ACK, rng.choice((0, 0, 700)))
            if rng.random() < 0.6:
                yield say(not who, ACK)
            yield say(not who, FIN | ACK)
            yield say(who, ACK)
        case "half":
            yield say(who, FIN | ACK)
            yield say(not who, ACK)
            yield say(not who, ACK | PSH, 1000)
            yield say(who, rng.choice((RST, RST | ACK)))
        case "rst":
            yield say(who, RST)
        case "rst-ack":
            yield say(who, RST | ACK, ack=rng.choice((hosts[not who].next, 0)))
        case "train":
            yield say(who, PSH | ACK, 19)
            yield say(who, RST | ACK)
        case "off":
            yield say(who, RST, back=-rng.randrange(1, 3000))
            yield say(not who, ACK)
        case _:
            pass


def probe(rng: Random, connection: Connection) -> Segment:
    """Make a segment that lies on, or one byte beside, an edge of what the model holds."""
    reply = rng.random() < 0.5
    entry = connection.entry or Entry(sides=(Side(), Side()))
    from_replier = reply != entry.turned
    s, r, last = entry.sides[from_replier], entry.sides[not from_replier], entry.last
    beside = rng.choice((0, 0, 1, -1))
    payload = rng.choice(PAYLOADS)
    seq = rng.choice(
        (
            s.end,
            s.end,
            s.max_end,
            s.end - r.max_window,
            s.end - r.max_window - payload,
            s.max_end + r.max_window - payload - 1,
            s.max_end - payload,
            r.max_ack or 0,
            r.max_ack or 0,
            last.end,
            last.seq,
            last.ack,
            s.end + rng.randrange(100_000),
            rng.getrandbits(32),
            -beside,
        )
    )
    ack = rng.choice(
        (
            r.end,
            r.end,
            r.end,
            r.end - max(s.max_window, SMALLEST_ACK_WINDOW),
            s.max_ack or 0,
            last.end,
            last.ack,
            -beside,
            rng.getrandbits(32),
        )
    )
    sometimes = rng.choice((0, 0, 1, -1))
    flags = rng.choice(
        (ACK,) * 8
        + (ACK | PSH,) * 3
        + (FIN | ACK, FIN | ACK, RST, RST, RST, RST | ACK, RST | ACK, SYN, SYN, SYN | ACK, SYN | ACK)
        + (
            rng.choice(
                (0, FIN, SYN | FIN, SYN | RST, ACK | URG, SYN | URG, FIN | ACK | URG, PSH, FIN | RST, 255)
            ),
        )
    )
    opens = flags & SYN
    sack: tuple[tuple[int, int], ...] = ()
    if not opens and rng.random() < 0.15:
        right = rng.choice((r.end, r.end - max(s.max_window, SMALLEST_ACK_WINDOW), rng.getrandbits(32)))
        sack = (((right - 100) % MODULUS, (right + rng.choice((0, 0, 1, -1))) % MODULUS),)
    return Segment(
        reply=reply,
        time=0,
        seq=(seq + beside) % MODULUS,
        ack=(ack + sometimes) % MODULUS if flags & ACK or rng.random() < 0.2 else 0,
        flags=flags,
        window=rng.choice((0, 1, 500, 1352, 29200, 65535)),
        payload=payload if not opens or rng.random() < 0.1 else 0,
        options=rng.random() < 0.3,
        wscale=rng.choice((None, 0, 7, 14, 20)) if opens else None,
        sack_permitted=bool(opens) and rng.random() < 0.5,
        sack=sack,
    )


def encode(segment: Segment, ports: tuple[int, int]) -> bytes:
    """Write a segment as TCP header and payload; the checksum stays 0."""
    options = b""
    if segment.options:
        options += bytes((1, 1, 8, 10)) + bytes(8)  # a timestamp, which conntrack does not read
    if segment.wscale is not None:
        options += bytes((1, 3, 3, segment.wscale))
    if segment.sack_permitted:
        options += bytes((1, 1, 4, 2))
    if segment.sack:
        options += bytes((1, 1, 5, 2 + 8 * len(segment.sack)))
        options += b"".join(struct.pack("!II", *block) for block in segment.sack)
    header = struct.pack(
        "!HHIIBBHHH",
        *ports,
        segment.seq,
        segment.ack,
        (20 + len(options)) // 4 << 4,
        segment.flags,
        segment.window,
        0,
        0,
    )
    return header + options + bytes(segment.payload)
