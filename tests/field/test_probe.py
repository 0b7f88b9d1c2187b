"""The load generator, against servers of this process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import pairwise
from typing import Any

import pytest

from analyzer.field import probe
from analyzer.field.endpoints import endpoint
from analyzer.field.probe import Answer, Plan, Probe

MS = 1_000_000


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None], socket.SocketKind], int]]:
    """A function that lets another serve one socket in a thread; returns the port."""
    sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(handle: Callable[[socket.socket], None], kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
        server = socket.socket(socket.AF_INET, kind)
        server.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            server.listen(64)

        def loop() -> None:
            with suppress(OSError):
                while True:
                    handle(server)

        threads.append(threading.Thread(target=loop))
        threads[-1].start()
        sockets.append(server)
        return int(server.getsockname()[1])

    yield start
    for server in sockets:
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
    for thread in threads:
        thread.join(5)


def run(*texts: str, **plan: Any) -> list[Answer]:
    """Ask, and give all answers."""
    answers: list[Answer] = []
    settings = {"delay_ns": MS, "concurrency": 10, "timeout_ns": 2000 * MS, "count": 5} | plan
    Probe(Plan(endpoints=[endpoint(text) for text in texts], **settings)).run(answers.append)
    return answers


def accept(server: socket.socket) -> None:
    """Take a connection, answer nothing."""
    server.accept()[0].close()


def test_connects(serve: Any) -> None:
    """Each has its own source port, a time and a duration; they begin as far apart as was asked."""
    port = serve(accept)
    before = time.time_ns()
    answers = run(f"127.0.0.1:{port}", delay_ns=20 * MS)

    assert [""] * 5 == [answer.error for answer in answers]
    assert 5 == len({answer.sport for answer in answers})
    assert {"127.0.0.1"} == {answer.src for answer in answers}
    for number, answer in enumerate(sorted(answers, key=lambda answer: answer.time_ns)):
        assert answer.time_ns - before >= number * 20 * MS - MS
        assert 0 < answer.duration_ns == answer.connect_ns


def test_a_get(serve: Any) -> None:
    """It lasts until the whole answer is there, and connecting took less."""

    def answer(server: socket.socket) -> None:
        client, _ = server.accept()
        with client:
            client.recv(1000)
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            time.sleep(0.1)
            client.sendall(b"there")

    (told,) = run(f"http://127.0.0.1:{serve(answer)}/", count=1)

    assert "" == told.error
    assert told.connect_ns is not None
    assert told.connect_ns < 100 * MS < told.duration_ns


def test_dns(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both queries leave one socket; one without an answer is sent again from the same port with the same id."""
    monkeypatch.setattr(probe, "RESEND_S", 0.2)
    seen: list[tuple[int, bytes]] = []

    def answer(server: socket.socket) -> None:
        query, client = server.recvfrom(512)
        if not query:  # the server was shut down
            raise OSError
        seen.append((client[1], query))
        if query[-3] != 28 or len(seen) > 2:  # the first AAAA is lost
            server.sendto(query, client)

    (told,) = run(f"dns://127.0.0.1:{serve(answer, socket.SOCK_DGRAM)}/example.com", count=1)

    assert "" == told.error
    assert 200 * MS <= told.duration_ns
    assert 3 == len(seen)
    assert 1 == len({port for port, _ in seen})
    assert seen[1] == seen[2]


def test_failures() -> None:
    """A refused port is told as the kernel does, silence as a timeout."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        assert {"Connection refused"} == {answer.error for answer in run(f"127.0.0.1:{port}", count=2)}
        free.listen(0)
        # A full backlog leaves SYNs unanswered.
        answers = run(f"127.0.0.1:{port}", count=4, timeout_ns=300 * MS)
    assert "timeout" in {answer.error for answer in answers}


def test_several_endpoints_take_turns(serve: Any) -> None:
    """One after the other."""
    texts = [f"127.0.0.1:{serve(accept)}" for _ in range(2)]

    asked = [answer.endpoint.text for answer in sorted(run(*texts), key=lambda answer: answer.time_ns)]

    assert [*texts, *texts, texts[0]] == asked


def test_the_number_that_waits_is_bounded(serve: Any) -> None:
    """With one at a time, none begins before the last has ended."""

    def slowly(server: socket.socket) -> None:
        client, _ = server.accept()
        time.sleep(0.05)
        client.close()

    answers = sorted(
        run(f"http://127.0.0.1:{serve(slowly)}/", concurrency=1, count=3), key=lambda a: a.time_ns
    )

    for one, other in pairwise(answers):
        assert one.time_ns + one.duration_ns <= other.time_ns + MS


def test_source_ports_go_by_the_clock(serve: Any) -> None:
    """Two probes with the same options use one port at one instant: a multiple of the delay since the epoch."""
    port, ports, delay = serve(accept), range(21000, 21100), 50 * MS
    answers = run(f"127.0.0.1:{port}", ports=ports, delay_ns=delay, count=4)

    for answer in answers:
        # A busy machine may be late, never early.
        late = (answer.time_ns + MS) // delay - ports.index(answer.sport)
        assert late % len(ports) < 20


def test_a_time_ends_it(serve: Any) -> None:
    """No request begins afterwards."""
    began = time.monotonic()
    answers = run(f"127.0.0.1:{serve(accept)}", count=None, seconds=0.2, delay_ns=20 * MS)

    assert 1 <= len(answers) <= 11
    assert time.monotonic() - began < 10
