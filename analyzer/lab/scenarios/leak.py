"""Connections that connection tracking forgets while they live."""

from __future__ import annotations

import time
from typing import Any

from analyzer.lab.echo import TCP, serve_echo
from analyzer.lab.node import V4
from analyzer.lab.run import Run
from analyzer.lab.traffic import connected, talk

PORT = 80
FORGOTTEN_S = 2
IDLE_S = 3
# tcp_orphan_retries: the FINs are repeated for half a second only, not still when the captures end.
REPEATS = 1
REPEATS_S = 1.5
FULLY_RANDOM = """flush chain inet nat postrouting
add rule inet nat postrouting oifname "eth0" masquerade fully-random
"""


def unnatted_leak(run: Run) -> dict[str, Any]:
    """Pod a closes connections that connection tracking has forgotten while they were idle.

    Without an entry a FIN is INVALID, so NAT does not see it: it leaves eth0 from 10.244.0.11, is not answered
    and is repeated. On half of the connections the pod sends data first; that makes a new entry
    (nf_conntrack_tcp_loose), and they end as they should. Truth: `leaking` and `resumed`, the source ports.
    """
    net = run.net
    serve_echo(net.outside, (TCP, V4.server, PORT))
    net.node.sysctl("net.netfilter.nf_conntrack_tcp_timeout_established", FORGOTTEN_S)
    net.a.sysctl("net.ipv4.tcp_orphan_retries", REPEATS)
    clients = [connected(net.a, (V4.server, PORT)) for _ in range(2 * run.rounds)]
    ports = [client.getsockname()[1] for client in clients]
    for client in clients:
        client.sendall(b"hello")
        client.recv(64)
    time.sleep(IDLE_S)
    for number, client in enumerate(clients):
        if number % 2:
            client.sendall(b"hello again")
            client.recv(64)
        client.close()
    time.sleep(REPEATS_S)
    return {"leaking": ports[::2], "resumed": ports[1::2]}


def entry_expired(run: Run) -> dict[str, Any]:
    """Pod a's connections go on after connection tracking has forgotten them, and leave from other ports.

    MASQUERADE chooses ports at random here, so what makes a new entry gets another port: the server, which knows no
    such connection, resets it. Half of the connections are not silent for so long. Truth: `broken` and `whole`, the
    pod's ports.
    """
    net = run.net
    serve_echo(net.outside, (TCP, V4.server, PORT))
    net.node.run("nft", "-f", "-", stdin=FULLY_RANDOM)
    net.node.sysctl("net.netfilter.nf_conntrack_tcp_timeout_established", FORGOTTEN_S)
    clients = [connected(net.a, (V4.server, PORT)) for _ in range(2 * run.rounds)]
    for client in clients:
        talk(client)
    for _ in range(IDLE_S):
        time.sleep(1)
        for client in clients[1::2]:
            talk(client)
    broken = [client.getsockname()[1] for client in clients[::2] if not talk(client)]
    whole = [client.getsockname()[1] for client in clients[1::2] if talk(client)]
    for client in clients:
        client.close()
    time.sleep(REPEATS_S)
    return {"broken": broken, "whole": whole}
