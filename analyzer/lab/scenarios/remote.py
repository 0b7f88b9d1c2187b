"""SYNs that leave the node and are lost behind it."""

from __future__ import annotations

from typing import Any

from analyzer.lab.echo import TCP, serve_echo
from analyzer.lab.node import V4
from analyzer.lab.run import Run
from analyzer.lab.traffic import connect_at, evenly, results, soon

PORT = 80
FIRST_SOURCE_PORT = 30000
INTERVAL_NS = 20_000_000
# Every fifth SYN, repeated ones too.
LOSS = """
table inet loss {
    chain input {
        type filter hook input priority 0;
        tcp dport 80 tcp flags & (syn|ack) == syn numgen inc mod 5 == 4 counter drop
    }
}
"""


def remote_loss(run: Run) -> dict[str, Any]:
    """The far end drops every fifth SYN; the node has nothing to do with it and its counters do not move.

    Truth: `dropped`, as the far end's rule counted, and the `connects` of pod a with source port, time and
    delay.
    """
    net = run.net
    serve_echo(net.outside, (TCP, V4.server, PORT))
    net.outside.run("nft", "-f", "-", stdin=LOSS)
    instants = evenly(FIRST_SOURCE_PORT, soon(), INTERVAL_NS, run.rounds)
    connects = results(
        {"a": net.a.start(connect_at, V4.a, (V4.server, PORT), instants)}, run.rounds / 50 + 30
    )
    (dropped,) = net.outside.counted("inet", "loss", "input")
    return {"dropped": dropped, "connects": connects}
