"""How long entries live."""

from __future__ import annotations

import pytest

from analyzer.conntrack.generation import CLASSIC, LINUX_4_15, MODERN, Generation
from analyzer.conntrack.states import TIMEOUTS, State
from analyzer.conntrack.timeouts import Timeouts


@pytest.mark.parametrize(("generation", "stream"), [(LINUX_4_15, 180), (CLASSIC, 120), (MODERN, 120)])
def test_defaults_follow_the_generation(generation: Generation, stream: int) -> None:
    """Only the life of a UDP stream changed, with 5.0."""
    assert Timeouts(udp_stream=stream) == Timeouts.of(generation)


def test_settings_win() -> None:
    """What `sysctl -a` says replaces the default of the same name, and nothing else."""
    said = {
        "net.netfilter.nf_conntrack_udp_timeout": "7",
        "net.netfilter.nf_conntrack_udp_timeout_stream": "77",
        "net.netfilter.nf_conntrack_icmp_timeout": "5",
        "net.netfilter.nf_conntrack_icmpv6_timeout": "6",
        "net.netfilter.nf_conntrack_generic_timeout": "8",
        "net.netfilter.nf_conntrack_tcp_timeout_time_wait": "9",
        "net.netfilter.nf_conntrack_tcp_timeout_unacknowledged": "10",
        "net.netfilter.nf_conntrack_max": "11",
        "net.netfilter.nf_conntrack_frag6_timeout": "12",
        "net.ipv4.tcp_fin_timeout": "13",
    }

    assert Timeouts(
        udp=7,
        udp_stream=77,
        icmp=5,
        icmpv6=6,
        generic=8,
        tcp_unacknowledged=10,
        tcp={**TIMEOUTS, State.TIME_WAIT: 9},
    ) == Timeouts.of(MODERN, said)


@pytest.mark.parametrize("value", ["", "-1", "1.5", "sixty", "٣", "²", "1 2", "9" * 5000])
def test_what_is_no_number_is_left_out(value: str) -> None:
    """A damaged listing leaves the default."""
    assert Timeouts() == Timeouts.of(MODERN, {"net.netfilter.nf_conntrack_udp_timeout": value})
