"""The load generator: asks again and again, and times each request.

One loop without threads: what shall happen at one instant on two pods does so within some microseconds.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from analyzer.field.endpoints import Endpoint

RESEND_S = 5.0
"""After so long a DNS query is sent again from the same port, as by glibc (resolv.conf(5), `timeout`)."""
_SPIN_NS = 300_000
"""The last part of a wait is not slept: waking up takes some ten microseconds, more on a busy machine."""
_WAITING = frozenset({errno.EINPROGRESS, errno.EAGAIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked, how often."""

    endpoints: Sequence[Endpoint]
    """In turn."""
    delay_ns: int
    """From the beginning of one request to that of the next. With *ports* they begin at multiples of it."""
    concurrency: int
    """Requests that wait at one time at most; while there are so many, none begins."""
    timeout_ns: int
    count: int | None = None
    """Requests; None for no end."""
    seconds: float | None = None
    ports: range | None = None
    """Source ports, one after the other by the clock: probes on several pods use the same one at the same instant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How one request went."""

    endpoint: Endpoint
    time_ns: int
    """When it began, since the epoch."""
    duration_ns: int
    """Until the connection stood, or the whole answer was there; until it failed, else."""
    connect_ns: int | None
    """Until the connection stood; None if it never did, and for DNS."""
    src: str
    sport: int
    error: str = ""
    """Why there was no answer: `timeout`, or what the kernel said."""


@dataclass(slots=True, kw_only=True)
class _Request:
    endpoint: Endpoint
    client: socket.socket
    began: int
    time_ns: int
    number: int
    src: str = ""
    sport: int = 0
    connected: int | None = None
    missing: set[int] | None = None
    """DNS: ids whose answer has not come."""
    resend_at: int = 0


class Probe:
    """Runs a plan."""

    def __init__(self, plan: Plan) -> None:
        """Prepare; nothing is sent before `run`."""
        self._plan = plan
        self._selector = selectors.DefaultSelector()
        self._pending: dict[int, _Request] = {}
        self.begun = 0
        """Requests so far."""

    def run(self, tell: Callable[[Answer], None]) -> None:
        """Ask until the plan is done.

        Args:
            tell: Called with each answer, in the order in which they come. Whatever it raises ends the probe.
        """
        try:
            first = time.monotonic_ns()
            for instant, port in self._instants(first):
                self._until(instant, tell)
                while len(self._pending) >= self._plan.concurrency:
                    self._collect(0.05, tell)
                self._begin(port, tell)
            while self._pending:
                self._collect(0.05, tell)
        finally:
            for request in self._pending.values():
                request.client.close()
            self._selector.close()

    def _instants(self, first: int) -> Iterator[tuple[int, int]]:
        """When each request begins, by the monotonic clock, and from which port; 0 is any."""
        plan = self._plan
        offset = time.time_ns() - time.monotonic_ns()
        turn = (first + offset) // plan.delay_ns + 2
        end = first + int(plan.seconds * 1e9) if plan.seconds is not None else None
        while plan.count is None or self.begun < plan.count:
            now = time.monotonic_ns()
            if plan.ports is None:
                instant, port = max(first + self.begun * plan.delay_ns, now), 0
            else:
                # Instants that went by while too many requests waited are left out: they are the other probes'.
                turn = max(turn, (now + offset) // plan.delay_ns + 1)
                instant, port = turn * plan.delay_ns - offset, plan.ports[turn % len(plan.ports)]
                turn += 1
            if end is not None and instant >= end:
                return
            yield instant, port

    def _until(self, instant: int, tell: Callable[[Answer], None]) -> None:
        while (left := instant - _SPIN_NS - time.monotonic_ns()) > 0:
            self._collect(min(left / 1e9, 0.5), tell)
        if self._plan.ports is not None:
            while time.monotonic_ns() < instant:
                pass

    def _begin(self, port: int, tell: Callable[[Answer], None]) -> None:
        endpoint = self._plan.endpoints[self.begun % len(self._plan.endpoints)]
        self.begun += 1
        client = socket.socket(endpoint.family, endpoint.kind)
        client.setblocking(False)
        request = _Request(
            endpoint=endpoint,
            client=client,
            began=time.monotonic_ns(),
            time_ns=time.time_ns(),
            number=2 * self.begun,
        )
        try:
            if port:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                client.bind(("", port))
            request.began, request.time_ns = time.monotonic_ns(), time.time_ns()
            failed = client.connect_ex((endpoint.address, endpoint.port))
            request.src, request.sport = client.getsockname()[:2]
            if failed and failed not in _WAITING:
                raise OSError(failed, os.strerror(failed))
            if endpoint.scheme == "dns":
                request.missing = {request.number & 0xFFFF, request.number + 1 & 0xFFFF}
                self._ask(request)
        except OSError as error:
            client.close()
            tell(self._answer(request, error.strerror or str(error)))
            return
        self._pending[client.fileno()] = request
        self._selector.register(client, selectors.EVENT_READ if request.missing else selectors.EVENT_WRITE)

    def _ask(self, request: _Request) -> None:
        request.resend_at = time.monotonic_ns() + int(RESEND_S * 1e9)
        for part, message in enumerate(request.endpoint.messages(request.number)):
            if request.missing is None or request.number + part & 0xFFFF in request.missing:
                request.client.send(message)

    def _collect(self, seconds: float, tell: Callable[[Answer], None]) -> None:
        """Wait so long for answers at most, and see who waits too long."""
        for key, _ in self._selector.select(seconds):
            request = self._pending[key.fd]
            try:
                done = self._advance(request)
            except BlockingIOError:
                continue
            except OSError as error:
                self._finish(request, tell, error.strerror or str(error))
            else:
                if done:
                    self._finish(request, tell)
        now = time.monotonic_ns()
        for request in list(self._pending.values()):
            if now - request.began >= self._plan.timeout_ns:
                self._finish(request, tell, "timeout")
            elif request.missing and now >= request.resend_at:
                try:
                    self._ask(request)
                except OSError as error:
                    self._finish(request, tell, error.strerror or str(error))

    def _advance(self, request: _Request) -> bool:
        """Take a request as far as its socket allows; whether its answer is there."""
        if request.missing is not None:
            answer = request.client.recv(4096)
            request.missing.discard(int.from_bytes(answer[:2], "big"))
            return not request.missing
        if request.connected is None:
            if error := request.client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, os.strerror(error))
            request.connected = time.monotonic_ns()
            if request.endpoint.scheme == "connect":
                return True
            self._ask(request)
            self._selector.modify(request.client, selectors.EVENT_READ)
            return False
        return not request.client.recv(1 << 16)

    def _finish(self, request: _Request, tell: Callable[[Answer], None], error: str = "") -> None:
        answer = self._answer(request, error)
        self._selector.unregister(request.client)
        del self._pending[request.client.fileno()]
        request.client.close()
        tell(answer)

    def _answer(self, request: _Request, error: str) -> Answer:
        now = time.monotonic_ns()
        reached = request.connected
        return Answer(
            endpoint=request.endpoint,
            time_ns=request.time_ns,
            duration_ns=(reached if reached and request.endpoint.scheme == "connect" else now)
            - request.began,
            connect_ns=reached - request.began if reached else None,
            src=request.src,
            sport=request.sport,
            error=error,
        )
