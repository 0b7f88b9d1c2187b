"""`arp -an`, `arp -n` and `/proc/net/arp`: what the node knows of its IPv4 neighbours."""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.capture.naming import printable
from analyzer.evidence.facts import Fact, Neighbour, alike, begins, limited, unread

PURPOSE = "neighbours that did not answer"

MOST = 100_000
"""Neighbours kept of one file."""
_MAC = r"[\da-fA-F]{2}(?::[\da-fA-F]{2}){5}"
_LINE = re.compile(
    rf"\S{{1,255}} \((?P<address>[\d.]{{7,15}})\) at (?P<mac>{_MAC}|<incomplete>)(?: \[\w+\])?(?P<perm> PERM)?"
    r"(?: PUP)?(?: netmask \S+)? on (?P<dev>\S{1,64})"
)
_ROW = re.compile(
    rf"(?P<address>[\d.]{{7,15}}) +(?:ether +(?P<mac>{_MAC})|\(incomplete\)) +(?P<perm>[CM]*) +(?P<dev>\S{{1,64}})"
)
_PROC = re.compile(
    rf"(?P<address>[\d.]{{7,15}}) +0x1 +0x(?P<flags>[\da-f]{{1,2}}) +(?P<mac>{_MAC}) +\S{{1,20}} +(?P<dev>\S{{1,64}})"
)
_HEAD = re.compile(r"^(?:Address +HWtype +HWaddress +Flags|IP address +HW type +Flags)", re.MULTILINE)
_LIKE = re.compile(r"\s*(?:\S{1,255} \([\d.]{7,15}\) at |\S{1,255} +(?:ether |\(incomplete\)|0x1 ))")
_COMPLETE, _PERMANENT = 2, 4
"""Flags that /proc/net/arp has (ATF_COM, ATF_PERM)."""


def recognises(head: str) -> bool:
    return begins(head, _LINE.pattern) or _HEAD.search(head) is not None


@limited("neighbours", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    for line in map(str.strip, text.splitlines()):
        said = _LINE.fullmatch(line) or _ROW.fullmatch(line) or _PROC.fullmatch(line)
        if not said:
            continue
        told = said.groupdict()
        flags = int(told["flags"], 16) if "flags" in told else _COMPLETE
        mac = told["mac"] if told["mac"] and told["mac"] != "<incomplete>" and flags & _COMPLETE else None
        permanent = "M" in (told.get("perm") or "") or flags & _PERMANENT
        yield Neighbour(
            address=said["address"],
            dev=printable(said["dev"]),
            mac=mac.lower() if mac else None,
            state="INCOMPLETE" if mac is None else "PERMANENT" if permanent else "",
            file=file,
        )
    yield from unread(alike(text, _LIKE, _LINE, _ROW, _PROC), file, "neighbours")
