"""`ss` and `netstat -an`, with timers and `ss -i`'s details or without: the node's own sockets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from analyzer.capture.naming import printable
from analyzer.evidence.facts import Caveat, Socket, alike, unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.evidence.facts import Fact

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
    r"(?P<local>\S{1,80}:\S{1,10}) +(?P<peer>\S{1,80}:\S{1,10})(?P<rest>(?: .{0,2000})?)"
)
_BARE = re.compile(
    rf"^(?:(?:tcp|udp) +)?(?:{_STATES}) +\d{{1,12}} +\d{{1,12}} +\S{{2,80}}:(?:\d{{1,5}}|\*) +\S{{1,80}}:(?:\d{{1,5}}|\*)(?:\s|$)"
    r"|^(?:tcp|udp)6? +\d{1,12} +\d{1,12} +\S{2,80}:(?:\d{1,5}|\*) +\S{1,80}:(?:\d{1,5}|\*)(?:\s|$)",
    re.MULTILINE,
)
_NETSTAT = re.compile(
    r"(?P<proto>tcp|udp|raw|sctp)6? +(?P<received>\d{1,12}) +(?P<sent>\d{1,12}) +(?P<local>\S{1,80}:\S{1,6}) +"
    r"(?P<peer>\S{1,80}:\S{1,6})(?: +(?P<state>[A-Z]\w{3,12}))?(?P<rest>(?: .{0,500})?)"
)
_LIKE = re.compile(rf"(?:(?:tcp|udp|raw)\S? +)?(?:{_STATES}) +\d|(?:tcp|udp)6? +\d+ +\d+ ")
_CALLED = {"ESTABLISHED": "ESTAB", "FIN_WAIT1": "FIN-WAIT-1", "FIN_WAIT2": "FIN-WAIT-2", "CLOSE": "CLOSED"}
_TIMER = re.compile(
    r"timer:\(\w+,[\w.]+,(\d{1,6})\)|\b(?:on|keepalive|timewait|probe) \([\d.]+/(\d{1,6})/\d+\)"
)
_DETAIL = re.compile(r"\b([a-z_]{2,24}):([\w./%-]{1,40})")


def recognises(head: str) -> bool:
    """Say whether one of the heads is there, or a socket as `ss -H` and `grep` leave it."""
    return _HEAD.search(head) is not None or _BARE.search(head) is not None


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the sockets."""
    kept = 0
    pending: tuple[re.Match[str], list[str]] | None = None
    for line in text.splitlines():
        if said := _SS.fullmatch(line.rstrip()) or _NETSTAT.fullmatch(line.rstrip()):
            if pending:
                yield _socket(*pending, file)
            kept += 1
            pending = (said, [said["rest"]]) if kept <= MOST else None
        elif pending and line.startswith((" ", "\t")) and len(pending[1]) < 4:
            pending[1].append(line[:2000])
    if pending:
        yield _socket(*pending, file)
    yield from unread(alike(text, _LIKE, _SS, _NETSTAT), file, "sockets")
    if kept > MOST:
        yield Caveat(says=f"{file}: {kept - MOST} sockets beyond the first {MOST} were left out")


def _socket(said: re.Match[str], rest: list[str], file: str) -> Socket:
    told = " ".join(rest)
    timer = _TIMER.search(told)
    state = said["state"] or "UNCONN"
    return Socket(
        proto=said["proto"] or "tcp",
        state=_CALLED.get(state, state.replace("_", "-")),
        local=printable(said["local"]),
        peer=printable(said["peer"]),
        received=int(said["received"]),
        sent=int(said["sent"]),
        retransmits=int(timer[1] or timer[2]) if timer else None,
        details=dict(_DETAIL.findall(told)),
        file=file,
    )
