"""Traffic of every kind that gets where it should: what an analysis must stay silent about."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

from analyzer.lab.asking import DNS_A, DNS_AAAA, DNS_PORT, dns_question
from analyzer.lab.echo import TCP, UDP, serve_echo
from analyzer.lab.node import ECHO_PORT, V4, V6, Addresses
from analyzer.lab.ping import ping
from analyzer.lab.run import Run

CLOSED_PORT = 81
# 64 KB: several segments each way, one TSO frame or more.
DATA = bytes(range(256)) * 256


def clean(run: Run) -> dict[str, Any]:
    """Pods talk outside, to each other, to the node and to a closed port; nothing is lost.

    TCP, UDP and ICMP in IPv4 and IPv6. Truth: `done`, how often each kind of exchange was completed.
    """
    net = run.net
    done: dict[str, int] = {}
    for version in (V4, V6):
        serve_echo(net.b, (TCP, version.b, ECHO_PORT))
        serve_echo(net.node, (TCP, version.node, ECHO_PORT))
        serve_echo(net.outside, (UDP, version.server, DNS_PORT))
        for pod, address in ((net.a, version.a), (net.b, version.b)):
            for kind, count in pod.start(_talk, version, address, run.rounds).result(60).items():
                done[kind] = done.get(kind, 0) + count
    return {"done": done}


def _talk(version: Addresses, own: str, rounds: int) -> dict[str, int]:
    done = dict.fromkeys(("outside", "bridged", "node", "refused", "udp", "dns", "ping"), 0)
    for turn in range(rounds):
        _exchange((version.server, ECHO_PORT))
        done["outside"] += 1
        if own != version.b:
            _exchange((version.b, ECHO_PORT))
            done["bridged"] += 1
        _exchange((version.node, ECHO_PORT))
        done["node"] += 1
        try:
            socket.create_connection((version.server, CLOSED_PORT), timeout=5)
        except ConnectionRefusedError:
            done["refused"] += 1
        _ask(version, ECHO_PORT, b"hello %d" % turn)
        done["udp"] += 1
        # Two questions from one socket at once, as resolvers ask for A and AAAA.
        _ask(version, DNS_PORT, dns_question(turn, DNS_A), dns_question(turn, DNS_AAAA))
        done["dns"] += 2
        ping(version, turn)
        done["ping"] += 1
    return done


def _exchange(target: tuple[str, int]) -> None:
    with socket.create_connection(target, timeout=10) as client:
        client.sendall(DATA)
        client.shutdown(socket.SHUT_WR)
        received = sum(len(part) for part in iter(lambda: client.recv(65536), b""))
    assert len(DATA) == received, "the echo is incomplete"


def _ask(version: Addresses, port: int, *questions: bytes) -> None:
    with closing(socket.socket(version.family, UDP)) as client:
        client.settimeout(5)
        client.connect((version.server, port))
        for question in questions:
            client.send(question)
        for _ in questions:
            client.recv(2048)
