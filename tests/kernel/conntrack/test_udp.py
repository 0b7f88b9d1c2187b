"""UDP, ICMP and nameless protocols: the model against the running kernel, packet by packet."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

import pytest
from datagrams import LONG, SHORT, compare
from differential import TIMEOUTS, Router, Ruling

from analyzer.conntrack.generation import generation_of
from analyzer.conntrack.states import State
from analyzer.conntrack.timeouts import Timeouts

GENERATION = generation_of(os.uname().release)

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("timeouts", [LONG, SHORT], ids=["long", "short"])
def test_states_clocks_and_ends_of_udp(timeouts: Timeouts) -> None:
    """State, status and clock after each datagram are the kernel's, also where entries end in between."""
    outcome = compare(GENERATION, timeouts, seed=1, exchanges=300, lasting=6)

    assert [] == outcome.disagreements[:3]
    assert outcome.packets > 1000


def test_wrong_rules_of_udp_are_found_out() -> None:
    """A model of another generation disagrees, so agreement means something."""
    other = replace(GENERATION, udp_stream_waits=not GENERATION.udp_stream_waits)

    assert compare(other, LONG, seed=1, exchanges=60, lasting=3).disagreements


@pytest.mark.parametrize(
    ("name", "protocol", "contents"),
    [
        ("icmp", socket.IPPROTO_ICMP, (b"\x08\0\0\0\0\x07\0\x01", b"\0\0\0\0\0\x07\0\x01")),
        ("generic", 253, (b"question", b"answer")),  # RFC 3692: for experiments
    ],
)
def test_one_timeout_for_all(name: str, protocol: int, contents: tuple[bytes, bytes]) -> None:
    """Every packet of ICMP echo, and of a protocol without a tracker, sets the same clock."""
    seconds = TIMEOUTS[State.FIN_WAIT]
    with Router() as router:
        router.sysctl(f"net.netfilter.nf_conntrack_{name}_timeout", seconds)
        rulings = []
        for number, reply in enumerate((False, True, False, True)):
            router.transmit(contents[reply], protocol, number, 0, reply=reply)
            rulings.append(router.collect(1)[number])

    assert [
        Ruling("new", seen_reply=False, assured=False, life=None),  # not yet confirmed
        *[Ruling("established", seen_reply=True, assured=False, life=seconds)] * 3,
    ] == rulings
