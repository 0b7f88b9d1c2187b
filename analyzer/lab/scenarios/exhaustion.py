"""All outer ports to one destination are taken."""

from __future__ import annotations

import socket
import struct
import time
from contextlib import ExitStack
from typing import Any

from analyzer.lab import state
from analyzer.lab.echo import TCP, serve_echo
from analyzer.lab.node import ECHO_PORT, V4
from analyzer.lab.run import Run
from analyzer.lab.traffic import connect_at, connected, evenly, results

PORT = 80
FIRST_OUTER_PORT = 40000
INTERVAL_NS = 20_000_000
HELD_S = 3.8
# The kernel keeps a connection that was reset for 10 s (nf_conntrack_tcp_timeout_close).
RESET_S = 1


def port_exhaustion(run: Run) -> dict[str, Any]:
    """Pod a holds a connection for each port that MASQUERADE may use; those of pod b find none.

    Each of b's SYNs, repeated ones too, vanishes between cni0 and eth0 while the holders live, and counts in
    `insert_failed` and `drop`. Another port of the same server answers meanwhile. After some seconds the holders end.
    Truth: `ports`, the first and the last outer port; `syns` sent by b to either port; its `connects`.
    """
    net, target = run.net, (V4.server, PORT)
    last = FIRST_OUTER_PORT + run.rounds - 1
    serve_echo(net.outside, (TCP, V4.server, PORT))
    net.node.sysctl("net.netfilter.nf_conntrack_tcp_timeout_close", RESET_S)
    net.node.run("nft", "flush", "chain", "inet", "nat", "postrouting")
    for which, to in (("meta l4proto tcp ", f" to :{FIRST_OUTER_PORT}-{last}"), ("", "")):
        net.node.run("nft", f'add rule inet nat postrouting oifname "eth0" {which}masquerade{to}')
    sent = -state.syns_sent(net.b)
    first = time.monotonic_ns() + 500_000_000
    # Before there are holders: the tasks would inherit them and keep them open.
    tasks = {
        f"b to {port}": net.b.start(
            connect_at, V4.b, (V4.server, port), evenly(source, first, INTERVAL_NS, run.rounds)
        )
        for port, source in ((PORT, 30000), (ECHO_PORT, 31000))
    }
    with ExitStack() as holders:
        for _ in range(run.rounds):
            holder = holders.enter_context(connected(net.a, target))
            # Close with RST: a FIN would keep the port in TIME_WAIT for two minutes.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        time.sleep(HELD_S)
        run.collect()
    connects = results(tasks)
    return {"ports": [FIRST_OUTER_PORT, last], "syns": sent + state.syns_sent(net.b), "connects": connects}
