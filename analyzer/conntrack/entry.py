"""What conntrack remembers of a TCP connection, and how it begins."""

from __future__ import annotations

from dataclasses import dataclass, field

from analyzer.conntrack.generation import Generation
from analyzer.conntrack.model import Segment, Settings
from analyzer.conntrack.states import Kind, State, kind_of

MODULUS = 0xFFFFFFFF
LARGEST_SHIFT = 14  # RFC 7323 section 2.3


def before(a: int, b: int) -> bool:
    """Say whether sequence number *a* comes before *b*, as the kernel does: half the circle counts."""
    return (a - b) & MODULUS >= 0x80000000


@dataclass(slots=True, kw_only=True)
class Side:
    """What the kernel remembers of one direction (`struct ip_ct_tcp_state`)."""

    end: int = 0
    """The highest seq + length this side has sent: td_end."""
    max_end: int = 0
    """The highest sequence number this side may send: td_maxend."""
    max_window: int = 0
    """The largest window this side has offered, in bytes; 0 until it was seen: td_maxwin."""
    scale: int = 0
    """The shift of this side's windows."""
    max_ack: int | None = None
    """The highest ack this side has sent."""
    scales: bool = False
    """Its SYN carried the window scale option."""
    takes_sack: bool = False
    """Its SYN permitted SACK."""
    began_close: bool = False
    """It sent the first FIN."""
    liberal: bool = False
    """The connection was picked up mid-stream: its windows are unknown, no test counts."""
    unacknowledged: bool = False
    """It has sent data that is not acknowledged."""


@dataclass(slots=True, kw_only=True)
class Last:
    """What the kernel remembers of the connection's last packet, or of one that it ignored."""

    reply: bool = False
    kind: Kind = Kind.NONE
    seq: int = 0
    ack: int = 0
    end: int = 0
    window: int = 0
    scale: int = 0
    scales: bool = False
    takes_sack: bool = False
    retrans: int = 0
    expect_challenge_ack: bool = False
    simultaneous_open: bool = False


@dataclass(slots=True, kw_only=True)
class Entry:
    """One entry of the table, for one incarnation of a connection (`struct nf_conn`)."""

    sides: tuple[Side, Side]
    """The side that opened the entry, and the other."""
    turned: bool = False
    """The side that opened it is the one whose segments have `reply` True."""
    state: State = State.NONE
    last: Last = field(default_factory=Last)
    seen_reply: bool = False
    assured: bool = False
    expires: int | None = None
    """Nanoseconds on the segments' clock; None before the first judgement, or if it is not known."""


def learn_options(side: Side, segment: Segment, generation: Generation) -> None:
    """Take window scale and SACK-permitted from a SYN; one without any option changes nothing."""
    if not (segment.options or segment.sack_permitted or segment.wscale is not None or segment.sack):
        return
    side.scale = min(segment.wscale or 0, LARGEST_SHIFT)
    side.scales = segment.wscale is not None
    side.takes_sack = segment.sack_permitted
    side.began_close = side.unacknowledged = False
    side.max_ack = None
    side.liberal = side.liberal and generation.liberal_kept


def new_entry(segment: Segment, generation: Generation, settings: Settings) -> Entry | None:
    """Make an entry for a segment that belongs to none, if such a segment may begin one (`tcp_new`)."""
    kind = kind_of(segment.flags)
    if kind is not Kind.SYN and not (kind is Kind.ACK and settings.loose):
        return None
    opener = Side(end=segment.end, max_end=segment.end, max_window=max(segment.window, 1))
    if kind is Kind.SYN:
        learn_options(opener, segment, generation)
        return Entry(sides=(opener, Side()), turned=segment.reply)
    # Mid-stream: the scale is unknown, so the kernel believes every window from here on.
    opener.max_end = (segment.end + opener.max_window) & MODULUS
    opener.takes_sack = opener.liberal = True
    return Entry(sides=(opener, Side(takes_sack=True, liberal=True)), turned=segment.reply)
