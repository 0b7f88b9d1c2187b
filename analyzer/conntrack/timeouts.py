"""How long an entry outlives its last packet, by protocol and state."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from analyzer.conntrack.generation import Generation
from analyzer.conntrack.states import TIMEOUTS, State

PREFIX = "net.netfilter.nf_conntrack_"
SECOND = 1_000_000_000
STREAM = 2 * SECOND
"""ns after its first packet from which on an answered entry of UDP is a stream (`nf_conntrack_udp_packet`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds, with the kernel's defaults; the names are those of the sysctls."""

    tcp: Mapping[State, int] = field(default_factory=lambda: TIMEOUTS)
    """By state; every state except NONE."""
    tcp_unacknowledged: int = 300
    """While data is not acknowledged, and of a connection met mid-stream until it is answered."""
    udp: int = 30
    udp_stream: int = 120
    """180 up to 4.20."""
    icmp: int = 30
    icmpv6: int = 30
    generic: int = 600
    """Of protocols that have no tracker of their own."""

    @classmethod
    def of(cls, generation: Generation, sysctls: Mapping[str, str] | None = None) -> Timeouts:
        """Take the node's settings, and what the generation has by default where they are not told.

        Args:
            generation: The kernel's rules.
            sysctls: Dotted name to value, as `sysctl -a` prints them; what is no number of seconds is left out.
        """
        said = {
            name.removeprefix(PREFIX).replace("timeout_", "").replace("_timeout", ""): int(value)
            for name, value in (sysctls or {}).items()
            if name.startswith(PREFIX) and "timeout" in name and re.fullmatch("[0-9]{1,9}", value)
        }
        plain = {
            name: said[name]
            for name in ("tcp_unacknowledged", "udp", "udp_stream", "icmp", "icmpv6", "generic")
            if name in said
        }
        stream = 120 if generation.udp_stream_waits else 180
        tcp = {state: said.get(f"tcp_{state.lower()}", seconds) for state, seconds in TIMEOUTS.items()}
        return cls(**{"udp_stream": stream, **plain}, tcp=tcp)
