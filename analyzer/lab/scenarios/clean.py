"""Traffic of every kind that gets where it should: what an analysis must stay silent about."""

from __future__ import annotations

import socket
import struct
from contextlib import closing
from typing import Any

from analyzer.lab.asking import DNS_A, DNS_AAAA, DNS_PORT, dns_question
from analyzer.lab.echo import TCP, UDP, serve_echo
from analyzer.lab.node import ECHO_PORT, V4, V6, Addresses
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
        _ping(version, turn)
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


def _ping(version: Addresses, number: int) -> None:
    """One ICMP echo from a raw socket: unprivileged ones are off in a new namespace (ping_group_range)."""
    protocol, request, reply = (
        (socket.IPPROTO_ICMPV6, 128, 129) if version is V6 else (socket.IPPROTO_ICMP, 8, 0)
    )
    message = struct.pack("!BBHHH", request, 0, 0, 0x1234, number) + b"lostsyn " * 7
    if version is V4:  # the kernel fills in the checksum of ICMPv6 alone
        words = sum(struct.unpack(f"!{len(message) // 2}H", message))
        words = (words & 0xFFFF) + (words >> 16)
        message = message[:2] + struct.pack("!H", ~(words + (words >> 16)) & 0xFFFF) + message[4:]
    with closing(socket.socket(version.family, socket.SOCK_RAW, protocol)) as client:
        client.settimeout(5)
        client.connect((version.server, 0))
        client.send(message)
        while True:
            answer = client.recv(2048)
            if version is V4:
                answer = answer[(answer[0] & 15) * 4 :]
            if answer[0] == reply:
                return
