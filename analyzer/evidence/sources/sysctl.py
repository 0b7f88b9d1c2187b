"""`sysctl -a` and parts of it, `grep . /proc/sys/net/...`, and single values as files of their own.

    net.netfilter.nf_conntrack_max = 262144
    /proc/sys/net/netfilter/nf_conntrack_max:262144
    nf_conntrack_max: 262144
    $ cat /proc/sys/net/ipv4/ip_forward
    1
    $ conntrack -C
    261234

If a file contains only a number, and only then, its path says which setting it is
(`proc-sys-net/netfilter/nf_conntrack_max`, as Retina copies them, or `ip_forward.txt`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.evidence.facts import Caveat, Fact, Kernel, Sysctl, begins

PURPOSE = "settings: table size, timeouts, forwarding, reverse path filter, port range"

MOST = 20_000
"""Settings of single interfaces kept of one file; a node with a thousand interfaces has 100,000."""
_SHORT = {
    "nf_conntrack_": "net.netfilter.", "ip_forward": "net.ipv4.", "ip_local_port_range": "net.ipv4.",
    "ip_local_reserved_ports": "net.ipv4.", "tcp_": "net.ipv4.", "bridge-nf-": "net.bridge.",
    "gc_thresh": "net.ipv4.neigh.default.", "conn_reuse_mode": "net.ipv4.vs.", "ipv4.": "net.", "ipv6.": "net.",
    "netfilter.": "net.", "bridge.": "net.", "core.": "net.", "conf.": "net.ipv4.", "neigh.": "net.ipv4.",
}  # fmt: skip
"""Beginnings of names whose group may be left out (`cd /proc/sys/net; grep -r . ipv4`), and the group."""
_BEGINNING = (
    r"(?:net[./]|kernel[./]osrelease|nf_conntrack_|ip_forward|ip_local_port_range|ip_local_reserved_ports|tcp_|bridge-nf-"
    r"|gc_thresh|conn_reuse_mode|(?:ipv[46]|netfilter|bridge|core)/|conf/|neigh/)"
)
_NAMED = rf"(?:\./|/proc/sys/)?({_BEGINNING}[\w./@-]{{0,200}})"
_LINE = re.compile(rf"{_NAMED}(?: ?= ?|: ?)([^\n]{{0,200}})")
_ASKED = re.compile(
    rf"(?:^|[$#>] ?|\b(?:cat|head|sysctl) )(?:-\w+ )*(?:==> )?((?:{_NAMED}(?: |(?= ?<==)|$))+)(?:<==)?$"
)
_COUNT = re.compile(r"\bconntrack (?:-C|--count)(?: conntrack)?[ -=]*$")
"""The tool's own way to ask for nf_conntrack_count."""
_ALONE = re.compile(r"\s*(-?\d{1,20}(?:[ \t]+-?\d{1,20}){0,3})\s*")
_PATH = re.compile(r"(?:^|/)(?:proc[/-]sys[/-])(net/.+?)(?:\.txt)?$")
_NAME = re.compile(
    r"(?:^|[/._-])(conntrack[-_]+C(?![a-zA-Z])|nf_conntrack_(?:max|count|buckets|tcp_\w+?)|ip_forward|ip_local_port_range|bridge-nf-call-\w+?"
    r"|tcp_(?:timestamps|tw_reuse|syncookies|mem)|gc_thresh[123]|conn_reuse_mode"
    r"|net\.[a-z\d][\w.]{0,100}?)(?:[._-](?:txt|log|out|before|after|start|end|\d+)|[._-]\w+)*$"
)
_KEPT = (
    "rp_filter|forwarding|accept_local|route_localnet|log_martians|proxy_arp|arp_ignore|arp_announce|arp_filter"
    "|src_valid_mark|send_redirects|accept_redirects|disable_ipv6|disable_policy|disable_xfrm"
    "|ignore_routes_with_linkdown|accept_source_route"
)
_SINGLE = re.compile(r"net\.ipv[46]\.(?:conf|neigh)\.(?!all\.|default\.)")
_SPARED = re.compile(rf"{_SINGLE.pattern}(?!.*\.(?:{_KEPT})$)")
"""Settings of single interfaces that nothing here asks for."""


def recognises(head: str) -> bool:
    return (
        begins(head, rf"{_LINE.pattern}$")
        or _ALONE.fullmatch(head) is not None
        or any(_ALONE.fullmatch(value) for _, value in _answers(head.splitlines()))
    )


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the settings of the network; a file's own number only where its path names it."""
    if alone := _ALONE.fullmatch(text):
        if name := _named(file):
            yield Sysctl(name=name, value=alone[1], file=file)
        return
    kept = left_out = 0
    lines = text.splitlines()
    said = (match.groups() for line in lines if (match := _LINE.fullmatch(line.strip())))
    for found, told in [*said, *_answers(lines)]:
        name, value = _dotted(found), told.strip()
        if name == "kernel.osrelease":
            yield Kernel(release=value, file=file)
        elif value and not _SPARED.match(name):
            kept += _SINGLE.match(name) is not None
            if kept <= MOST or not _SINGLE.match(name):
                yield Sysctl(name=name, value=value, file=file)
            else:
                left_out += 1
    if left_out:
        yield Caveat(says=f"{file}: {left_out} settings of interfaces beyond the first {MOST} were left out")


def _answers(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Give names and values that stand on two lines: what was asked for, and the number."""
    asked: list[str] = []
    for line in lines:
        stripped = line.strip()
        if _ALONE.fullmatch(line):
            if asked:
                yield asked.pop(0), stripped
        elif len(stripped) < 300:
            question = _ASKED.search(stripped)
            asked = (
                re.findall(_NAMED, question[1])
                if question
                else ["nf_conntrack_count"] * bool(_COUNT.search(stripped))
            )
        else:
            asked = []


def _named(file: str) -> str | None:
    if path := _PATH.search(file):
        return _dotted(path[1])
    name = _NAME.search(file)
    return _dotted("nf_conntrack_count" if name[1].startswith("conntrack") else name[1]) if name else None


def _dotted(name: str) -> str:
    """Bring a name to `sysctl -a`'s form; its first groups may be missing."""
    # An interface's name may hold a dot: net/ipv4/conf/eth0.100/rp_filter is net.ipv4.conf.eth0/100.rp_filter for sysctl(8).
    if re.match("[^.]+/", name):
        name = name.replace(".", "\0").replace("/", ".").replace("\0", "/")
    if name == "net.nf_conntrack_max":  # the initial namespace's other name for it
        return "net.netfilter.nf_conntrack_max"
    for begin, group in _SHORT.items():
        if name.startswith(begin):
            return group + name
    return name
