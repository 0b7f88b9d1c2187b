"""Connects and conversations, on the loopback of a namespace."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from analyzer.lab.echo import TCP, serve_echo
from analyzer.lab.namespaces import Namespace
from analyzer.lab.state import syns_sent
from analyzer.lab.traffic import connect_at, connected, converse

pytestmark = pytest.mark.kernel
HERE = "127.0.0.1"
BLACK_HOLE = "table inet t { chain i { type filter hook input priority 0; tcp dport 81 counter drop; }; }"


@pytest.fixture
def where() -> Iterator[Namespace]:
    """A namespace with its loopback up and an echo service on port 80."""
    with Namespace("test") as made:
        made.ip("link", "set", "lo", "up")
        serve_echo(made, (TCP, HERE, 80))
        yield made


def test_a_connect_tells_how_it_went(where: Namespace) -> None:
    """Answered, refused with the kernel's words, or nothing until patience ended; the SYNs are counted."""
    where.run("nft", "-f", "-", stdin=BLACK_HOLE)
    now = time.monotonic_ns()
    (answered,) = where.start(connect_at, HERE, (HERE, 80), {4000: now}).result(10)
    (refused,) = where.start(connect_at, HERE, (HERE, 82), {4001: now}).result(10)
    sent = syns_sent(where)
    (unanswered,) = where.start(connect_at, HERE, (HERE, 81), {4002: time.monotonic_ns()}, 1.6).result(10)
    assert answered.delay is not None
    assert answered.delay < 0.5
    assert (None, "Connection refused") == (refused.delay, refused.error)
    assert (None, None) == (unanswered.delay, unanswered.error)
    assert sent == 2
    assert [syns_sent(where) - sent] == where.counted("inet", "t", "i") == [2]


def test_a_conversation_counts_its_answers(where: Namespace) -> None:
    """Ten a second."""
    told = where.start(converse, (HERE, 80), 0.5).result(10)
    assert 3 <= told["answers"] <= 5
    assert told["longest"] < 0.5


def test_a_held_connection_belongs_to_its_namespace(where: Namespace) -> None:
    """It was opened there and speaks from here."""
    with connected(where, (HERE, 80)) as client:
        client.sendall(b"hello")
        assert b"hello" == client.recv(64)
