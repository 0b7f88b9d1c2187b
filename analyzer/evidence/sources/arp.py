"""`arp -an` and `arp -n`: what the node knows of its IPv4 neighbours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from analyzer.capture.naming import printable
from analyzer.evidence.facts import Caveat, Neighbour, unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.evidence.facts import Fact

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
_HEAD = re.compile(r"^Address +HWtype +HWaddress +Flags", re.MULTILINE)
_LIKE = re.compile(r"\s*(?:\S{1,255} \([\d.]{7,15}\) at |[\d.]{7,15} +ether )")


def recognises(head: str) -> bool:
    """Say whether a neighbour is told, in either form."""
    return re.search(rf"^{_LINE.pattern}", head, re.MULTILINE) is not None or _HEAD.search(head) is not None


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the neighbours."""
    kept = 0
    lost: list[str] = []
    for line in text.splitlines():
        said = _LINE.fullmatch(line.strip()) or _ROW.fullmatch(line.strip())
        if not said:
            if _LIKE.match(line):
                lost.append(line)
            continue
        kept += 1
        if kept > MOST:
            continue
        mac = said["mac"] if said["mac"] and said["mac"] != "<incomplete>" else None
        permanent = "M" in (said["perm"] or "")
        yield Neighbour(
            address=said["address"],
            dev=printable(said["dev"]),
            mac=mac.lower() if mac else None,
            state="INCOMPLETE" if mac is None else "PERMANENT" if permanent else "",
            file=file,
        )
    yield from unread(lost, file, "neighbours")
    if kept > MOST:
        yield Caveat(says=f"{file}: {kept - MOST} neighbours beyond the first {MOST} were left out")
