"""ICMP errors as tcpdump names them, and the packet that one is about."""

from __future__ import annotations

import re

from analyzer.capture.listing import crafting
from analyzer.capture.listing.listed import TCP, UDP, Listed, port
from analyzer.capture.listing.numbers import FLOWS

ERRORS: tuple[tuple[str, tuple[int, int], tuple[int, int]], ...] = (
    (r"(?:udp|tcp) port .* unreachable|unreachable port", (3, 3), (1, 4)),
    (r"protocol \d+ unreachable", (3, 2), (1, 0)),
    (r"need to frag|packet too big", (3, 4), (2, 0)),
    (r"net \S+ unreachable - admin prohibited", (3, 9), (1, 1)),
    (r"host \S+ unreachable - admin prohibited filter|unreachable prohibited", (3, 13), (1, 1)),
    (r"host \S+ unreachable - admin prohibited", (3, 10), (1, 1)),
    (r"net \S+ unreachable|unreachable route", (3, 0), (1, 0)),
    (r"unreachable", (3, 1), (1, 3)),
    (r"time exceeded in-transit", (11, 0), (3, 0)),
    (r"reassembly time exceeded|time exceeded", (11, 1), (3, 1)),
    (r"redirect net", (5, 0), (137, 0)),
    (r"redirect", (5, 1), (137, 0)),
    (r"source quench", (4, 0), (4, 0)),
    (r"parameter problem", (12, 0), (4, 0)),
    (r"neighbor solicitation", (135, 0), (135, 0)),
    (r"neighbor advertisement", (136, 0), (136, 0)),
    (r"router solicitation", (10, 0), (133, 0)),
    (r"router advertisement", (9, 0), (134, 0)),
    (r"multicast listener report v2", (143, 0), (143, 0)),
    (r"multicast listener report", (131, 0), (131, 0)),
    (r"multicast listener", (130, 0), (130, 0)),
)
QUOTES = ((3, 4, 5, 11, 12), (1, 2, 3, 4))
_ABOUT = re.compile(
    r"ICMP6?[ ,].{0,60}?(?P<dst>[0-9a-f]{1,4}[.:][0-9a-f.:]{1,45})(?: (?P<proto>tcp|udp) port (?P<port>[\w-]{1,40}))?",
    re.ASCII,
)
MTU = re.compile(r"\bmtu (\d{1,5})\b", re.ASCII)


class Unanswered:
    """What an ICMP error may be about, which without `-v` names the address that it was for, and perhaps the port."""

    def __init__(self) -> None:
        self._sent: dict[tuple[object, ...], Listed | None] = {}

    def follow(self, packet: Listed) -> None:
        """Remember a packet until an error is about it; of packets of two flows either may be meant."""
        if len(self._sent) >= 2 * FLOWS:
            self._sent.clear()
        ends = packet.src, packet.dst
        for key in (ends, (*ends, packet.proto, packet.dport)):
            other = self._sent.get(key, packet)
            same = other is not None and (packet.proto, packet.sport, packet.dport) == (
                other.proto,
                other.sport,
                other.dport,
            )
            self._sent[key] = packet if same else None

    def quoted(self, *key: object) -> Listed | None:
        """The one that was sent since the error before: from whom, to whom, and to which protocol and port if they are told."""
        found = self._sent.pop(key, None)
        self._sent.pop(key[:2], None)
        return found


def about(packet: Listed, text: str, unanswered: Unanswered) -> bytes | None:
    """What the error is about, by the address and port that it names: the packet to them that its receiver sent before."""
    found = _ABOUT.search(text)
    if found is None:
        return None
    key: tuple[object, ...] = (packet.dst, found["dst"].rstrip(":"))
    if found["port"]:
        key += (TCP if found["proto"] == "tcp" else UDP, port(found["port"]))
    one = unanswered.quoted(*key)
    if one is None:
        return None
    return crafting.quoted(one.src, one.dst, one.proto, one.sport, one.dport, one.ip_id or 0)
