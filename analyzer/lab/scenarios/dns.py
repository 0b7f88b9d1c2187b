"""A and AAAA from one socket at one instant, through a service with two endpoints."""

from __future__ import annotations

import os
import socket
import time
from contextlib import ExitStack, suppress
from typing import Any

from analyzer.errors import MissingTool
from analyzer.lab.asking import DNS_A, DNS_AAAA, DNS_PORT, dns_question, send_at
from analyzer.lab.echo import UDP, serve_echo
from analyzer.lab.node import V4
from analyzer.lab.run import Run

SECOND_SERVER = "192.0.2.101"
INTERVAL_NS = 5_000_000
RESEND_S = 5  # resolv.conf(5), RES_TIMEOUT
RULES = f"""
table inet nat {{
    chain prerouting {{
        ip daddr {V4.service} udp dport {DNS_PORT} dnat ip to numgen random mod 2 map {{
            0 : {V4.server}, 1 : {SECOND_SERVER}
        }}
    }}
}}
"""


def dns_race(run: Run) -> dict[str, Any]:
    """Two CPUs send A and AAAA from one socket at one instant to a service that DNAT leads to two servers.

    Each question makes an entry of its own, and the second cannot be inserted. Kernels before 5.6 drop it and
    count `insert_failed`; later ones insert it for the reply direction only, count `clash_resolve` and lose
    nothing. As a resolver does, pod a asks again after 5 s what was not answered. Truth: `questions`,
    `unanswered` at first, and `unanswered_at_last`.
    """
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise MissingTool("this scenario needs two CPUs: on one, no two packets are ever forwarded at once")
    net = run.net
    net.outside.ip("address", "add", f"{SECOND_SERVER}/{V4.prefix}", "dev", "eth0")
    serve_echo(net.outside, (UDP, V4.server, DNS_PORT), (UDP, SECOND_SERVER, DNS_PORT))
    net.node.run("nft", "-f", "-", stdin=RULES)
    with ExitStack() as stack:
        with net.a.entered():
            clients = [stack.enter_context(socket.socket(socket.AF_INET, UDP)) for _ in range(run.rounds)]
        for client in clients:
            client.setblocking(False)
            client.bind((V4.a, 0))
            client.connect((V4.service, DNS_PORT))
        questions = [
            {record: dns_question(2 * number + (record == DNS_AAAA), record) for record in (DNS_A, DNS_AAAA)}
            for number in range(run.rounds)
        ]
        first = time.monotonic_ns() + 300_000_000
        tasks = [
            net.a.start(
                send_at,
                [
                    (first + number * INTERVAL_NS, client, asked[record])
                    for number, (client, asked) in enumerate(zip(clients, questions, strict=True))
                ],
                cpu,
            )
            for record, cpu in ((DNS_A, cpus[0]), (DNS_AAAA, cpus[1]))
        ]
        for task in tasks:
            task.result(60)
        time.sleep(0.2)
        unanswered = _unanswered(clients, questions)
        at_last = []
        if unanswered:
            time.sleep(RESEND_S)
            for number, question in unanswered:
                clients[number].send(question)
            time.sleep(0.2)
            at_last = _unanswered(clients, questions)
    return {
        "questions": 2 * run.rounds,
        "unanswered": len(unanswered),
        "unanswered_at_last": len(at_last),
    }


def _unanswered(clients: list[socket.socket], questions: list[dict[int, bytes]]) -> list[tuple[int, bytes]]:
    """The clients' numbers and their questions of which no echo has come; those answered are removed."""
    for client, asked in zip(clients, questions, strict=True):
        with suppress(BlockingIOError):
            while True:
                answer = client.recv(2048)
                asked.pop(int.from_bytes(answer[-4:-2]), None)
    return [(number, question) for number, asked in enumerate(questions) for question in asked.values()]
