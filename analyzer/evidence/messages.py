"""What the kernel's messages beside conntrack's say of lost packets, and the packets that they print."""

from __future__ import annotations

import re
from typing import Any

from analyzer.capture.naming import printable
from analyzer.evidence.drops import address, number
from analyzer.evidence.facts import About

_IP = r"(?:[\da-fA-F]{0,4}[.:][\da-fA-F.:]{1,44}|\[[\da-fA-F.:]{2,45}\])"
_DEV = r"[^\s:,]{1,64}"
# What a message tells of, what a line must hold to be looked at closely (most of a log holds none of it), and its pattern.
# Groups are fields of `LogLine`.
_MESSAGES: tuple[tuple[About, str, str], ...] = (
    # ip_handle_martian_source: the packet's destination comes first.
    ("martian", "martian", rf"martian (?:source|destination) (?P<dst>{_IP}) from (?P<src>{_IP}), (?:on )?dev (?P<iif>{_DEV})"),
    ("neighbour-overflow", "overflow", r"(?:neighbour: )?\w+_cache: neighbou?r table overflow|[Nn]eighbour table overflow"),
    ("route-overflow", "overflow|Route cache", r"dst cache overflow|Route cache is full"),
    # udp_error, __udp4_lib_rcv
    ("bad-checksum", "checksum",
     rf"(?P<proto>UDP|TCP)(?:v6|-?Lite\w*)?: bad checksum\. From (?P<src>{_IP}):(?P<sport>\d{{1,5}}) "
     rf"to (?P<dst>{_IP}):(?P<dport>\d{{1,5}}) ulen \d+"),
    ("bad-checksum", "csum", rf"(?P<iif>{_DEV}): hw csum failure"),
    ("bad-checksum", "checksum|csum", r"(?P<proto>TCP|UDP)(?:v6)?: [^\n]{0,80}\bbad (?:tcp |udp )?(?:checksum|csum)"),
    ("short-packet", "short packet",
     rf"(?P<proto>UDP)(?:v6|-?Lite\w*)?: short packet: From (?P<src>{_IP}):(?P<sport>\d{{1,5}}) \d+/\d+ "
     rf"to (?P<dst>{_IP}):(?P<dport>\d{{1,5}})"),
    ("duplicate-address", "duplicate", rf"IPv6: (?P<iif>{_DEV}): IPv6 duplicate address (?P<src>{_IP})"),
    ("tx-timeout", "NETDEV WATCHDOG", rf"NETDEV WATCHDOG: (?P<iif>{_DEV}) \([^)\n]{{0,64}}\): transmit queue \d+ timed out"),
    ("link-down", "disabling it", rf"for interface (?P<iif>{_DEV}), disabling it"),
    ("link-down", "link ", rf"link status definitely down for interface (?P<iif>{_DEV})"),
    ("link-up", "link ", rf"link status definitely up for interface (?P<iif>{_DEV})"),
    ("link-down", r"entered \w+ state", rf"port \d{{1,6}}\((?P<iif>{_DEV})\) entered disabled state"),
    ("link-up", r"entered \w+ state", rf"port \d{{1,6}}\((?P<iif>{_DEV})\) entered forwarding state"),
    ("link-down", "[Ll]ink ", rf"(?:ADDRCONF\([\w:]+\): )?(?P<iif>{_DEV}):? (?:NIC )?[Ll]ink (?:is (?:not ready|[Dd]own)|down)"),
    ("link-down", "carrier", rf"(?P<iif>{_DEV}): [Ll]ost carrier"),
    ("link-up", "[Ll]ink ", rf"(?P<iif>{_DEV}):? (?:NIC )?[Ll]ink (?:is [Uu]p|up|becomes ready)"),
    ("link-up", "carrier", rf"(?P<iif>{_DEV}): [Gg]ained carrier"),
    ("syn-flood", "SYN flood", rf"[Pp]ossible SYN flooding on port (?:(?P<dst>{_IP}):)?(?P<dport>\d{{1,5}})\b"),
    ("tcp-memory", "TCP: ", r"TCP: (?:out of memory|too many (?:of )?orphaned sockets)[^\n]{0,80}"),
    ("time-wait-overflow", "overflow", r"(?:TCP: )?time wait bucket table overflow"),
    ("expectations-full", "nf_c", r"nf_conntrack: expectation table full"),
    ("helper", "nf_c", r"nf_conntrack: (?:default )?automatic helper assignment [^\n]{0,200}"),
    ("helper", "nf_c", r"nf_ct_(?:ftp|sip|h323|irc|tftp|amanda|pptp|sane|snmp|netbios_ns|helper)\w*: [^\n]{1,200}?(?= IN=|$)"),
    ("ipvs", "IPVS",
     rf"IPVS: (?:\w+: )?(?:(?P<proto>TCP|UDP|SCTP) (?P<dst>{_IP}):(?P<dport>\d{{1,5}}) - )?[^\n]{{1,200}}"),
    ("out-of-memory", "emory|oom-killer", r"Out of memory: Kill[^\n]{1,120}|invoked oom-killer"),
)  # fmt: skip
_NEEDLES = re.compile("|".join(dict.fromkeys(needle for _, needle, _ in _MESSAGES)) + "| OUT=")
_COMPILED = [(about, re.compile(rf"(?<![\w.-]){pattern}")) for about, _, pattern in _MESSAGES]
_RULE = re.compile(r"(?P<said>[^\n]{0,300}?)\bIN=(?P<iif>\S{0,64}) OUT=(?P<oif>\S{0,64}) (?P<rest>[^\n]*)")
_TRACE = re.compile(r"TRACE: (\S{1,200})")
_FIELD = re.compile(r"\b(SRC|DST|SPT|DPT|SEQ|ACK|PROTO)=(\S+)")
# Where a program's name or the time since boot ends, a logged rule's prefix begins.
_PREFIX = re.compile(
    r"^.*(?:\bkernel: ?(?:\[ *\d+\.\d+\] ?)?|\[ *\d+\.\d+\] ?|^\[\w{3} \w{3} +\d+ [\d:]{8} \d{4}\] ?)"
)


def worth(line: str) -> bool:
    """Say whether a line may hold a message of these."""
    return _NEEDLES.search(line) is not None


def message(line: str) -> tuple[int, About, str, dict[str, Any]] | None:
    """Read a line: where its message begins, what it tells of, its words, and fields of `LogLine`."""
    for about, pattern in _COMPILED:
        if said := pattern.search(line):
            return said.start(), about, printable(said[0][:200]), _fields(said.groupdict())
    said = _RULE.search(line)
    if not said or "SRC=" not in said["rest"] or said["said"].startswith("PACKET: "):  # of xtables-monitor
        return None
    fields = packet(said["rest"]) | {"iif": printable(said["iif"]), "oif": printable(said["oif"])}
    if trace := _TRACE.search(said["said"]):
        return trace.start(), "trace", printable(trace[1]), fields
    stamp = _PREFIX.match(said["said"])
    begin = stamp.end() if stamp else 0
    return begin, "rule-log", printable(said["said"][begin:].strip()[:200]), fields


def packet(text: str) -> dict[str, Any]:
    """Read the packet that netfilter prints (nf_log_ipv4_packet): `SRC=10.0.0.1 DST=... PROTO=TCP SPT=...`."""
    # A packet that came in a tunnel or in an ICMP error is told after the outer one.
    fields: dict[str, str] = {}
    for name, value in _FIELD.findall(text):
        fields.setdefault(name, value)
    return {
        "proto": printable(fields.get("PROTO", "").lower()[:16]),
        "src": address(fields.get("SRC", "")),
        "dst": address(fields.get("DST", "")),
        "sport": number(fields.get("SPT"), 0xFFFF),
        "dport": number(fields.get("DPT"), 0xFFFF),
        "seq": number(fields.get("SEQ"), 0xFFFFFFFF),
        "ack": number(fields.get("ACK"), 0xFFFFFFFF),
    }


def _fields(groups: dict[str, str | None]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for name, value in groups.items():
        if value is None:
            continue
        if name in ("src", "dst"):
            said[name] = address(value)
        elif name in ("sport", "dport"):
            said[name] = number(value, 0xFFFF)
        elif name == "proto":
            said[name] = value.lower()
        else:
            said[name] = printable(value)
    return said
