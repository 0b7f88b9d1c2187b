"""A rule of the node drops what pods send to one port."""

from __future__ import annotations

import re
from typing import Any

from analyzer.errors import LostsynError
from analyzer.lab import state
from analyzer.lab.echo import TCP, serve_echo
from analyzer.lab.namespaces import require
from analyzer.lab.node import V4
from analyzer.lab.run import Run
from analyzer.lab.traffic import connect_at, evenly, results, soon

PORT = 80
BLOCKED = 8080
INTERVAL_NS = 50_000_000
# Those that pass begin before the others and go on until those have given up: all points have packets throughout.
LATER_NS = 200_000_000
OPEN_NS = 4_800_000_000
PATIENCE_S = 3.5
RULES = f"""
table inet filter {{
    chain forward {{
        type filter hook forward priority 0;
        iifname "cni0" jump pods
    }}
    chain pods {{
        tcp dport {BLOCKED} counter drop
    }}
}}
"""


def policy_drop(run: Run) -> dict[str, Any]:
    """An nftables rule drops every SYN of both pods to port 8080; port 80 of the same server answers.

    Truth: `dropped`, as the rule counted; `syns` sent; the `connects` of each pod to each port.
    """
    run.net.node.run("nft", "-f", "-", stdin=RULES)
    told = _connect(run)
    (dropped,) = run.net.node.counted("inet", "filter", "pods")
    return told | {"dropped": dropped}


def policy_drop_iptables(run: Run) -> dict[str, Any]:
    """The same as `policy-drop` by a rule of iptables, whichever backend this machine's has.

    Truth: as there, and `iptables`, its version with the backend.
    """
    require("iptables", "iptables-save")
    node = run.net.node
    node.run("iptables", "-N", "PODS")
    node.run("iptables", "-A", "FORWARD", "-i", "cni0", "-j", "PODS")
    node.run("iptables", "-A", "PODS", "-p", "tcp", "--dport", str(BLOCKED), "-j", "DROP")
    told = _connect(run)
    counted = re.search(r"\[(\d+):\d+\] -A PODS", node.run("iptables-save", "-c"))
    if counted is None:
        raise LostsynError("iptables-save does not show the rule that was just made")
    return told | {"dropped": int(counted[1]), "iptables": node.run("iptables", "--version").strip()}


def _connect(run: Run) -> dict[str, Any]:
    net = run.net
    serve_echo(net.outside, (TCP, V4.server, PORT), (TCP, V4.server, BLOCKED))
    sent = -state.syns_sent(net.a, net.b)
    first = soon()
    tasks = {
        f"{name} to {port}": pod.start(
            connect_at, own, (V4.server, port), evenly(source, begin, interval, run.rounds), PATIENCE_S
        )
        for name, pod, own, low in (("a", net.a, V4.a, 30000), ("b", net.b, V4.b, 31000))
        for port, source, begin, interval in (
            (PORT, low, first, OPEN_NS // max(1, run.rounds - 1)),
            (BLOCKED, low + 500, first + LATER_NS, INTERVAL_NS),
        )
    }
    connects = results(tasks)
    return {"syns": sent + state.syns_sent(net.a, net.b), "connects": connects}
