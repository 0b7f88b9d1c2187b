"""Two pods connect to one address from one source port at one instant; some SYNs vanish in the node.

Both SYNs look up a free source port before either has been inserted into the table, both keep the port that
the pods bound, and __nf_conntrack_confirm drops the second. For TCP the kernel has no way to resolve that.
"""

from __future__ import annotations

import os
import random
import time
from typing import Any

from analyzer.errors import MissingTool
from analyzer.lab.echo import TCP, serve_echo
from analyzer.lab.node import V4, V6, Addresses
from analyzer.lab.run import Run
from analyzer.lab.traffic import connect_at, results

PORT = 80
FIRST_SOURCE_PORT = 20000
INTERVAL_NS = 5_000_000
# Each SYN leaves at random within this time. One is lost when two are closer than the few microseconds from
# port allocation to insertion; virtual CPUs sometimes pull them together over 40 us and more. So the rate varies:
# 24 runs of 600 rounds on 6.18 with two virtual CPUs lost 1379 of 28800 SYNs (4.8 %), each run between 1.1 and
# 9.4 % (2026-11-20; 12 runs of snat-race 4.8 %, 6 of snat-race-ipv6 3.8 %, 6 of service-race 5.8 %).
SPREAD_NS = 200_000
PATIENCE_S = 20


def snat_race(run: Run) -> dict[str, Any]:
    """Two pods bind the same source port and connect to one server at the same instant, from two CPUs.

    Each round uses the next source port. A few percent of the SYNs vanish between cni0 and eth0 and are
    repeated a second later; `insert_failed` and `drop` count them. Truth: `connects` of each pod with source
    port, time and delay.
    """
    return _race(run, V4, V4.server)


def snat_race_ipv6(run: Run) -> dict[str, Any]:
    """The same as `snat-race` in IPv6."""
    return _race(run, V6, V6.server)


def service_race(run: Run) -> dict[str, Any]:
    """The same as `snat-race` through a service address that DNAT turns into the server's."""
    return _race(run, V4, V4.service)


def _race(run: Run, version: Addresses, target: str) -> dict[str, Any]:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise MissingTool("this scenario needs two CPUs: on one, no two packets are ever forwarded at once")
    serve_echo(run.net.outside, (TCP, version.server, PORT))
    first = time.monotonic_ns() + 300_000_000
    rounds_of = {
        name: {
            FIRST_SOURCE_PORT + turn: first + turn * INTERVAL_NS + random.randrange(SPREAD_NS)
            for turn in range(run.rounds)
        }
        for name in "ab"
    }
    pods = {
        "a": run.net.a.start(connect_at, version.a, (target, PORT), rounds_of["a"], PATIENCE_S, cpus[0]),
        "b": run.net.b.start(connect_at, version.b, (target, PORT), rounds_of["b"], PATIENCE_S, cpus[1]),
    }
    return {"target": [target, PORT], "connects": results(pods, run.rounds * INTERVAL_NS / 1e9 + 30)}
