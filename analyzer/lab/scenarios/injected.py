"""A far end that sends acknowledgements which connection tracking may take for INVALID."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from typing import Any

from analyzer.lab.farend import ACK, PSH, RST, FarEnd
from analyzer.lab.node import V4
from analyzer.lab.run import Run

PORT = 80
UPLOAD = 1_500_000
# docker/libnetwork#1090: the client was 212064 bytes ahead of the late ACK, 39008 more than the window of
# 173056 that the server had ever offered.
AHEAD = 212_064
REQUEST = 10_000
# How far the impossible ACKs lie beyond what was sent: a byte, a segment, a TSO frame, more than the window.
OVER = (1, 1460, 65160, 200_000)
# Long enough for an answer to an impossible ACK, be it the host's RST or the client's ACK.
ANSWER_S = 0.1
# Of TCP alone: a pod's router solicitation, sent some seconds after its interface came up, is INVALID at this hook, too.
DROP_INVALID = """
table inet firewall {
    chain input {
        type filter hook input priority 0;
        meta l4proto tcp ct state invalid counter drop
    }
}
"""


def late_ack(run: Run) -> dict[str, Any]:
    """In the middle of an upload an ACK arrives so late that it lies below conntrack's lower bound.

    Up to kernel 6.0 it is INVALID, the host answers with a RST, and the far end gives the connection up, as
    the load balancer of docker/libnetwork#1090 did; from 6.1 on it is passed on and the upload completes.
    Truth: `injected` (time, seq, ack, and `received`, how far the far end had got by then), `uploads` (port,
    error).
    """
    with closing(FarEnd(run.net.outside, V4.server, PORT)) as far:
        serving = run.net.outside.start(_serve_late, far, run.rounds)
        uploads = run.net.a.start(_upload, run.rounds).result(60)
        return {"injected": serving.result(60), "uploads": uploads}


def _serve_late(far: FarEnd, rounds: int) -> list[dict[str, Any]]:
    injected: list[dict[str, Any]] = []
    for turn in range(rounds):
        far.accept()
        late = 0
        while True:
            segment = far.receive()
            if segment.flags & RST:
                far.give_up()
                break
            if far.ended:
                far.end()
                break
            if not segment.length:
                continue
            far.send(ACK)
            if not late and far.total > UPLOAD // 3:
                # The ACK of half of this segment is late: that of the whole has passed it on the way.
                late = far.total - segment.length // 2
            if late and len(injected) == turn and far.total - late >= AHEAD:
                injected.append(far.send(ACK, ack=far.first + late) | {"received": far.received})
    return injected


def _upload(rounds: int) -> list[dict[str, Any]]:
    uploads = []
    for _ in range(rounds):
        with socket.create_connection((V4.server, PORT), timeout=20) as client:
            port = client.getsockname()[1]
            error = None
            try:
                client.sendall(bytes(UPLOAD))
                client.shutdown(socket.SHUT_WR)
                client.recv(1)
            except ConnectionError as broken:
                error = broken.strerror
        uploads.append({"port": port, "error": error})
    return uploads


def ack_over(run: Run) -> dict[str, Any]:
    """After each request of a connection the far end acknowledges bytes that the client never sent.

    Every kernel calls such an ACK INVALID and the host answers it with a RST; the far end ignores that, since
    RFC 5961 section 3.2 wants an exact sequence number, and replies. Truth: `injected` (time, seq, ack, and
    `received`, up to where the client had really sent).
    """
    return _over(run)


def invalid_dropped(run: Run) -> dict[str, Any]:
    """The traffic of `ack-over`, and a rule that drops INVALID packets before the host can answer them.

    No RST follows. Truth: `injected` as there, and `dropped`, as the rule counted.
    """
    run.net.node.run("nft", "-f", "-", stdin=DROP_INVALID)
    told = _over(run)
    (dropped,) = run.net.node.counted("inet", "firewall", "input")
    return told | {"dropped": dropped}


def be_liberal(run: Run) -> dict[str, Any]:
    """The traffic of `ack-over` with nf_conntrack_tcp_be_liberal: nothing is INVALID.

    The ACKs are passed on to the client, which answers each with an ACK of its own (RFC 9293 section
    3.10.7.4). Truth: `injected` as there.
    """
    run.net.node.sysctl("net.netfilter.nf_conntrack_tcp_be_liberal", 1)
    return _over(run)


def _over(run: Run) -> dict[str, Any]:
    with closing(FarEnd(run.net.outside, V4.server, PORT)) as far:
        serving = run.net.outside.start(_serve_over, far, run.rounds)
        run.net.a.start(_request, run.rounds).result(60)
        return {"injected": serving.result(60)}


def _serve_over(far: FarEnd, rounds: int) -> list[dict[str, Any]]:
    injected = []
    far.accept()
    for turn in range(rounds):
        while far.total < (turn + 1) * REQUEST:
            far.receive()
        over = far.received + OVER[turn % len(OVER)]
        injected.append(far.send(ACK, ack=over) | {"received": far.received})
        time.sleep(ANSWER_S)
        far.send(ACK | PSH, payload=b"done")
    while not far.ended:
        far.receive()
    far.end()
    return injected


def _request(rounds: int) -> None:
    with socket.create_connection((V4.server, PORT), timeout=20) as client:
        for _ in range(rounds):
            client.sendall(bytes(REQUEST))
            client.recv(64)
        client.shutdown(socket.SHUT_WR)
        client.recv(64)
