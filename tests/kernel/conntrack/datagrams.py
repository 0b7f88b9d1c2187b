"""Sends UDP through the real netfilter in real time, and compares states and clocks with the model's.

As `differential.py`, it needs only the standard library, and runs inside a machine with another kernel:

    PYTHONPATH=. python3 tests/kernel/conntrack/datagrams.py --generation 5.10
"""

from __future__ import annotations

import argparse
import heapq
import os
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from random import Random

from differential import LIVES, TIMEOUTS, UNACKNOWLEDGED, Router

from analyzer.conntrack.generation import GENERATIONS, Generation, generation_of
from analyzer.conntrack.states import State
from analyzer.conntrack.timeouts import SECOND, STREAM, Timeouts
from tests.conntrack.udp import UdpEntry

NEAR = SECOND // 10
"""ns from a moment at which the answer changes: what comes closer depends on the kernel's tick."""
STALL = SECOND // 20
"""ns that sending may take before the machine, not the model, is to blame."""
LONG = Timeouts(udp=TIMEOUTS[State.CLOSE], udp_stream=UNACKNOWLEDGED)
"""Long enough to be told apart by the entry's clock."""
SHORT = Timeouts(udp=1, udp_stream=2)
"""Short enough for entries to end during the test."""
Told = tuple[str, bool, bool, int | None]
"""ct state, whether a reply was seen, whether assured, and the timeout where it is long enough to be told."""


@dataclass
class Exchange:
    """One pair of ports under test."""

    client: int
    entry: UdpEntry
    left: int
    """Datagrams to come."""
    told: dict[int, Told] = field(default_factory=dict)
    """By the model, for each packet's number."""


@dataclass
class Outcome:
    """What a run saw."""

    packets: int = 0
    exchanges: int = 0
    disagreements: list[str] = field(default_factory=list)


def compare(
    generation: Generation, timeouts: Timeouts, *, seed: int, exchanges: int, lasting: float
) -> Outcome:
    """Let many pairs of ports talk at once, and compare every datagram.

    Args:
        generation: The rules that the running kernel should follow.
        timeouts: What its sysctls are set to: `LONG` or `SHORT`.
        seed: Of the traffic.
        exchanges: How many pairs.
        lasting: About so many seconds.
    """
    rng = Random(seed)
    with Router() as router:
        router.sysctl("net.netfilter.nf_conntrack_udp_timeout", timeouts.udp)
        router.sysctl("net.netfilter.nf_conntrack_udp_timeout_stream", timeouts.udp_stream)
        began = time.monotonic_ns()
        plan = [
            (
                began + int(rng.random() * lasting / 3 * SECOND),
                client,
                Exchange(client, entry, rng.randint(2, 9)),
            )
            for client in range(exchanges)
            for entry in [UdpEntry(generation, timeouts)]
        ]
        heapq.heapify(plan)
        told: list[Exchange] = []
        kernel: dict[int, Told] = {}
        number = 0
        while plan:
            at, _, exchange = heapq.heappop(plan)
            time.sleep(max(0, at - time.monotonic_ns()) / 1e9)
            if time.monotonic_ns() < _quiet(exchange.entry):
                heapq.heappush(plan, (_quiet(exchange.entry), exchange.client, exchange))
                continue
            if _send(router, rng, exchange, number):
                told.append(exchange)
            else:
                pause = rng.choice((0.001, 0.2, 0.7, 1.1, 1.4)) + rng.random() * lasting / 12
                later = time.monotonic_ns() + int(pause * SECOND)
                heapq.heappush(plan, (later, exchange.client, exchange))
            number += 1
            if number % 32 == 0 or not plan:
                for packet, ruling in router.collect(number - len(kernel)).items():
                    life = ruling.life if timeouts is LONG else None
                    kernel[packet] = (ruling.ct_state, ruling.seen_reply, ruling.assured, life)
    outcome = Outcome()
    for exchange in told:
        outcome.exchanges += 1
        outcome.packets += len(exchange.told)
        for packet, model in exchange.told.items():
            if kernel.get(packet) != model:
                outcome.disagreements.append(
                    f"kernel {kernel.get(packet)}, model {list(exchange.told.values())}"
                )
                break
    return outcome


def _quiet(entry: UdpEntry) -> int:
    """When nothing changes by itself for a while; 0 if that is now."""
    now = time.monotonic_ns()
    edges = [] if entry.began is None or entry.expires is None else [entry.began + STREAM, entry.expires]
    return max((edge + NEAR for edge in edges if abs(now - edge) < NEAR), default=0)


def _send(router: Router, rng: Random, exchange: Exchange, number: int) -> bool:
    """Send the next datagram; returns whether it was the last."""
    entry, now = exchange.entry, time.monotonic_ns()
    reply = entry.began is not None and rng.random() < 0.4
    begins = entry.expires is None or now >= entry.expires
    renewal = entry.see(reply=reply, time=now)
    # An entry's first packet is not confirmed yet where the rules look: it has no clock.
    life = None if begins or renewal.timeout not in LIVES else renewal.timeout
    exchange.told[number] = (renewal.ct_state, entry.seen_reply, entry.assured, life)
    exchange.left -= 1
    datagram = struct.pack("!HHHH", *router.ports(exchange.client, reply=reply), 8, 0)
    router.transmit(datagram, socket.IPPROTO_UDP, number, exchange.client, reply=reply)
    if time.monotonic_ns() - now > STALL:
        exchange.told.popitem()
        return True
    return exchange.left == 0


def main() -> int:
    """Run from the command line; the exit code is 1 if anything disagreed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exchanges", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--generation", choices=GENERATIONS, default=generation_of(os.uname().release).name)
    chosen = parser.parse_args()
    failed = False
    for name, timeouts in (("long", LONG), ("short", SHORT)):
        outcome = compare(
            GENERATIONS[chosen.generation], timeouts, seed=chosen.seed, exchanges=chosen.exchanges, lasting=8
        )
        failed |= bool(outcome.disagreements)
        sys.stdout.write(
            f"{os.uname().release}, {name} timeouts: {outcome.packets} packets of {outcome.exchanges} exchanges, "
            f"{len(outcome.disagreements)} disagreements\n"
        )
        sys.stdout.writelines(f"    {found}\n" for found in outcome.disagreements[:5])
    return failed


if __name__ == "__main__":
    sys.exit(main())
