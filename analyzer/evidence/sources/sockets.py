"""`ss` and `netstat -an`, with or without timers and the details of `ss -i`: the node's own sockets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.capture.naming import printable
from analyzer.evidence.facts import Fact, Socket, alike, limited, unread

PURPOSE = "which ports are listened on"

MOST = 100_000
"""Sockets kept of one file; each takes half a kilobyte."""
_HEAD = re.compile(
    r"^(?:Netid +)?State +Recv-Q +Send-Q +Local Address:Port|^Proto +Recv-Q +Send-Q +Local Address +Foreign Address",
    re.MULTILINE,
)
_STATES = "LISTEN|ESTAB|SYN-SENT|SYN-RECV|FIN-WAIT-1|FIN-WAIT-2|TIME-WAIT|CLOSE-WAIT|LAST-ACK|CLOSING|CLOSED|UNCONN|NEW-SYN-RECV"
_SS = re.compile(
    rf"(?:(?P<proto>tcp|udp|sctp|dccp|mptcp|raw|icmp6) +)?(?P<state>{_STATES}) +(?P<received>\d{{1,12}}) +(?P<sent>\d{{1,12}}) +"
    r"(?P<local>\S{1,80}:\S{1,10}) +(?P<peer>\S{1,80}:\S{1,10})(?: .{0,2000})?"
)
_BARE = re.compile(
    rf"^(?:(?:tcp|udp) +)?(?:{_STATES}) +\d{{1,12}} +\d{{1,12}} +\S{{2,80}}:(?:\d{{1,5}}|\*) +\S{{1,80}}:(?:\d{{1,5}}|\*)(?:\s|$)"
    r"|^(?:tcp|udp)6? +\d{1,12} +\d{1,12} +\S{2,80}:(?:\d{1,5}|\*) +\S{1,80}:(?:\d{1,5}|\*)(?:\s|$)",
    re.MULTILINE,
)
_NETSTAT = re.compile(
    r"(?P<proto>tcp|udp|raw|sctp)6? +(?P<received>\d{1,12}) +(?P<sent>\d{1,12}) +(?P<local>\S{1,80}:\S{1,6}) +"
    r"(?P<peer>\S{1,80}:\S{1,6})(?: +(?P<state>[A-Z]\w{3,12}))?(?: .{0,500})?"
)
_LIKE = re.compile(rf"(?:(?:tcp|udp|raw)\S? +)?(?:{_STATES}) +\d|(?:tcp|udp)6? +\d+ +\d+ ")
_CALLED = {"ESTABLISHED": "ESTAB", "FIN_WAIT1": "FIN-WAIT-1", "FIN_WAIT2": "FIN-WAIT-2", "CLOSE": "CLOSED"}


def recognises(head: str) -> bool:
    return _HEAD.search(head) is not None or _BARE.search(head) is not None


@limited("sockets", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    for line in text.splitlines():
        if said := _SS.fullmatch(line.rstrip()) or _NETSTAT.fullmatch(line.rstrip()):
            yield _socket(said, file)
    yield from unread(alike(text, _LIKE, _SS, _NETSTAT), file, "sockets")


def _socket(said: re.Match[str], file: str) -> Socket:
    state = said["state"] or "UNCONN"
    return Socket(
        proto=said["proto"] or "tcp",
        state=_CALLED.get(state, state.replace("_", "-")),
        local=printable(said["local"]),
        peer=printable(said["peer"]),
        received=int(said["received"]),
        sent=int(said["sent"]),
        file=file,
    )
