"""An echo service: what every scenario's server is, unless the scenario needs one of its own."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Sequence
from contextlib import ExitStack

from analyzer.lab.namespaces import Namespace

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM


def serve_echo(where: Namespace, *places: tuple[socket.SocketKind, str, int]) -> None:
    """Start an echo service; it is ready when this returns.

    Args:
        where: Namespace to serve in.
        places: Kind (`TCP` or `UDP`), address and port to serve at.
    """
    with ExitStack() as stack:
        with where.entered():
            services = [stack.enter_context(_bound(*place)) for place in places]
        where.start(_echo, services)


def _bound(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    service = socket.socket(family, kind)
    if family == socket.AF_INET6:
        service.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    service.bind((address, port))
    if kind == TCP:
        service.listen(1024)
    return service


def _echo(services: Sequence[socket.socket]) -> None:
    """Send back what arrives, until killed."""
    with selectors.DefaultSelector() as selector:
        for service in services:
            service.setblocking(False)
            selector.register(service, selectors.EVENT_READ, data="service")
        while True:
            for key, _ in selector.select():
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                if ready.type == UDP:
                    data, sender = ready.recvfrom(65535)
                    ready.sendto(data, sender)
                elif key.data == "service":
                    selector.register(ready.accept()[0], selectors.EVENT_READ)
                else:
                    _echo_once(selector, ready)


def _echo_once(selector: selectors.BaseSelector, connection: socket.socket) -> None:
    try:
        data = connection.recv(65535)
        connection.sendall(data)
    except ConnectionError:
        data = b""
    if not data:
        selector.unregister(connection)
        connection.close()
