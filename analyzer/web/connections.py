"""Connections: how many there may be, and how long one keeps its place without asking for anything.

Uvicorn waits for a request's header, and for a client to read its answer, as long as it takes; and where descriptors run
out, asyncio logs a traceback for each connection that it cannot accept (`BaseSelectorEventLoop._accept_connection`): 231 MB
in 100 s were measured.
"""

from __future__ import annotations

import asyncio
import ipaddress
import resource
from collections.abc import Iterator
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER = 20.0
"""Seconds within which a request's header must arrive, from the connection's begin or the answer before it."""
STALLED = 60.0
"""Seconds within which a client must read some of its answer."""
CONNECTIONS = 512
"""Connections at one time; fewer where the process may have few files open: a transfer needs two descriptors."""
PER_ADDRESS = 64
"""Of them, from one address; of IPv6, from one /64, which is what one customer has (RFC 6177). Not from this machine, where
a server stands that speaks TLS for others."""
BACKLOG = 100
"""Connections that the kernel holds for us; asyncio accepts as many at one time before any can be turned away."""
_SPARE = 100
"""Descriptors for all else: the database, confined processes, results."""


class Places:
    """Who has a place. One that waits for its client gives way to a new one, the one that has waited longest first."""

    def __init__(self, most: int = CONNECTIONS, per_address: int = PER_ADDRESS) -> None:
        """Offer *most* places, and *per_address* to each."""
        self._most = most
        self._per_address = per_address
        self._held: dict[Connection, str] = {}
        self._waiting: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._held)

    def enter(self, connection: Connection, address: str) -> bool:
        """Give a new connection a place, if there is one."""
        address = _customer(address)
        if address and sum(each == address for each in self._held.values()) >= self._per_address:
            taken = self._give_way(one for one in self._waiting if self._held[one] == address)
        elif len(self._held) >= self._most:
            taken = self._give_way(iter(self._waiting))
        else:
            taken = True
        if taken:
            self._held[connection] = address
        return taken

    def wait(self, connection: Connection) -> None:
        """Note that a connection waits for its client."""
        self._waiting.pop(connection, None)
        if connection in self._held:
            self._waiting[connection] = None

    def work(self, connection: Connection) -> None:
        """Note that a connection works on a request."""
        self._waiting.pop(connection, None)

    def leave(self, connection: Connection) -> None:
        """Free a place."""
        self._waiting.pop(connection, None)
        self._held.pop(connection, None)

    def _give_way(self, waiting: Iterator[Connection]) -> bool:
        oldest = next(waiting, None)
        if oldest:
            self.leave(oldest)
            oldest.transport.abort()
        return oldest is not None


class Connection(H11Protocol):
    """One connection to a client, with deadlines."""

    places: ClassVar[Places]
    _deadline: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place, or end."""
        super().connection_made(transport)
        if self.places.enter(self, self.client[0] if self.client else ""):
            self._await_request()
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place."""
        self.places.leave(self)
        for timer in (self._deadline, self._reading):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; a whole header makes a request of it."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is here already; also where the last one's body still comes."""
        super().on_response_complete()
        self._look()
        if self._deadline is None and not self._busy():
            self._await_request()

    def pause_writing(self) -> None:
        """Give a client that does not read what it asked for some time."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Go on: it has read."""
        if self._reading:
            self._reading.cancel()
            self._reading = None
        super().resume_writing()

    def _watch(self, before: int | None = None) -> None:
        left = self.transport.get_write_buffer_size()
        if before is None or left < before:
            self._reading = self.loop.call_later(STALLED, self._watch, left)
        else:
            self.transport.abort()

    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _look(self) -> None:
        if self._busy():
            self.places.work(self)
            if self._deadline:
                self._deadline.cancel()
                self._deadline = None

    def _await_request(self) -> None:
        self.places.wait(self)
        self._deadline = self.loop.call_later(HEADER, self._late)

    def _late(self, before: int | None = None) -> None:
        """End, unless the client still reads the answer before."""
        left = self.transport.get_write_buffer_size()
        if left and (before is None or left < before):
            self._deadline = self.loop.call_later(HEADER, self._late, left)
        else:
            self.transport.abort()


def limited() -> type[Connection]:
    """Return a protocol for uvicorn whose connections share as many places as the process has descriptors for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CONNECTIONS + BACKLOG + _SPARE
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = max(8, min(CONNECTIONS, (soft - BACKLOG - _SPARE) // 2))
    return type("LimitedConnection", (Connection,), {"places": Places(most)})


def _customer(address: str) -> str:
    """Return what is counted as one address; nothing for this machine's own."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    found = getattr(found, "ipv4_mapped", None) or found
    if found.is_loopback:
        return ""
    return str(found) if found.version == 4 else str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
