"""Logs of kube-proxy and CoreDNS: what they could not do.

    E1120 10:26:05.123456       1 proxier.go:1564] "Failed to execute iptables-restore" err="exit status 4: ..." ipFamily="IPv4"
    [ERROR] plugin/errors: 2 shop.example.com. A: read udp 10.244.0.5:41234->192.0.2.53:53: i/o timeout

From kube-proxy, lines of level E and W about rules not written, entries not deleted, ports not opened, and an unreachable API
server (the rules then lag behind). From CoreDNS, queries that its upstream did not answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.capture.naming import printable
from analyzer.evidence.drops import address
from analyzer.evidence.facts import Fact, limited
from analyzer.evidence.network import DaemonLine, Trouble

PURPOSE = "what kube-proxy and CoreDNS could not do: rules not written, an upstream that did not answer"

MOST = 10_000
"""Lines kept of one file."""
_PROXY_FILES = (
    r"(?:proxier|server|server_\w+|conntrack|cleanup|proxy_socket|port_allocator|service_health|node|reflector"
    r"|iptables|ipset|ipvs)"
)
_PROXY = re.compile(
    rf"^.{{0,100}}?\b[EW]\d{{4}} [\d:]{{8}}\.\d{{6}} +\d+ {_PROXY_FILES}\.go:\d+\] (?P<said>.+)$"
)
_DNS = re.compile(
    r"^.{0,100}?\[ERROR\] plugin/errors: -?\d+ (?P<name>\S{1,255}) (?P<type>\S{1,16}): \w+ (?P<proto>udp|tcp) "
    r"(?P<src>\S{1,60}:\d{1,5})->(?P<dst>\S{1,60}:\d{1,5}): (?P<why>.{1,200})$"
)
_PROXY_HEAD = re.compile(
    rf"^.{{0,100}}?\b[IEW]\d{{4}} [\d:]{{8}}\.\d{{6}} +\d+ {_PROXY_FILES}\.go:\d+\] ", re.MULTILINE
)
_DNS_HEAD = re.compile(
    r"^.{0,100}?(?:\[(?:ERROR|INFO|WARNING)\] (?:plugin/\w+: |\S+:\d+ - \d+ \")|CoreDNS-\d)", re.MULTILINE
)
_TROUBLES: tuple[tuple[Trouble, re.Pattern[str]], ...] = (
    ("entries", re.compile(r"(?i)conntrack|stale (?:service|endpoint|udp)|endpoint connections")),
    ("rules", re.compile(
        r"(?i)i(?:p|p6)tables-restore|\bnft\b|sync failed"
        r"|failed to (?:ensure|sync|load|create|execute|commit|list) .*(?:chain|rule|ipset|ipvs|iptables)")),
    ("port", re.compile(
        r"(?i)(?:can't|cannot|failed to|unable to) open (?:node)? ?port|skipping it.*port|address already in use")),
    ("api", re.compile(r"(?i)failed to (?:list|watch)|unable to (?:connect|contact)|connection refused|i/o timeout")),
)  # fmt: skip


def recognises(head: str) -> bool:
    return _PROXY_HEAD.search(head) is not None or _DNS_HEAD.search(head) is not None


@limited("lines of trouble", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the lines that tell of trouble; all others are of no use here."""
    for number, line in enumerate(text.splitlines(), 1):
        if fact := _line(line[:2000], file, number):
            yield fact


def _line(line: str, file: str, number: int) -> DaemonLine | None:
    if "plugin/errors" in line:
        said = _DNS.match(line)
        if said is None:
            return None
        return DaemonLine(
            daemon="CoreDNS",
            about="upstream",
            says=printable(f"{said['name']} {said['type']}: {said['why']}"),
            proto=said["proto"],
            src=_end(said["src"]),
            dst=_end(said["dst"]),
            file=file,
            line=number,
        )
    said = _PROXY.match(line) if ".go:" in line else None
    if said is None:
        return None
    about = next((about for about, pattern in _TROUBLES if pattern.search(said["said"])), None)
    if about is None:
        return None
    return DaemonLine(
        daemon="kube-proxy", about=about, says=printable(said["said"][:300]), file=file, line=number
    )


def _end(text: str) -> str:
    host, _, port = text.rpartition(":")
    known = address(host)
    return (f"[{known}]:{port}" if ":" in known else f"{known}:{port}") if known else ""
