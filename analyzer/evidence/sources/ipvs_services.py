"""`ipvsadm -Ln`, with `--stats` or without, and `ipvsadm -Sn` or `ipvsadm-save`: virtual services."""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.evidence.facts import Fact, IpvsService, alike, limited, unread

PURPOSE = "services of the virtual server"

MOST = 50_000
"""Services kept of one file."""
_HEAD = re.compile(r"^Prot(?:ocol)? +LocalAddress:Port", re.MULTILINE)
_SERVICE = re.compile(
    r"(TCP|UDP|SCTP|FWM) +(\[?[\da-fA-F.:]{2,45}\]?:\d{1,5}|\d{1,10})(?: +\S{1,60}){0,12} *"
)
_LIKE = re.compile(r"(?:TCP|UDP|SCTP|FWM) +\S")


def recognises(head: str) -> bool:
    return _HEAD.search(head) is not None


@limited("services", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    for line in text.splitlines():
        if said := _SERVICE.fullmatch(line):
            yield IpvsService(proto=said[1].lower(), address=said[2], file=file)
    yield from unread(alike(text, _LIKE, _SERVICE), file, "services")
