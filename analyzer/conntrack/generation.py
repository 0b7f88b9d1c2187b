"""Which rules a kernel follows: its conntrack generation.

A generation is a set of named behaviours, not a version: stable trees and distributions carry some of
these commits on older numbers (Ubuntu's 4.15.0-213 demands exact RSTs, 5.15.y and 5.19.y note an
overshoot, 6.1.y knows challenge ACKs), so a version is a hint and an observed behaviour is the proof.
`CLASSIC` and `MODERN` were compared with real kernels packet by packet (`tests/kernel/conntrack`): 5.10.223
follows the one, 6.1.0-50, 6.12.107 and 6.18.44 the other. The rest is from their sources and change logs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The behaviours of connection tracking that changed between kernels.

    Every field is False in Linux 4.15 as released; the release named is the first upstream one.
    """

    name: str
    """How reports call it: `5.10`."""
    reply_ack_opens: bool = False
    """After a simultaneous open an ACK of the replying side establishes the connection (5.0)."""
    keepalive_reply: bool = False
    """The first packet of a side, met mid-stream, may acknowledge one byte more than was seen (5.1)."""
    rst_must_match: bool = False
    """Only a RST of exactly the expected sequence number closes an assured connection (be0502a3f2e9, 5.1)."""
    rst_after_reuse: bool = False
    """No RST is checked once the connection closes or after an ignored SYN (c4edc3ccbc63, 5.14)."""
    rst_check_optional: bool = False
    """The sysctl `nf_conntrack_tcp_ignore_invalid_rst` exists (1da4cd82dd18, 5.14)."""
    syn_sent_expires: bool = False
    """A retransmitted SYN does not renew the timeout of an unanswered entry (e15d4cdf27cb; 5.14, 5.10.y)."""
    liberal_kept: bool = False
    """A SYN's options do not end the leniency towards a side picked up mid-stream (5.17, 5.10.y)."""
    restart_needs_syn: bool = False
    """Only a SYN restarts a side's numbers, either side's (82b72cb94666, 5.17; c7aab4f17021, 5.18)."""
    scale_needs_reply: bool = False
    """Only the replying side's SYN can switch window scaling off (6.8 and 6.1.y)."""
    overshoot_noted: bool = False
    """Data a little beyond the window moves the sender's end although it fails (cf97769c761a, 6.0)."""
    late_ignored: bool = False
    """Late packets and small overshoots are ignored, not INVALID (d9a6f0d0df18, 6e250dcbff1d; 6.1)."""
    refused_close_shortens: bool = False
    """FIN or RST refused from both sides shortens the timeout (628d694344a0, 6.1)."""
    challenge_rst: bool = False
    """A RST that answers an ignored challenge ACK in SYN_SENT is believed (c410cb974f2b, 6.2 and 6.1.y)."""
    rst_answers_peer: bool = False
    """A RST that answers an ignored SYN must come from the other side (bed6e04be8e6; 6.18.y)."""
    udp_stream_waits: bool = False
    """A UDP entry becomes a stream 2 s after its first packet, and lives 120 s then, not 180 (d535c8a69c19, 5.0)."""
    udp_assured_waits: bool = False
    """A UDP entry is not assured before it is a stream (b7b1d02fc439; 5.16, 5.10.y)."""


LINUX_4_15 = Generation(name="4.15")
"""Up to 4.20: any RST inside the window closes."""
LINUX_5_0 = replace(LINUX_4_15, name="5.0", reply_ack_opens=True, udp_stream_waits=True)
"""5.0."""
CLASSIC = replace(
    LINUX_5_0,
    name="5.10",
    keepalive_reply=True,
    rst_must_match=True,
    syn_sent_expires=True,
    liberal_kept=True,
    udp_assured_waits=True,
)
"""5.1 to 5.13, as the later 5.10.y behave. A late ACK is INVALID, as it is up to 6.0."""
LINUX_5_14 = replace(CLASSIC, name="5.14", rst_after_reuse=True, rst_check_optional=True)
"""5.14 to 5.16."""
LINUX_5_18 = replace(LINUX_5_14, name="5.18", restart_needs_syn=True)
"""5.17 to 5.19; 5.17 demands the SYN only in the reply direction."""
LINUX_6_0 = replace(LINUX_5_18, name="6.0", overshoot_noted=True)
"""6.0, and the later 5.15.y and 5.19.y."""
LINUX_6_1 = replace(
    LINUX_6_0, name="6.1.0", late_ignored=True, refused_close_shortens=True, scale_needs_reply=True
)
"""6.1 without what its stable tree took from later releases."""
MODERN = replace(LINUX_6_1, name="6.1", challenge_rst=True, rst_answers_peer=True)
"""From 6.1 on, stable trees included: a late ACK is ignored."""
GENERATIONS = {
    g.name: g for g in (LINUX_4_15, LINUX_5_0, CLASSIC, LINUX_5_14, LINUX_5_18, LINUX_6_0, LINUX_6_1, MODERN)
}
"""All of them by name, in the order of their releases."""

_FIRST_RELEASES = (
    ((6, 1), MODERN),
    ((6, 0), LINUX_6_0),
    ((5, 17), LINUX_5_18),
    ((5, 14), LINUX_5_14),
    ((5, 1), CLASSIC),
    ((5, 0), LINUX_5_0),
)


def generation_of(uname: str | None) -> Generation:
    """Choose the generation that a kernel release most likely follows.

    A hint only, see the module's first lines. Without a release the answer is `MODERN`: every
    distribution's current kernel behaves so, and it calls the fewest packets INVALID.

    Args:
        uname: What `uname -r` or `uname -a` printed, e.g. `5.10.0-32-amd64`.
    """
    found = re.search(r"\b(\d{1,3})\.(\d{1,3})", uname or "")
    if found is None:
        return MODERN
    release = (int(found[1]), int(found[2]))
    return next((generation for first, generation in _FIRST_RELEASES if release >= first), LINUX_4_15)
