"""What the replay of conntrack takes and gives: segments, settings, judgements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from analyzer.conntrack.states import FIN, SYN, TIMEOUTS, State

CtState = Literal["new", "established", "invalid"]
Verdict = Literal["accept", "ignore", "invalid"]
Test = Literal[
    "",
    "ack-under-lower-bound",
    "ack-over-upper-bound",
    "seq-over-upper-bound",
    "seq-under-lower-bound",
    "invalid-state",
    "invalid-flags",
    "invalid-rst",
    "invalid-new",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One TCP segment as conntrack meets it, the fields as on the wire.

    IP fragments are one segment; what GRO merged is one segment.
    """

    reply: bool
    """False from the side that the caller calls the originator, True from the other."""
    time: int
    """Nanoseconds; any epoch, as long as it is the same for the whole connection."""
    seq: int
    ack: int = 0
    """The field as sent, also without the ACK flag: conntrack reads it in a RST."""
    flags: int
    """The flag byte; the bits are named in `analyzer.conntrack.states`."""
    window: int
    """Unscaled, as on the wire."""
    payload: int = 0
    """Bytes, from the IP header's length."""
    options: bool = False
    """True if the header carries any option; implied by the three below."""
    wscale: int | None = None
    """The window scale option's shift."""
    sack_permitted: bool = False
    sack: tuple[tuple[int, int], ...] = ()
    """The blocks of the SACK option: left edge, right edge."""

    @property
    def end(self) -> int:
        """The sequence number after the segment, SYN and FIN counted; modulo 2**32."""
        return (self.seq + self.payload + bool(self.flags & SYN) + bool(self.flags & FIN)) & 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The sysctls that a judgement depends on, with the kernel's defaults."""

    be_liberal: bool = False
    """`nf_conntrack_tcp_be_liberal`: no window verdict."""
    loose: bool = True
    """`nf_conntrack_tcp_loose`: a connection may be picked up in its middle."""
    ignore_invalid_rst: bool = False
    """`nf_conntrack_tcp_ignore_invalid_rst`, where the generation knows it."""
    max_retrans: int = 3
    """`nf_conntrack_tcp_max_retrans`."""
    timeouts: Mapping[State, int] = field(default_factory=lambda: TIMEOUTS)
    """Seconds, `nf_conntrack_tcp_timeout_*`, for every state except NONE."""
    timeout_max_retrans: int = 300
    """Seconds, the cap once a packet was repeated `max_retrans` times."""
    timeout_unacknowledged: int = 300
    """Seconds, the cap while data is not acknowledged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What conntrack makes of one segment."""

    verdict: Verdict
    """`accept` and `ignore` are let through and translated; `invalid` is neither tracked nor translated."""
    ct_state: CtState
    """As rules see it: `ct state`, `--ctstate`."""
    test: Test = ""
    """The test that failed; empty for `accept`, and where the state table alone says `ignore`."""
    reason: str = ""
    """As the kernel's log says it; empty for `accept`."""
    bound: int | None = None
    """The last sequence or acknowledgement number that would have passed the failed test; absolute."""
    short_by: int = 0
    """Bytes between the packet and that bound."""
    certain: bool = True
    """False for a window verdict on a connection whose beginning is unknown: the kernel knew more of it."""
    ack_lower: int | None = None
    """The smallest acknowledgement that would pass; None without ACK or before the other side was seen."""
    ack_upper: int | None = None
    """The largest one: what the other side has sent."""
    ack: int | None = None
    """What was compared with these two: the right edge of the highest SACK block, else the ack."""
    window: int = 0
    """Bytes that the segment advertises, scaled where its side's scale is known."""
    before: State
    after: State
    timeout: int | None = None
    """Seconds that the entry has to live from now; None if its clock was left alone or there is no entry."""
