"""`ip route`, as text and as JSON, of one table or all (`show table all`), with several next hops or one.

`route -n` and `netstat -rn` are read too; they show less, and only the main table.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from analyzer.capture.naming import printable
from analyzer.evidence import json_lists
from analyzer.evidence.drops import address
from analyzer.evidence.facts import Caveat, Fact, NextHop, Route, alike, limited, unread

PURPOSE = "which way a packet should have gone"

MOST = 100_000
"""Routes kept of one file; a node with full tables has a million, none of which leads to a pod."""
_HOPS = 512
"""Next hops of one route."""
_KINDS = "unicast|local|broadcast|multicast|anycast|blackhole|unreachable|prohibit|throw"
_LINE = re.compile(rf"(?:({_KINDS}) )?(default|[\da-fA-F.:]{{3,45}}(?:/\d{{1,3}})?)(?: ([^\n]{{1,300}}?))?")
_SAYS = re.compile(
    r"^(?![\da-f]{2}(?::[\da-f]{2}){5} )"
    rf"(?:(?:{_KINDS}) )?(?:default|[\da-f.:]{{3,45}}(?:/\d+)?) (?:via \S+ )?dev \S+ (?!lladdr)"
    r"|^(?:blackhole|unreachable|prohibit|throw) (?:default|[\da-f.:]{3,45}(?:/\d+)?) "
    r"|^[^\n]{0,200}\bnexthop via \S+ +dev \S+", re.M
)  # fmt: skip
_NEIGHBOUR = re.compile(r" (?:INCOMPLETE|REACHABLE|STALE|DELAY|PROBE|FAILED|NOARP|PERMANENT)\b")
_FLAGS = frozenset({"onlink", "linkdown", "dead", "pervasive", "offload"})
_OBJECT = re.compile(r'\{\s*(?:"type"\s*:\s*"\w{1,20}"\s*,\s*)?"dst"\s*:')
"""How a route begins; an entry of a forwarding database has a `dst` further behind."""
_NET_TOOLS = re.compile(r"^Destination +Gateway +Genmask +Flags", re.M)
_ROW = re.compile(
    r"(\d+\.\d+\.\d+\.\d+) +(\d+\.\d+\.\d+\.\d+|\*|-) +(\d+\.\d+\.\d+\.\d+) +([A-Z!]{1,8}) +(.{0,60}?)(\S{1,64})"
)
_LIKE = re.compile(
    rf"(?:(?:{_KINDS}) )?(?:default|\S{{3,45}}/\d{{1,3}}|\d[\d.]+\S*) (?:via|dev|nhid|proto|scope) "
)
_DOTTED = re.compile(r"\d+\.\d+\.\d")


def recognises(head: str) -> bool:
    text = any(not _NEIGHBOUR.search(line) for line in head.splitlines() if _SAYS.match(f"{line.strip()} "))
    told = json_lists.holds(head, "dst", "flags") and _OBJECT.search(head) is not None
    return text or told or _NET_TOOLS.search(head) is not None


@limited("routes", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    yield from unread(_damaged(text), file, "routes")
    damaged: list[str] = []
    lines = text.replace("\\", "\n").splitlines()  # -o has all of a route on one line
    for number, line in enumerate(lines):
        said = _LINE.fullmatch(line.strip())
        if not said or _NEIGHBOUR.search(line):
            continue
        words = (said[3] or "").split()
        told: dict[str, Any] = dict(pairwise(words))
        hops = tuple(_hops(lines, number))
        if not (hops or said[1] or told.keys() & {"dev", "via", "proto"}):
            continue
        if not hops and (("via" in told and not _gateway(words)) or (not said[1] and "dev" not in told)):
            damaged.append(line)
            continue
        ipv6 = ":" in told.get("via", "") or "pref" in told or any(":" in (hop.gateway or "") for hop in hops)
        told |= {"type": said[1], "gateway": told.get("via"), "flags": words}
        if route := _route(said[2], told, hops, file, ipv6=ipv6):
            yield route
    yield from unread(damaged, file, "routes")
    if _NET_TOOLS.search(text):
        yield from _net_tools(lines, file)
    yield from _json(text, file)


def _gateway(words: list[str]) -> bool:
    """Whether an address stands behind `via`, or `inet6` and an address: a gateway of the other family."""
    after = words[words.index("via") + 1 :][:2]
    return bool(after) and bool(address(after[-1] if after[0] in ("inet", "inet6") else after[0]))


def _damaged(text: str) -> list[str]:
    """Lines that begin as routes do, and are none; and rows of `route -n` with cells too few."""
    said = alike(text, _LIKE, _LINE)
    begin = _NET_TOOLS.search(text)
    rows = alike(text[begin.end() :].partition("\n\n")[0], _DOTTED, _ROW) if begin else []
    return [*said, *rows]


def _hops(lines: list[str], number: int) -> Iterator[NextHop]:
    """Read the lines behind a route's own, one for each next hop."""
    for line in lines[number + 1 : number + 1 + _HOPS]:
        words = line.split()
        if not words or words[0] != "nexthop" or not line.startswith((" ", "\t")):
            return
        yield _hop(dict(pairwise(words)) | {"flags": words})


def _hop(told: dict[str, Any]) -> NextHop:
    gateway = told.get("via") or told.get("gateway")
    if isinstance(gateway, dict):  # of the other family: {"family": "inet6", "host": ...}
        gateway = gateway.get("host")
    dev, weight = told.get("dev"), str(told.get("weight", 1))
    return NextHop(
        gateway=printable(gateway[:45]) if isinstance(gateway, str) else None,
        dev=printable(dev[:64]) if isinstance(dev, str) else None,
        weight=int(weight) if re.fullmatch(r"[0-9]{1,9}", weight) else 1,
        flags=_flags(told.get("flags")),
    )


def _net_tools(lines: list[str], file: str) -> Iterator[Route]:
    for line in lines:
        if row := _ROW.fullmatch(line.strip()):
            # A blackhole has no device, and no flag either (fib_flag_trans).
            kind = "unreachable" if "!" in row[4] else "blackhole" if row[6] == "*" else None
            gateway = row[2] if "G" in row[4] else None
            numbers = row[5].split()
            # `route` has the metric first, `netstat -r` other numbers.
            told = {"type": kind, "gateway": gateway, "dev": None if row[6] in "-*" else row[6]}
            if len(numbers) == 3 and "MSS" not in "".join(lines[:5]):
                told["metric"] = numbers[0]
            if route := _route(f"{row[1]}/{row[3]}", told, (), file, ipv6=False):
                yield route


def _json(text: str, file: str) -> Iterator[Route | Caveat]:
    for item in json_lists.objects(text, file, "dst", "flags"):
        if isinstance(item, Caveat):
            yield item
        elif "flags" in item and "state" not in item and isinstance(item.get("dst"), str):
            listed = item.get("nexthops")
            hops = tuple(
                _hop(hop)
                for hop in (listed[:_HOPS] if isinstance(listed, list) else ())
                if isinstance(hop, dict)
            )
            if isinstance(via := item.get("via"), dict):
                item = item | {"gateway": via.get("host")}
            gateways = (item.get("gateway"), *(hop.gateway for hop in hops))
            ipv6 = "pref" in item or any(isinstance(one, str) and ":" in one for one in gateways)
            if route := _route(item["dst"], item | {"src": item.get("prefsrc")}, hops, file, ipv6=ipv6):
                yield route


def _route(
    dst: str, told: dict[str, Any], hops: tuple[NextHop, ...], file: str, *, ipv6: bool
) -> Route | None:
    """Make a route; None where the destination is none."""
    if dst == "default":
        dst = "::/0" if ipv6 else "0.0.0.0/0"
    try:
        network = ipaddress.ip_network(dst, strict=False)
    except ValueError:
        return None
    kind, gateway, dev, table, src = (
        printable(value[:64]) if isinstance(value := told.get(key), str) else None
        for key in ("type", "gateway", "dev", "table", "src")
    )
    metric = str(told.get("metric", ""))
    return Route(
        dst=str(network),
        kind=(kind or "unicast")[:16],
        gateway=None if hops else gateway,
        dev=None if hops else dev,
        table=table or "main",
        file=file,
        nexthops=hops,
        metric=int(metric) if re.fullmatch(r"[0-9]{1,10}", metric) else None,
        src=src,
        flags=_flags(told.get("flags")),
    )


def _flags(said: object) -> frozenset[str]:
    return (
        frozenset(word for word in said if isinstance(word, str)) & _FLAGS
        if isinstance(said, list)
        else frozenset()
    )
