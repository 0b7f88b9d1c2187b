"""`ip link` and `ip addr` as text, with `-d`, `-s`, `-o`, `-br` or without: interfaces, and with `-s` their counters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from analyzer.capture.link import Link
from analyzer.capture.naming import printable
from analyzer.evidence.counting import Counters
from analyzer.evidence.facts import Caveat, Fact, begins, unread
from analyzer.evidence.links import MOST, is_address
from analyzer.evidence.sources import LINKS

PURPOSE = LINKS

_NAME = r"(?P<name>[^\s:@]{1,64})(?:@(?P<parent>[^\s:]{1,64}))?"
_BEGIN = re.compile(rf"(?P<index>\d{{1,10}}): {_NAME}:? +(?:<(?P<flags>[A-Z0-9_,-]*)>(?P<rest>.*)|inet6? )")
_STATES = "UP|DOWN|UNKNOWN|LOWERLAYERDOWN|DORMANT|NOTPRESENT|TESTING"
_BRIEF = re.compile(rf"{_NAME} +(?P<state>{_STATES})(?: +(?P<rest>\S.*))?")
_BRIEF_SAYS = re.compile(
    rf"{_NAME} +(?:{_STATES}) +(?:[\da-f]{{2}}(?::[\da-f]{{2}}){{5}} <|[\da-f.:]+/\d+(?: |$))"
)
_MAC = re.compile(r"\blink/ether ([\da-f]{2}(?::[\da-f]{2}){5})\b")
_BRIEF_MAC = re.compile(r"([\da-f]{2}(?::[\da-f]{2}){5}) <")
_ADDRESS = re.compile(r"\binet6? ([\da-fA-F.:]{2,45})(?:/\d+)?(?: peer \S+)? ")
_KINDS = (
    "bridge|bond|vlan|veth|vxlan|macvlan|macvtap|ipvlan|ipip|sit|gre|gretap|ip6gre|ip6gretap|ip6tnl|vti|vti6|geneve"
    "|wireguard|dummy|ifb|tun|vrf|xfrm|team|nlmon|netkit|bareudp|amt|hsr|macsec"
)
_KIND = re.compile(rf"(?:^|\\)\s+({_KINDS})(?: (.*?))?(?:\\|$)")
_HAIRPIN = re.compile(r"\s(?:bridge_slave .*)?hairpin (on|off)\b")
_SETTINGS = re.compile(r"\b(id|local|remote|dev|dstport|port|mode|protocol|table|ttl|group) (\S{1,64})")
_COUNTED = re.compile(r"(?:^|\\)\s+([RT]X)(?: errors)?: +(\D*?) *(?:\\|$)")
_PLAIN = {"mcast": "multicast", "collsns": "collisions", "transns": "carrier_changes"}
_COLUMNS = {
    "bytes": "bytes", "packets": "packets", "errors": "errors", "dropped": "dropped", "missed": "missed_errors",
    "overrun": "over_errors", "length": "length_errors", "crc": "crc_errors", "frame": "frame_errors",
    "fifo": "fifo_errors", "carrier": "carrier_errors", "aborted": "aborted_errors", "window": "window_errors",
    "heartbt": "heartbeat_errors", "heartbeat": "heartbeat_errors", "nohandler": "nohandler",
}  # fmt: skip
"""`ip -s`'s heads of columns to its names in JSON."""


def recognises(head: str) -> bool:
    return begins(head, _BEGIN.pattern) or _is_brief(head)


def _is_brief(head: str) -> bool:
    return any(_BRIEF_SAYS.match(line) for line in head.splitlines())


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the interfaces, each with the addresses and counters that follow it."""
    found: dict[tuple[int, str], _Interface] = {}
    here: _Interface | None = None
    left_out = 0
    lost: list[str] = []
    brief = _is_brief(text)
    for line in text.splitlines():
        if begin := _BEGIN.match(line):
            key = int(begin["index"]), begin["name"]
            fits = 0 < key[0] < 1 << 31 and (len(found) < MOST or key in found)
            left_out += not fits
            here = found.setdefault(key, _Interface()) if fits else None
            if here:
                here.head(begin)
        elif not line.startswith((" ", "\t")):
            here = None
            if re.match(r"\d{1,10}: \S", line):
                lost.append(line)
            if brief and (said := _BRIEF.fullmatch(line.rstrip())):
                yield _brief(said, file)
        if here:
            here.line(line)
    for (index, name), interface in found.items():
        yield from interface.facts(index, printable(name), file)
    yield from unread(lost, file, "interfaces")
    if left_out:
        yield Caveat(
            says=f"{file}: {left_out} interfaces were left out: beyond the first {MOST}, or without an index"
        )


class _Interface:
    """What the lines of one interface tell."""

    def __init__(self) -> None:
        self._said: dict[str, Any] = {}
        self._macs: list[str] = []
        self._addresses: list[str] = []
        self._counters: dict[str, int] = {}
        self._columns: list[str] = []

    def head(self, begin: re.Match[str]) -> None:
        """Read an interface's first line."""
        if begin["parent"]:
            self._said.setdefault("parent", printable(begin["parent"]))
        if begin["flags"] is None:
            return
        words = begin["rest"].split("\\")[0].split()
        told = dict(zip(words[::2], words[1::2], strict=False))
        mtu = told.get("mtu", "")
        self._said |= {
            "flags": frozenset(filter(None, begin["flags"].split(","))),
            "mtu": int(mtu) if mtu.isascii() and mtu.isdecimal() and len(mtu) < 10 else None,
            "master": printable(told.get("master", "")[:64]),
            "state": printable(told.get("state", "")[:20]),
        }

    def line(self, line: str) -> None:
        """Read a line, the first or a further one."""
        if mac := _MAC.search(line):
            self._macs.append(mac[1])
        if address := _ADDRESS.search(line):
            self._addresses.append(address[1])
        if (kind := _KIND.search(line)) and "kind" not in self._said:
            settings = dict(_SETTINGS.findall((kind[2] or "")[:1000]))
            if "dstport" in settings:
                settings["port"] = settings.pop("dstport")
            self._said |= {
                "kind": kind[1],
                "settings": {key: printable(value) for key, value in settings.items()}
                | self._said.get("settings", {}),
            }
        if hands := _HAIRPIN.search(line):
            self._said["settings"] = {**self._said.get("settings", {}), "hairpin": hands[1]}
        if heads := _COUNTED.match(line):
            way = heads[1].lower()
            self._columns = [
                _PLAIN.get(head) or (f"{way}_{_COLUMNS[head]}" if head in _COLUMNS else "")
                for head in heads[2].split()
            ]
        elif self._columns:
            cells = line.split()
            if all(re.fullmatch(r"[0-9]{1,20}", cell) for cell in cells):
                self._counters |= {
                    head: int(cell) for head, cell in zip(self._columns, cells, strict=False) if head
                }
            self._columns = []

    def facts(self, index: int, name: str, file: str) -> Iterator[Fact]:
        """Give what was read."""
        addresses = dict.fromkeys(address for address in self._addresses if is_address(address))
        mac = self._macs[0] if self._macs else None
        yield Link(index=index, name=name, mac=mac, addresses=tuple(addresses), file=file, **self._said)
        if self._counters:
            yield Counters(group="interface", of=name, values=self._counters, source="ip -s link", file=file)


def _brief(said: re.Match[str], file: str) -> Link:
    rest = said["rest"] or ""
    mac = _BRIEF_MAC.match(rest)
    flags = re.search(r"<([A-Z0-9_,-]+)>", rest)
    addresses = (word.partition("/")[0] for word in rest.split()) if not mac else ()
    return Link(
        index=None,
        name=printable(said["name"]),
        mac=mac[1] if mac else None,
        addresses=tuple(address for address in addresses if is_address(address)),
        file=file,
        flags=frozenset(flags[1].split(",")) if flags else frozenset(),
        state=said["state"],
        parent=printable(said["parent"] or ""),
    )
