"""The model against the running kernel, packet by packet."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest
from differential import Router, compare

from analyzer.conntrack import Connection, Segment, Settings, State, generation_of
from analyzer.conntrack.states import ACK, SYN, TIMEOUTS

PACKETS = int(os.environ.get("LOSTSYN_DIFFERENTIAL_PACKETS", "60000"))
GENERATION = generation_of(os.uname().release)

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("seed", [1, 20_221])
def test_model_and_kernel_never_disagree(seed: int) -> None:
    """Verdict, status and timeout of every packet are the kernel's."""
    outcome = compare(GENERATION, seed=seed, packets=PACKETS // 2)

    assert [str(found) for found in outcome.disagreements[:3]] == []
    assert outcome.packets >= PACKETS // 2


def test_traffic_reaches_every_verdict() -> None:
    """A run in which nothing goes wrong would prove nothing."""
    outcome = compare(GENERATION, seed=2, packets=10_000)

    tests = {verdict.partition(" ")[2] for verdict in outcome.judged if outcome.judged[verdict] >= 10}
    assert {
        "",
        "ack-over-upper-bound",
        "ack-under-lower-bound",
        "invalid-flags",
        "invalid-new",
        "invalid-rst",
        "invalid-state",
        "seq-over-upper-bound",
        "seq-under-lower-bound",
    } == tests


def test_wrong_rules_are_found_out() -> None:
    """A model of another generation disagrees, so agreement means something."""
    other = replace(GENERATION, late_ignored=not GENERATION.late_ignored)

    assert compare(other, seed=1, packets=3000).disagreements


def test_an_expired_entry_is_no_entry() -> None:
    """A SYN-ACK is INVALID once the SYN's entry expired, which a repeated SYN does not delay."""
    timeouts = TIMEOUTS | {State.SYN_SENT: 2}
    connection = Connection(GENERATION, Settings(timeouts=timeouts))
    syn = Segment(reply=False, time=0, seq=100, flags=SYN, window=1000)
    answer = Segment(reply=True, time=0, seq=500, ack=101, flags=SYN | ACK, window=1000)
    rulings = []
    with Router() as router:
        router.sysctl("net.netfilter.nf_conntrack_tcp_timeout_syn_sent", timeouts[State.SYN_SENT])
        for number, (segment, wait) in enumerate([(syn, 1.2), (syn, 1.2), (answer, 0.0)]):
            judgement = connection.judge(replace(segment, time=time.monotonic_ns()))
            router.send(segment, number, client=0)
            rulings.append((judgement.ct_state, router.collect(1)[number].ct_state))
            time.sleep(wait)

    assert rulings == [("new", "new"), ("new", "new"), ("invalid", "invalid")]
