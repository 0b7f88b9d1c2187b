"""Questions over UDP, on the loopback of a namespace."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing

import dpkt
import pytest

from analyzer.lab.asking import DNS_A, DNS_AAAA, DNS_PORT, ask_at, dns_question, send_at
from analyzer.lab.echo import UDP, serve_echo
from analyzer.lab.namespaces import Namespace

HERE = "127.0.0.1"


@pytest.fixture
def where() -> Iterator[Namespace]:
    """A namespace with its loopback up."""
    with Namespace("test") as made:
        made.ip("link", "set", "lo", "up")
        yield made


def test_a_question_is_what_a_dns_parser_reads() -> None:
    """Dpkt has the second opinion."""
    read = dpkt.dns.DNS(dns_question(77, DNS_AAAA))
    assert (77, dpkt.dns.DNS_Q, dpkt.dns.DNS_RD) == (read.id, read.qr, read.op & dpkt.dns.DNS_RD)
    assert [("registry.example", dpkt.dns.DNS_AAAA)] == [(asked.name, asked.type) for asked in read.qd]


@pytest.mark.kernel
def test_an_answered_question_is_asked_once(where: Namespace) -> None:
    """From its own port, at its instant."""
    serve_echo(where, (UDP, HERE, DNS_PORT))
    first = time.monotonic_ns() + 200_000_000
    asks = where.start(ask_at, HERE, (HERE, DNS_PORT), {4000: first, 4001: first + 300_000_000}).result(10)
    assert [(4000, 1), (4001, 1)] == [(ask.port, ask.sent) for ask in asks]
    assert all(ask.delay is not None and ask.delay < 0.2 for ask in asks)
    assert 0.2 < asks[1].time - asks[0].time < 0.5


@pytest.mark.kernel
def test_an_unanswered_question_is_repeated_every_second(where: Namespace) -> None:
    """Until patience ends; an ICMP error that comes back does not end it."""
    asks = where.start(ask_at, HERE, (HERE, DNS_PORT), {4000: time.monotonic_ns()}, 2.5).result(10)
    assert [(4000, 3, None)] == [(ask.port, ask.sent, ask.delay) for ask in asks]


@pytest.mark.kernel
def test_messages_leave_at_their_instants(where: Namespace) -> None:
    """Not before, and in order."""
    with where.entered():
        server, client = socket.socket(type=UDP), socket.socket(type=UDP)
    with closing(server), closing(client):
        server.bind((HERE, DNS_PORT))
        client.connect((HERE, DNS_PORT))
        begin = time.monotonic_ns() + 100_000_000
        messages = [(begin, client, b"one"), (begin + 50_000_000, client, dns_question(1, DNS_A))]
        where.start(send_at, messages, 0).result(10)
        assert begin + 50_000_000 <= time.monotonic_ns()
        assert [b"one", dns_question(1, DNS_A)] == [server.recv(64), server.recv(64)]
