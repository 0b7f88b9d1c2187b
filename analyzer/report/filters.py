"""Wireshark display filters: by tuple, valid in every file, and by frame number, valid in one."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

from analyzer.connection.model import Sighting
from analyzer.incident.model import Finding

LENGTH = 1900
"""Characters of one filter; what does not fit is counted."""

_FLOW = re.compile(r"(?P<src>\S{1,80}) > (?P<dst>\S{1,80})/(?P<proto>tcp|udp|icmp|icmpv6)")
_BRACKETED = re.compile(r"\[(?P<host>[^\]]+)\](?::(?P<port>\d{1,5}))?")
_DOTTED = re.compile(r"(?P<host>[0-9.]+):(?P<port>\d{1,5})")


class Filter(NamedTuple):
    """A display filter, and how much did not fit into it."""

    text: str
    hidden: int


def _endpoint(text: str) -> tuple[str, int | None] | None:
    """Return the address and port that *text* names; None where it is not an address."""
    match = _BRACKETED.fullmatch(text) or _DOTTED.fullmatch(text)
    host, port = (match["host"], match["port"]) if match else (text, None)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    # Through the packed form: an IPv6 zone (`%eth0`) is free text and no part of a filter.
    return str(ipaddress.ip_address(address.packed)), int(port) if port else None


def flow(src: str, dst: str, proto: str) -> str | None:
    """Return the filter of both directions of one five-tuple; None where the addresses cannot be read."""
    ends = [_endpoint(src), _endpoint(dst)]
    terms: list[str] = []
    for end in ends:
        if end is None:
            return None
        host, port = end
        terms.append(f"{'ipv6' if ':' in host else 'ip'}.addr == {host}")
        if port is not None and proto in {"tcp", "udp"}:
            terms.append(f"{proto}.port == {port}")
    if proto in {"icmp", "icmpv6"}:
        terms.append(proto)
    return " && ".join(dict.fromkeys(terms))


def connections(findings: Iterable[Finding]) -> Filter:
    """Return the filter of all addresses that the connections of *findings* bear at any point.

    It selects them in the file of every point. What is hidden are connections; the text is empty where no
    address can be read.
    """
    parts: dict[str, None] = {}
    room, hidden = LENGTH, 0
    for finding in findings:
        for term in _terms(finding):
            if term in parts:
                continue
            room -= len(term) + len("() || ")
            if room < 0:
                hidden += 1
                break
            parts[term] = None
    text = " || ".join(f"({part})" for part in parts) if len(parts) > 1 else "".join(parts)
    return Filter(text, hidden)


def _terms(finding: Finding) -> list[str]:
    """Return the filters of the five-tuples of one connection, inner and outer first."""
    named = [_FLOW.fullmatch(text) for text in (finding.inner, finding.outer) if text]
    told = [(match["src"], match["dst"], match["proto"]) for match in named if match]
    proto = told[0][2] if told else "tcp"
    for passage in finding.passages:
        if passage.role not in {"partner", "context", ""}:
            ends = ((s.src, s.dst) if passage.outward else (s.dst, s.src) for s in passage.sightings)
            told += [(src, dst, proto) for src, dst in ends]
    terms = (flow(src, dst, over) for src, dst, over in dict.fromkeys(told))
    return list(dict.fromkeys(term for term in terms if term))


def frames(sightings: Iterable[Sighting]) -> dict[str, Filter]:
    """Return, by file, the filter of the frames that *sightings* name: `frame.number in {12, 40}`."""
    by_file: dict[str, set[int]] = {}
    for sighting in sightings:
        by_file.setdefault(sighting.file, set()).add(sighting.frame)
    return {file: _frame_set(sorted(numbers)) for file, numbers in by_file.items()}


def _frame_set(numbers: list[int]) -> Filter:
    fitting = LENGTH // (len(str(numbers[-1])) + len(", "))
    return Filter("frame.number in {" + ", ".join(map(str, numbers[:fitting])) + "}", len(numbers[fitting:]))
