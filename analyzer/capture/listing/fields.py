"""What tshark tells field by field: `-T fields` with a header, `-T json` and `-T ek`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from analyzer.capture.listing import crafting
from analyzer.capture.listing.listed import (
    ICMP,
    ICMP6,
    TCP,
    UDP,
    Listed,
    Notes,
    mac,
    nanoseconds,
    split,
)
from analyzer.capture.listing.numbers import Numbers

Get = Callable[[str], str | None]

NAME = re.compile(r"(?:_ws\.)?[a-z0-9_]+(?:\.[A-Za-z0-9_]+)+")
RECORD = 4 << 20
"""Characters of one packet's JSON, at most."""
_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r"[\s,\[\]]*")
_ERRORS = {ICMP: (3, 4, 5, 11, 12), ICMP6: (1, 2, 3, 4)}


def heading(text: str) -> tuple[list[str], str] | None:
    """The fields' names and what separates them, if that is what the line holds."""
    for separator in ("\t", ",", ";", "|", " "):
        names = [name.strip('"') for name in text.strip().split(separator)]
        if len(names) > 2 and all(NAME.fullmatch(name) for name in names):
            known = {name.split(".")[0] for name in names}
            return (names, separator) if known & {"ip", "ipv6", "tcp", "udp", "icmp", "arp"} else None
    return None


def table(lines: Iterable[tuple[int, str]], notes: Notes) -> Iterator[Listed]:
    """Read `-T fields -E header=y`, one packet a line.

    Args:
        lines: Number, from 1, and text of each.
        notes: Filled with what is noticed.
    """
    names: list[str] = []
    separator, reading = "\t", _Reading(notes)
    for line, text in lines:
        if not names or text.strip() == "":
            found = heading(text)
            names, separator = found or (names, separator)
            continue
        values = split(text, separator)
        if len(values) != len(names):
            notes.not_understood(line)
            continue
        yield from reading.packets(dict(zip(names, values, strict=True)).get, line)


def documents(lines: Iterable[tuple[int, str]], notes: Notes) -> Iterator[Listed]:
    """Read `-T json`, or `-T ek`, of any layout: each packet is an object that has `layers`.

    Args:
        lines: Number, from 1, and text of each.
        notes: Filled with what is noticed.
    """
    reading = _Reading(notes)
    for line, found in _objects(lines, notes):
        source = found.get("_source")
        layers = (source if isinstance(source, dict) else found).get("layers")
        if isinstance(layers, dict):
            yield from reading.packets(_Layers(layers).get, line)
        elif "index" not in found:
            notes.not_understood(line)


def _objects(lines: Iterable[tuple[int, str]], notes: Notes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each top-level object, or each of a top-level list, with its line; decoded one by one, in bounded memory."""
    held, first, tried = "", 0, 0
    for line, text in lines:
        first = first if held else line
        held += text + "\n"
        # Decoded where a packet ends as tshark lays it out; of any other layout when there is twice as much as at the last
        # try, so that the whole is linear.
        ends = text.rstrip(" ,]") in ("}", "  }", "\t}") or (
            text[:1] == "{" and text.rstrip(" ,]")[-1:] == "}"
        )
        if not ends and len(held) < 2 * tried + (1 << 16):
            continue
        found, held = _decoded(held)
        for one in found:
            yield first, one
            first = line
        tried = len(held)
        if tried > RECORD:
            notes.not_understood(first)
            held, tried = "", 0
    found, held = _decoded(held)
    for one in found:
        yield first, one
    if held:
        notes.not_understood(first)


def _decoded(text: str) -> tuple[list[dict[str, Any]], str]:
    """The whole objects with which a text begins, lists around them aside, and what is left of it."""
    found, at = [], 0
    with suppress(ValueError, RecursionError):
        while (at := _BETWEEN.match(text, at).end()) < len(text):  # type: ignore[union-attr]  # matches anything
            value, at = _DECODER.raw_decode(text, at)
            if isinstance(value, dict):
                found.append(value)
    return found, text[at:]


class _Layers:
    """The fields of a packet as JSON nests and names them."""

    def __init__(self, layers: dict[str, Any]) -> None:
        self._layers = layers

    def get(self, name: str) -> str | None:
        """A field's value: `-T json` has it in its layer, `-T ek` by a longer name, `-e` beside all others."""
        layer = name.split(".")[0]
        found = self._within(self._layers, layer, name)
        for error in ("icmp", "icmpv6"):
            quoting = self._layers.get(error)
            if isinstance(quoting, dict) and layer != error:
                quoted = self._within(quoting, layer, name)
                found = ",".join(value for value in (found, quoted) if value is not None) or None
        return found

    @staticmethod
    def _within(layers: dict[str, Any], layer: str, name: str) -> str | None:
        within = layers.get(layer)
        if isinstance(within, list):
            within = within[-1] if within else None
        longer = name.replace(".", "_")
        for place, key in ((within, name), (within, f"{layer}_{longer}"), (layers, name), (layers, longer)):
            if isinstance(place, dict) and key in place:
                return _text(place[key])
        return None


def _text(value: Any) -> str | None:
    if isinstance(value, list):
        return ",".join(str(one) for one in value[:16]) if value else None
    return str(value) if isinstance(value, str | int | float) else None


class _Reading:
    """Makes packets of fields, and notes which are missing."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._numbers = Numbers()

    def packets(self, get: Get, line: int) -> Iterator[Listed]:
        """The packet of a record, if its fields tell one."""
        packet = None
        with suppress(ValueError):
            packet = self._packet(get, line)
        if packet is None:
            if _last(get, "ip.src") or _last(get, "ipv6.src") or _last(get, "arp.src.proto_ipv4"):
                self._notes.not_understood(line)
            return
        yield packet

    def _packet(self, get: Get, line: int) -> Listed | None:
        number, six = _number(get, "frame.number"), _last(get, "ipv6.src") is not None
        when = _last(get, "frame.time_epoch") or _last(get, "frame.time_relative") or ""
        seconds, _, fraction = when.partition(".")
        if not seconds.isdecimal():
            raise ValueError(when)
        packet = Listed(
            number=line if number is None else number, time=nanoseconds(seconds, fraction or "0"), src="", dst="", proto=-1,
            mac_src=mac(_last(get, "eth.src") or _last(get, "sll.src.eth") or ""), mac_dst=mac(_last(get, "eth.dst") or ""),
            interface=_last(get, "frame.interface_name"),
        )  # fmt: skip
        if source := _last(get, "arp.src.proto_ipv4"):
            packet.src, packet.dst = source, _last(get, "arp.dst.proto_ipv4") or "0.0.0.0"  # noqa: S104 - nobody is named
            packet.proto, packet.flags = 0, _number(get, "arp.opcode") or 1
            return packet
        # Of an error the first addresses are its own, and the last those of the packet that it quotes.
        kind = _number(get, "icmp.type", first=True), _number(get, "icmpv6.type", first=True)
        error = kind[0] in _ERRORS[ICMP] or kind[1] in _ERRORS[ICMP6]
        six = six and (kind[1] is not None or _last(get, "ip.src") is None)
        prefix = "ipv6" if six else "ip"
        packet.src = (_first if error else _last)(get, f"{prefix}.src") or ""
        packet.dst = (_first if error else _last)(get, f"{prefix}.dst") or ""
        packet.ttl = _number(get, "ipv6.hlim" if six else "ip.ttl", first=error)
        packet.ip_id = None if six else _number(get, "ip.id", first=error)
        packet.fragment = (_number(get, "ip.frag_offset", first=error) or 0) // 8 & 0x1FFF
        self._missing("ttl", packet.ttl is None)
        self._missing("ip_id", packet.ip_id is None and not six)
        if kind != (None, None):
            return self._icmp(packet, get, six)
        if _last(get, "tcp.srcport"):
            return self._tcp(packet, get)
        if _last(get, "udp.srcport"):
            return self._udp(packet, get)
        packet.proto = _number(get, "ipv6.nxt" if six else "ip.proto") or -1
        packet.length = max((_number(get, "ip.len") or 20) - 20, 0)
        return packet if packet.proto > 0 else None

    def _missing(self, column: str, absent: bool) -> None:
        if absent:
            self._notes.lacks.add(column)

    def _tcp(self, packet: Listed, get: Get) -> Listed:
        packet.proto = TCP
        packet.sport, packet.dport = _needed(get, "tcp.srcport"), _needed(get, "tcp.dstport")
        packet.flags = (_number(get, "tcp.flags") or 0) & 0xFFF
        packet.seq, packet.ack = _number(get, "tcp.seq_raw"), _number(get, "tcp.ack_raw")
        if packet.seq is None and packet.ack is None:
            packet.seq, packet.ack = _number(get, "tcp.seq"), _number(get, "tcp.ack")
            self._notes.relative |= bool(packet.flags & 2) and packet.seq == 0
        self._missing("relative", packet.seq is None)
        packet.window = _number(get, "tcp.window_size_value")
        self._missing("window", packet.window is None)
        packet.length = _number(get, "tcp.len") or 0
        raw = _last(get, "tcp.options")
        packet.options = bytes.fromhex(raw.replace(":", ""))[: crafting.OPTIONS] if raw else b""
        if raw is None:
            stamp, echo = (
                _number(get, "tcp.options.timestamp.tsval"),
                _number(get, "tcp.options.timestamp.tsecr"),
            )
            size = _number(get, "tcp.hdr_len")
            self._missing("options", size != 20)
            packet.options = crafting.linux_options(
                mss=_number(get, "tcp.options.mss_val"),
                stamps=None if stamp is None or echo is None else (stamp, echo),
                scale=_number(get, "tcp.options.wscale.shift"),
            )
        self._numbers.plain(packet)
        return packet

    def _udp(self, packet: Listed, get: Get) -> Listed:
        packet.proto = UDP
        packet.sport, packet.dport = _needed(get, "udp.srcport"), _needed(get, "udp.dstport")
        packet.length = max((_number(get, "udp.length") or 8) - 8, 0)
        payload = _last(get, "udp.payload")
        packet.payload = bytes.fromhex(payload.replace(":", "")) if payload else None
        self._missing("payload", packet.payload is None and packet.length > 0)
        return packet

    def _icmp(self, packet: Listed, get: Get, six: bool) -> Listed:
        name = "icmpv6" if six else "icmp"
        packet.proto = ICMP6 if six else ICMP
        packet.icmp = (
            (_number(get, f"{name}.type", first=True) or 0) & 255,
            ((_number(get, f"{name}.code", first=True) or 0) & 255),
        )
        ident, sequence = (
            (_number(get, "icmpv6.echo.identifier"), _number(get, "icmpv6.echo.sequence_number"))
            if six
            else (_number(get, "icmp.ident"), _number(get, "icmp.seq"))
        )
        packet.word = ((ident or 0) & 0xFFFF) << 16 | (sequence or 0) & 0xFFFF
        total = (
            (_number(get, "ipv6.plen", first=True) or 8)
            if six
            else (_number(get, "ip.len", first=True) or 28) - 20
        )
        packet.length = max(total - 8, 0)
        self._missing("payload", True)
        quoted = [_values(get, f"{prefix}.{end}") for prefix in ("ip", "ipv6") for end in ("src", "dst")]
        src, dst = quoted[2:] if six else quoted[:2]
        if len(src) > 1 and len(dst) > 1:
            proto, names = (TCP, "tcp") if _last(get, "tcp.srcport") else (UDP, "udp")
            ports = (_number(get, f"{names}.{end}port") or 0 for end in ("src", "dst"))
            packet.payload = crafting.quoted(src[-1], dst[-1], proto, *ports)
        return packet


def _values(get: Get, name: str) -> list[str]:
    text = get(name)
    return [value for value in text.split(",") if value] if text else []


def _first(get: Get, name: str) -> str | None:
    return next(iter(_values(get, name)), None)


def _last(get: Get, name: str) -> str | None:
    values = _values(get, name)
    return values[-1] if values else None


def _number(get: Get, name: str, first: bool = False) -> int | None:
    """A field that is a number; of a tunnel's packets the innermost one."""
    text = (_first if first else _last)(get, name)
    if text is None or len(text) > 20:
        return None
    with suppress(ValueError):
        return int(text, 0) if text.lower().startswith("0x") else int(text)
    return None


def _needed(get: Get, name: str) -> int:
    found = _number(get, name)
    if found is None:
        raise ValueError(name)
    return found
