"""Programs that make TCP traffic: connects at an exact instant, connections to hold, a conversation."""

from __future__ import annotations

import gc
import os
import select
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from analyzer.lab.namespaces import Namespace, Task

# Spin for the last part of a wait only: until then the connections' answers are collected.
SPIN_NS = 1_000_000
TALK_S = 0.1
K = TypeVar("K")


class Connect(NamedTuple):
    """How one connect went."""

    port: int
    """Source port."""
    time: float
    """Seconds since the epoch when connect(2) was called."""
    delay: float | None
    """Seconds until the handshake was complete; None if it never was."""
    error: str | None = None
    """What the kernel said instead; None also if it said nothing."""


def soon() -> int:
    """Give an instant of the monotonic clock by which a process that is started now is ready."""
    return time.monotonic_ns() + 100_000_000


def evenly(port: int, first: int, interval: int, count: int) -> dict[int, int]:
    """Give each of *count* source ports, from *port* on, its instant for `connect_at` and `ask_at`; all in ns."""
    return {port + turn: first + turn * interval for turn in range(count)}


def results(tasks: Mapping[K, Task[Any]], patience_s: float = 60) -> dict[K, list[dict[str, Any]]]:
    """Wait for what each task of `connect_at` or `ask_at` knows."""
    return {name: [one._asdict() for one in task.result(patience_s)] for name, task in tasks.items()}


def connect_at(
    source: str,
    target: tuple[str, int],
    instants: Mapping[int, int],
    patience_s: float = 20,
    cpu: int | None = None,
) -> list[Connect]:
    """Connect from several source ports, each at its exact instant; close when connected.

    Args:
        source: Address to bind.
        target: Address and port to connect to.
        instants: When to connect from which source port, in time order: nanoseconds of the monotonic clock,
            which all processes share.
        patience_s: How long to wait after the last connect for those still unanswered.
        cpu: The CPU to stay on; None for the first. A veth passes a packet to its peer on the CPU of the sender
            (net/core/dev.c, enqueue_to_backlog), so this CPU also runs the node's forwarding, NAT and confirmation of the
            SYN.

    Returns:
        One entry per port, in order.
    """
    be_exact(min(os.sched_getaffinity(0)) if cpu is None else cpu)
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    pending: dict[int, tuple[socket.socket, int]] = {}
    began: dict[int, int] = {}
    done: dict[int, int] = {}
    failed: dict[int, str] = {}
    with select.epoll() as poll:
        for port, instant in instants.items():
            client = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            client.bind((source, port))
            while (now := time.monotonic_ns()) < instant - SPIN_NS:
                _collect(poll, (instant - SPIN_NS - now) / 1e9, pending, done, failed)
            while time.monotonic_ns() < instant:
                pass
            began[port] = time.monotonic_ns()
            client.connect_ex(target)
            pending[client.fileno()] = (client, port)
            poll.register(client, select.EPOLLOUT)
        deadline = time.monotonic_ns() + int(patience_s * 1e9)
        while pending and time.monotonic_ns() < deadline:
            _collect(poll, 0.1, pending, done, failed)
    for client, _ in pending.values():
        client.close()
    epoch = time.time_ns() - time.monotonic_ns()
    return [
        Connect(
            port,
            (epoch + began[port]) / 1e9,
            (done[port] - began[port]) / 1e9 if port in done else None,
            failed.get(port),
        )
        for port in instants
    ]


def be_exact(cpu: int) -> None:
    """Keep this process on a CPU, and others and the garbage collector from interrupting it."""
    os.sched_setaffinity(0, {cpu})
    with suppress(PermissionError):  # a container without CAP_SYS_NICE meets less exactly
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    gc.disable()


def _collect(
    poll: select.epoll,
    timeout: float,
    pending: dict[int, tuple[socket.socket, int]],
    done: dict[int, int],
    failed: dict[int, str],
) -> None:
    for descriptor, _ in poll.poll(timeout):
        client, port = pending.pop(descriptor)
        if error := client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            failed[port] = os.strerror(error)
        else:
            done[port] = time.monotonic_ns()
        poll.unregister(descriptor)
        client.close()


def connected(where: Namespace, target: tuple[str, int]) -> socket.socket:
    """Open a connection from a namespace, to be held as long as somebody likes."""
    with where.entered():
        return socket.create_connection(target, timeout=5)


def talk(client: socket.socket) -> bool:
    """Send something over a connection; whether it comes back."""
    try:
        client.sendall(b"hello")
        return bool(client.recv(64))
    except ConnectionResetError:
        return False


def converse(target: tuple[str, int], seconds: float) -> dict[str, float]:
    """Talk over one connection, ten times a second.

    Returns:
        `answers`, how often an echo came, and `longest`, the seconds that the slowest one took.
    """
    longest, answers = 0.0, 0
    with socket.create_connection(target, timeout=5) as client:
        end = time.monotonic() + seconds
        while (began := time.monotonic()) < end:
            client.sendall(b"still there? %d" % answers)
            client.recv(64)
            answers += 1
            longest = max(longest, time.monotonic() - began)
            time.sleep(TALK_S)
    return {"answers": answers, "longest": longest}
