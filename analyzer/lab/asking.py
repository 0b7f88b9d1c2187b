"""Programs that ask over UDP, as resolvers do; an echo service answers them."""

from __future__ import annotations

import heapq
import selectors
import socket
import struct
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import NamedTuple

from analyzer.lab.traffic import PATIENCE_NS, SPIN_NS, be_exact

DNS_PORT = 53
DNS_A, DNS_AAAA = 1, 28  # RFC 1035 section 3.2.2, RFC 3596 section 2.1
RESEND_NS = 1_000_000_000


class Ask(NamedTuple):
    """How one DNS question went."""

    port: int
    """Source port."""
    time: float
    """Seconds since the epoch when it was first sent."""
    sent: int
    """How often it was sent."""
    delay: float | None
    """Seconds until the answer; None if none came."""


def dns_question(number: int, record: int) -> bytes:
    """A DNS query for `registry.example` (RFC 1035 section 4.1); an echo service answers it with itself.

    Args:
        number: The query's id.
        record: The type that is asked for.
    """
    name = b"\x08registry\x07example\x00"
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + name + struct.pack("!2H", record, 1)


def ask_at(source: str, target: tuple[str, int], instants: Mapping[int, int]) -> list[Ask]:
    """Ask a DNS question from several source ports, each at its instant and every second until it is answered.

    Args:
        source: Address to bind.
        target: Address and port to ask.
        instants: When to ask from which source port: nanoseconds of the monotonic clock.

    Returns:
        One entry per port, in order.
    """
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    agenda = sorted((instant, port) for port, instant in instants.items())
    end = agenda[-1][0] + PATIENCE_NS
    first: dict[int, int] = {}
    sent: Counter[int] = Counter()
    done: dict[int, int] = {}
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        clients = {
            port: stack.enter_context(socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
            for port in instants
        }
        for port, client in clients.items():
            client.bind((source, port))
            client.connect(target)
            selector.register(client, selectors.EVENT_READ, data=port)
        while len(done) < len(instants) and (now := time.monotonic_ns()) < end:
            if (when := agenda[0][0]) <= now:
                port = heapq.heappop(agenda)[1]
                if port in done:
                    continue
                heapq.heappush(agenda, (when + RESEND_NS, port))
                first.setdefault(port, now)
                sent[port] += 1
                with suppress(OSError):  # an ICMP error that came for the request before
                    clients[port].send(dns_question(port, DNS_A))
                continue
            for key, _ in selector.select((min(when, end) - now) / 1e9):
                with suppress(OSError):
                    clients[key.data].recv(2048)
                    done.setdefault(key.data, time.monotonic_ns())
    epoch = time.time_ns() - time.monotonic_ns()
    return [
        Ask(
            port,
            (epoch + first[port]) / 1e9,
            sent[port],
            (done[port] - first[port]) / 1e9 if port in done else None,
        )
        for port in instants
    ]


def send_at(messages: Sequence[tuple[int, socket.socket, bytes]], cpu: int) -> None:
    """Send datagrams from connected sockets, each at its exact instant.

    Args:
        messages: Instant (nanoseconds of the monotonic clock), socket and payload of each, in time order.
        cpu: The CPU to stay on; see `analyzer.lab.traffic.connect_at`.
    """
    be_exact(cpu)
    for instant, client, payload in messages:
        time.sleep(max(0, instant - SPIN_NS - time.monotonic_ns()) / 1e9)
        while time.monotonic_ns() < instant:
            pass
        client.send(payload)
