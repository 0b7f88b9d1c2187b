"""Places for connections, and deadlines: who asks for nothing does not keep others out."""

from __future__ import annotations

import asyncio
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from analyzer.web import connections
from analyzer.web.connections import Connection, Places, _customer
from tests.web.serving import Server


class _Fake:
    """What places know of a connection."""

    def __init__(self) -> None:
        self.transport = self
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


def _entered(places: Places, *addresses: str) -> list[Any]:
    """Let connections in that wait, one from each address."""
    made: list[Any] = [_Fake() for _ in addresses]
    for one, address in zip(made, addresses, strict=True):
        if places.enter(one, address):
            places.wait(one)
    return made


def test_the_longest_waiting_gives_way() -> None:
    """When all places are taken, a new connection gets that of the one that asked for nothing the longest."""
    places = Places(most=2)
    first, second, third = _entered(places, "192.0.2.1", "192.0.2.2", "192.0.2.3")
    assert (True, False, False) == (first.aborted, second.aborted, third.aborted)
    places.wait(second)  # it was answered just now
    (fourth,) = _entered(places, "192.0.2.4")
    assert (False, True, False) == (second.aborted, third.aborted, fourth.aborted)
    places.work(second)
    places.work(fourth)
    assert not places.enter(_Fake(), "192.0.2.5")  # type: ignore[arg-type]
    places.leave(second)
    assert places.enter(_Fake(), "192.0.2.5")  # type: ignore[arg-type]


def test_one_address_has_only_so_many() -> None:
    """One that takes all of its own places keeps nobody else out; a server in front of this one may take all."""
    places = Places(most=100, per_address=3)
    flood = _entered(places, *["198.51.100.1"] * 9)
    other = _entered(places, "192.0.2.1", *["127.0.0.1"] * 50)

    assert [True] * 6 + [False] * 3 == [one.aborted for one in flood]
    assert not any(one.aborted for one in other)
    assert 3 + 51 == len(places)


@pytest.mark.parametrize(
    ("address", "customer"),
    [
        ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"), ("127.0.0.2", ""), ("::1", ""), ("::ffff:127.0.0.1", ""), ("", ""), ("/socket", ""),
    ],
)  # fmt: skip
def test_what_is_one_address(address: str, customer: str) -> None:
    """An IPv6 customer has a network of addresses; this machine's own are not counted."""
    assert customer == _customer(address)


@contextmanager
def _serving(
    monkeypatch: pytest.MonkeyPatch, most: int = 100, deadline: float = 0.3
) -> Iterator[Callable[[], socket.socket]]:
    """Run a server that answers after its request's body has come; yield what connects to it."""
    monkeypatch.setattr(connections, "HEADER", deadline)
    monkeypatch.setattr(connections, "STALLED", deadline)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            await asyncio.sleep(0.8)
        size = 30_000_000 if scope["path"] == "/large" else 2
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * size})

    protocol = type("Tested", (Connection,), {"places": Places(most)})
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http=protocol, lifespan="off", ws="none", log_config=None, timeout_keep_alive=10
    )
    server = uvicorn.Server(config)
    with ExitStack() as stack:

        def connect() -> socket.socket:
            made = socket.create_connection(listening.getsockname())
            made.settimeout(5)
            return stack.enter_context(made)

        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
        thread.start()
        try:
            yield connect
        finally:
            server.should_exit = True
            thread.join()
            listening.close()


def _ended(connection: socket.socket, drip: bytes = b"") -> float:
    """Return how many seconds it took until the server ended a connection, to which *drip* is sent now and then."""
    begin = time.monotonic()
    connection.settimeout(0.05 if drip else 5)
    with suppress(ConnectionError):
        while time.monotonic() - begin < 5:
            with suppress(TimeoutError):
                if not connection.recv(1 << 16):
                    break
            connection.sendall(drip)
    return time.monotonic() - begin


def test_a_header_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing, half a header, a header byte by byte, and nothing after an answer: each ends; a slow answer does not."""
    with _serving(monkeypatch) as connect:
        silent, half, after, slow = (connect() for _ in range(4))
        half.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ")
        after.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert 0.1 < _ended(silent) < 3
        assert _ended(half) < 3
        assert _ended(after) < 3
        answer = b""
        while piece := slow.recv(1000):
            answer += piece
        assert b"xx" in answer


def test_a_body_that_nobody_wants_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who goes on sending after the answer, a byte now and then, ends as well."""
    with _serving(monkeypatch) as connect:
        dripping = connect()
        dripping.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        assert _ended(dripping, drip=b"a") < 3


def test_an_answer_that_nobody_reads_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks for much and reads nothing ends; one that reads slowly gets all of it."""
    # the kernel tells of room in lumps, and a busy machine wakes a reader late: the deadline is well above both
    with _serving(monkeypatch, deadline=1) as connect:
        stuck, slow = connect(), connect()
        for connection in (stuck, slow):
            connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        read = 0
        while piece := slow.recv(1 << 20):
            read += len(piece)
            time.sleep(0.1)
        assert read > 30_000_000
        read = 0
        while piece := stuck.recv(1 << 20):
            read += len(piece)
        assert read < 30_000_000


def test_a_place_for_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """While hundreds hold connections open and say nothing, others are answered."""
    with _serving(monkeypatch, most=20) as connect:
        for _ in range(100):
            connect().sendall(b"GET / HTTP/1.1\r\n")
        asking = connect()
        asking.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert asking.recv(1000).startswith(b"HTTP/1.1 200")


def test_as_many_places_as_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the process may have few files open, there are fewer places, so that accepting never fails."""
    given: list[tuple[int, int]] = []
    for limits, soft, places in (
        ((1024, 4096), 1224, 512),
        ((1024, 1024), None, 412),
        ((256, 256), None, 28),
    ):
        given.clear()
        monkeypatch.setattr(resource, "getrlimit", lambda _, limits=limits: limits)
        monkeypatch.setattr(resource, "setrlimit", lambda _, both: given.append(both))
        assert places == connections.limited().places._most
        assert soft is None or [(soft, 4096)] == given


@pytest.mark.parametrize("waiting", [600])
def test_half_sent_requests_stop_nobody(serve: Callable[..., Server], tmp_path: Path, waiting: int) -> None:
    """More idle half-sent requests than a server with few descriptors could hold: others are served, the log stays small."""
    server = serve("--keep", "1", files=256)
    host, port = server.url.removeprefix("http://").split(":")
    with ExitStack() as stack:
        for _ in range(waiting):
            connection = stack.enter_context(socket.create_connection((host, int(port))))
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: ")
        for _ in range(3):
            assert 200 == server.client.get("/api/uploads").status_code
    assert (tmp_path / "serve.log").stat().st_size < 100_000
