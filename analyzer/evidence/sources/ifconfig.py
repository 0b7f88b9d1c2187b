"""`ifconfig`, of net-tools new and old: interfaces without an index, their addresses, state and counters."""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.capture.link import Link
from analyzer.capture.naming import printable
from analyzer.evidence.counting import Counters
from analyzer.evidence.facts import Fact, sections
from analyzer.evidence.links import MOST, is_address
from analyzer.evidence.sources import LINKS

PURPOSE = LINKS

_BEGIN = re.compile(
    r"^(?P<name>[^\s:]{1,64}(?::\d+)?)(?:: flags=\d+<(?P<flags>[A-Z,]*)> +mtu (?P<mtu>\d{1,9})"
    r"|(?::\w+)? +Link encap:\S+)", re.MULTILINE
)  # fmt: skip
_ADDRESS = re.compile(r"\binet6? (?:addr: ?)?([\da-fA-F.:]{2,45})")
_MAC = re.compile(r"(?:\bether|HWaddr) ([\da-fA-F]{2}(?::[\da-fA-F]{2}){5})\b")
_OLD = re.compile(r"^\s+((?:[A-Z]+ )+) ?MTU:(\d{1,9})", re.MULTILINE)
_PAIR = re.compile(r"\b(packets|bytes|errors|dropped|overruns|frame|carrier|collisions)[ :](\d{1,20})")
_CALLED = {
    # /proc/net/dev adds what the device missed to what was dropped (dev_seq_printf_stats).
    "dropped": "dropped_or_missed", "overruns": "fifo_errors", "frame": "frame_or_length_errors",
    "carrier": "carrier_or_other_errors",
}  # fmt: skip


def recognises(head: str) -> bool:
    return _BEGIN.search(head) is not None


def parse(text: str, file: str) -> Iterator[Fact]:
    for begin, rest in sections(text, _BEGIN, MOST):
        body = rest.partition("\n\n")[0]  # other output may follow
        old = _OLD.search(body)
        words = (
            (begin["flags"] or "").split(",") if begin["flags"] is not None else old[1].split() if old else []
        )
        flags = {"LOWER_UP" if word == "RUNNING" else word for word in words if word}
        mtu = begin["mtu"] or (old[2] if old else None)
        mac = _MAC.search(body)
        name = printable(begin["name"].partition(":")[0])
        yield Link(
            index=None,
            name=name,
            mac=mac[1].lower() if mac else None,
            addresses=tuple(address for address in _ADDRESS.findall(body) if is_address(address)),
            file=file,
            mtu=int(mtu) if mtu else None,
            flags=frozenset(flags),
            state="" if not flags else "UP" if {"UP", "LOWER_UP"} <= flags else "DOWN",
        )
        if values := _counters(body):
            yield Counters(group="interface", of=name, values=values, source="ifconfig", file=file)


def _counters(body: str) -> dict[str, int]:
    values: dict[str, int] = {}
    way = "rx"
    for line in body.splitlines():
        if told := re.match(r"\s+([RT]X) ", line):
            way = told[1].lower()
        for name, value in _PAIR.findall(line):
            values["collisions" if name == "collisions" else f"{way}_{_CALLED.get(name, name)}"] = int(value)
    return values
