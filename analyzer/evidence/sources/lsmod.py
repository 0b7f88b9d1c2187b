"""`lsmod` and `/proc/modules`: which kernel modules are loaded; built-in ones are not listed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.evidence.facts import Fact, Module, alike, limited, unread

PURPOSE = "which modules are loaded: br_netfilter, NAT helpers"

MOST = 10_000
"""Modules of one file."""
_HEAD = re.compile(r"^Module +Size +Used by", re.MULTILINE)
_LINE = re.compile(
    r"(\w{1,64}) +\d{1,12} +-?\d{1,9}(?: +[\w,-]{1,1000}?)?,?(?: (?:Live|Loading|Unloading) 0x[\da-f]+(?: \(\w+\))?)?"
)
_PROC = re.compile(r"^\w{1,64} \d+ \d+ \S+ (?:Live|Loading|Unloading) 0x", re.MULTILINE)
_LIKE = re.compile(r"\w{1,64} +\d{4,12}\b")


def recognises(head: str) -> bool:
    return _HEAD.search(head) is not None or _PROC.search(head) is not None


@limited("modules", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    begin = _HEAD.search(text)
    listed = text[begin.end() if begin else 0 :]
    for line in listed.splitlines():
        if said := _LINE.fullmatch(line.rstrip()):
            yield Module(name=said[1], file=file)
    yield from unread(alike(listed, _LIKE, _LINE), file, "modules")
