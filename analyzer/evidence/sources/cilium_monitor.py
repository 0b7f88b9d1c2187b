"""`cilium monitor -t drop`: one line per packet that Cilium's own datapath dropped.

xx drop (Policy denied) flow 0x28c644b8 to endpoint 33, ... identity 2->4521: 10.0.2.88:52104 -> 10.0.2.31:80 tcp SYN
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.capture.naming import printable
from analyzer.evidence.drops import MOST, DropRecord, address, number
from analyzer.evidence.facts import Fact, begins, limited, unread
from analyzer.evidence.sources import DROPS

PURPOSE = DROPS

LIMIT = 64 << 20
"""Bytes read; a line has about 200."""
_DROP = re.compile(
    r"xx drop \(([^()\n,]{1,80}?)(?: \([^()\n]{1,20}\))?(?:, [^()\n]{0,80})?\) (?:flow (0x[0-9a-f]{1,8}) )?([^\n]{1,400})"
)
_FILE = re.compile(r"\bfile (\w{1,40}\.[ch])(?::| line )(\d{1,6})")
_PACKET = re.compile(r": (\S{2,60}) -> (\S{2,60})(?: (\w{1,12}))?")


def recognises(head: str) -> bool:
    return begins(head, rf"(?:\S{{1,40}} )?{_DROP.pattern}")


@limited("dropped packets", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    lost: list[str] = []
    for count, line in enumerate(text.splitlines(), 1):
        if "xx drop (" not in line[:64]:
            continue
        if not (found := _DROP.search(line)):
            lost.append(line)
            continue
        where, packet = _FILE.search(found[3]), _PACKET.search(found[3])
        src, sport = _endpoint(packet[1] if packet else "")
        dst, dport = _endpoint(packet[2] if packet else "")
        proto = packet[3].lower() if packet and packet[3] else ""
        yield DropRecord(
            file=file,
            line=count,
            source="cilium monitor",
            reason=printable(found[1]).upper().replace(" ", "_"),
            location=f"{where[1]}:{where[2]}" if where else "",
            proto=proto if proto in ("tcp", "udp", "sctp") else "",
            src=src,
            dst=dst,
            sport=sport,
            dport=dport,
        )
    yield from unread(lost, file, "dropped packets")


def _endpoint(text: str) -> tuple[str, int | None]:
    host, _, port = text.rpartition(":")
    if found := address(host):
        return found, number(port, 0xFFFF)
    return address(text), None
