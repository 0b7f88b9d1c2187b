"""`/proc/net/dev`: what each interface received, sent and dropped."""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.capture.naming import printable
from analyzer.evidence.counting import Counters
from analyzer.evidence.facts import Fact, unread
from analyzer.evidence.links import MOST
from analyzer.evidence.sources import COUNTERS

PURPOSE = COUNTERS

_HEAD = re.compile(r"^ face \|bytes +packets errs drop fifo frame", re.MULTILINE)
_LINE = re.compile(r"^ *(\S{1,64}?):((?: *\d{1,20}(?!\d)){16}) *$", re.MULTILINE)
# `drop` also counts what the device itself missed, see dev_seq_printf_stats.
_NAMES = (
    "rx_bytes", "rx_packets", "rx_errors", "rx_dropped_or_missed", "rx_fifo_errors", "rx_frame_or_length_errors",
    "rx_compressed", "multicast", "tx_bytes", "tx_packets", "tx_errors", "tx_dropped_or_missed", "tx_fifo_errors",
    "collisions", "tx_carrier_or_other_errors", "tx_compressed",
)  # fmt: skip
_LIKE = re.compile(r" *[\w.@-]{1,15}: *\d{1,20} +\d")


def recognises(head: str) -> bool:
    return _HEAD.search(head) is not None


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the counters of each interface."""
    begin = _HEAD.search(text)
    listed = text[begin.end() if begin else 0 :].splitlines()
    yield from unread(
        [line for line in listed if _LIKE.match(line) and not _LINE.match(line)], file, "interfaces"
    )
    for line, _ in zip(_LINE.finditer(text), range(MOST), strict=False):
        values = dict(zip(_NAMES, map(int, line[2].split()), strict=False))
        yield Counters(
            group="interface", of=printable(line[1]), values=values, source="/proc/net/dev", file=file
        )
