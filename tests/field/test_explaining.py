"""Slow requests and their connections."""

from __future__ import annotations

from dataclasses import replace

from analyzer.field.explaining import Connection, explain
from analyzer.field.slowlog import SlowRequest

S = 10**9
NOW = 1_795_992_073_595_061_901


def slow(at: float = 0.0, duration: float = 1.02, **told: object) -> SlowRequest:
    """A request of `lostsyn probe`, some seconds after NOW."""
    begin = NOW + int(at * S)
    fields = {"src": "10.244.0.11", "sport": 20000, "dst": "192.0.2.100", "dport": 80, "file": "a", "line": 1}
    return SlowRequest(begin=begin, latest=begin, duration=duration, **(fields | told))  # type: ignore[arg-type]


def connection(
    at: float = 0.0,
    delay: float = 1.01,
    cause: str = "snat-port-race",
    sport: int = 20000,
    dport: int = 80,
    told: str = "",
    outcome: str = "delayed",
) -> Connection:
    """A connection that began some seconds after NOW; lost on this node, if it has a cause."""
    ends = ("10.244.0.11", sport, "192.0.2.100", dport)
    told = told or ("node" if cause else "outside")
    incident = "syn-vanished-1" if cause else ""
    return Connection(*ends, NOW + int(at * S) + 30_000, delay, outcome, told, incident, cause, f"{sport}")


def verdicts(requests: list[SlowRequest], connections: list[Connection]) -> list[tuple[int | None, str]]:
    """Which connection, and where the time went."""
    told = explain(requests, connections).requests
    return [(connections.index(one.connection) if one.connection else None, one.verdict) for one in told]


def test_by_its_port() -> None:
    """The connection of the logged port is taken, though another began nearer and waited as long."""
    assert [(1, "node")] == verdicts([slow()], [connection(0, 1.019, sport=20001), connection(0.0002)])


def test_a_port_that_came_again() -> None:
    """Of two connections of one port the one that began with the request."""
    assert [(1, "node")] == verdicts([slow(200)], [connection(0), connection(200), connection(400)])


def test_another_connection_of_the_port_is_none() -> None:
    """A connection that began before the request, or after it was over, is not its own."""
    assert [(None, "unmatched")] == verdicts([slow(10)], [connection(9), connection(11.1)])


def test_slow_at_the_server() -> None:
    """The connection stood at once: the time went afterwards, whatever else is known of it."""
    assert [(0, "server")] == verdicts([slow()], [connection(delay=0.0004)])


def test_slow_elsewhere() -> None:
    """A handshake that took long without a loss on this node is not explained by it."""
    assert [(0, "network")] == verdicts([slow()], [connection(cause="")])


def test_what_nobody_can_tell() -> None:
    """A handshake that took long where the captures cannot tell whether this node lost it."""
    assert [(0, "untold")] == verdicts([slow()], [connection(cause="", told="unknown")])


def test_never_answered() -> None:
    """A request that gave up before its SYN was repeated was not slow at a server that it never reached."""
    unanswered = connection(delay=0.0, outcome="timed-out")

    assert [(0, "node")] == verdicts([slow(duration=0.9)], [unanswered])


def test_a_log_without_ports() -> None:
    """The wait that explains the request best tells the connection; it must not be longer than the request."""
    application = replace(slow(), sport=None, src=None, begin=NOW - S, latest=NOW + 2 * S)
    others = [connection(0, 0.0003, "", 1), connection(0.1, 1.01, sport=2), connection(0.2, 3.05, sport=3)]

    assert [(1, "node")] == verdicts([application], others)


def test_each_connection_explains_one() -> None:
    """Two requests and one loss: one is explained, and the other is told apart."""
    twice = [replace(slow(), sport=None), replace(slow(duration=1.5), sport=None)]

    assert [(0, "node"), (None, "unmatched")] == verdicts(twice, [connection()])


def test_a_log_that_notes_seconds() -> None:
    """A time without a fraction may lie a second off."""
    second = replace(slow(), begin=NOW // S * S - S, latest=NOW // S * S, sport=None)

    assert [(0, "node")] == verdicts([second], [connection()])


def test_without_connections() -> None:
    """Nothing fits."""
    assert [(None, "unmatched")] == verdicts([slow()], [])
    assert [(None, "unmatched")] == verdicts([slow(dport=81)], [connection()])


def test_the_sentence() -> None:
    """All verdicts in one sentence, causes by their number."""
    connections = [connection(n, sport=n) for n in range(13)] + [connection(20, 0.001, sport=99)]
    requests = [slow(n, sport=n) for n in range(13)] + [slow(20, sport=99)]
    told = explain(requests, connections)

    assert "of 14 slow requests 13 are explained: 13 by snat-port-race; 1 was slow at the server" == told.says
    assert {"node": 13, "server": 1} == told.verdicts
    assert "no slow request" == explain([], []).says
    assert (
        "of 1 slow request none is explained; 1 was not among the captured connections"
        == explain([slow()], []).says
    )


def test_a_port_among_thousands() -> None:
    """The connection of the logged port is found, however many others began later while the request ran."""
    many = [connection(n / 1000, 0.0, "", sport=1 + n) for n in range(2000)]

    assert [(None, "unmatched")] == verdicts([slow(duration=3)], many)
    assert [(2000, "node")] == verdicts([slow(duration=3)], [*many, connection(delay=3.0)])


def test_many_requests_without_ports() -> None:
    """Each has some candidates and no more, so that memory is bounded; the best one is among them."""
    requests = [slow(n / 1000, sport=None) for n in range(300)]
    connections = [connection(n / 1000, sport=1 + n) for n in range(300)]

    assert [(n, "node") for n in range(300)] == verdicts(requests, connections)
