"""`sysctl -a` and parts of it, `grep . /proc/sys/net/...`, and the kernel's single numbers as files of their own.

    net.netfilter.nf_conntrack_max = 262144
    /proc/sys/net/netfilter/nf_conntrack_max:262144
    nf_conntrack_max: 262144

A file with nothing but a number does not say which one it is: there, and only there, its path decides
(`proc-sys-net/netfilter/nf_conntrack_max`, as Retina copies them, or `nf_conntrack_count.txt`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from analyzer.evidence.facts import Kernel, Sysctl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.evidence.facts import Fact

MOST = 20_000
"""Settings kept of one file; a node with a thousand interfaces has 100,000, most of them the interfaces'."""
_LINE = re.compile(
    r"(?:/proc/sys/)?((?:net[./]|kernel[./]osrelease|nf_conntrack_|ip_forward|bridge-nf-)[\w./@-]{0,200})"
    r"(?: ?= ?|: ?)([^\n]{0,200})"
)
_ALONE = re.compile(r"\s*(-?\d{1,20}(?:[ \t]+-?\d{1,20}){0,3})\s*")
_PATH = re.compile(r"(?:^|/)(?:proc[/-]sys[/-])(net/.+?)(?:\.txt)?$")
_NAME = re.compile(r"(?:^|[/.-])(nf_conntrack_(?:max|count|buckets)|ip_forward)(?:[._-]\w+)*$")
_WHERE = {"nf_conntrack_": "net.netfilter.", "ip_forward": "net.ipv4.", "bridge-nf-": "net.bridge."}
_SPARED = re.compile(r"net\.ipv[46]\.(?:conf|neigh)\.(?!all\.|default\.)(?!.*\.(?:rp_filter|forwarding)$)")
"""Settings of single interfaces that nothing here asks for."""


def recognises(head: str) -> bool:
    """Say whether settings are told, or the whole text is a number."""
    return (
        re.search(rf"^{_LINE.pattern}$", head, re.MULTILINE) is not None or _ALONE.fullmatch(head) is not None
    )


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the settings of the network; a file's own number only where its path names it."""
    if alone := _ALONE.fullmatch(text):
        if name := _named(file):
            yield Sysctl(name=name, value=alone[1], file=file)
        return
    kept = 0
    for line in text.splitlines():
        if said := _LINE.fullmatch(line.strip()):
            name, value = _dotted(said[1]), said[2].strip()
            if name == "kernel.osrelease":
                yield Kernel(release=value, file=file)
            elif value and not _SPARED.match(name) and kept < MOST:
                kept += 1
                yield Sysctl(name=name, value=value, file=file)


def _named(file: str) -> str | None:
    if path := _PATH.search(file):
        return _dotted(path[1])
    name = _NAME.search(file)
    return _dotted(name[1]) if name else None


def _dotted(name: str) -> str:
    """Bring a name to `sysctl -a`'s form; its first group may be missing."""
    for begin, group in _WHERE.items():
        if name.startswith(begin):
            return group + name
    if name == "net.nf_conntrack_max":  # the initial namespace's other name for it
        return "net.netfilter.nf_conntrack_max"
    if "/" in name:  # an interface's name may hold a dot, which sysctl writes as a slash
        return name.replace(".", "\0").replace("/", ".").replace("\0", "/")
    return name
