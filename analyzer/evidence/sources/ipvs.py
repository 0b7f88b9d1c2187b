"""`ipvsadm -Lcn`: the connections of the virtual server (IPVS).

They come under this header; `expire` is in minutes and seconds.

    IPVS connection entries
    pro expire state       source             virtual            destination
    TCP 01:57  TIME_WAIT   10.0.0.1:34567     10.96.0.1:443      192.0.2.5:6443
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.evidence.facts import Fact, IpvsConnection, alike, limited, unread

PURPOSE = "connections of the virtual server"

MOST = 100_000
"""Connections kept of one file; each takes half a kilobyte."""
_HEAD = re.compile(r"^pro expire state +source +virtual +destination", re.MULTILINE)
_ENDPOINT = r"(\[?[\da-fA-F.:]{2,45}\]?:\d{1,5})"
_LINE = re.compile(
    rf"([A-Z]{{2,8}}) +(\d{{1,5}}):(\d\d)(?:\.\d+)? +([A-Z_0-9]{{2,20}}) +{_ENDPOINT} +{_ENDPOINT} +{_ENDPOINT}"
)
_LIKE = re.compile(r"(?:TCP|UDP|SCTP) +\d")


def recognises(head: str) -> bool:
    return _HEAD.search(head) is not None


@limited("connections", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    for line in text.splitlines():
        if said := _LINE.fullmatch(line.strip()):
            yield IpvsConnection(
                proto=said[1].lower(),
                expires=int(said[2]) * 60 + int(said[3]),
                state=said[4],
                client=said[5],
                virtual=said[6],
                destination=said[7],
                file=file,
            )
    yield from unread(alike(text, _LIKE, _LINE), file, "connections")
