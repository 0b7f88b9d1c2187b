"""`/proc/net/snmp`, `/proc/net/netstat` and `/proc/net/snmp6`: the protocols' counters, the source of all tools."""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.evidence.counting import Counters, dotted
from analyzer.evidence.facts import Caveat, Fact, alike, begins, unread
from analyzer.evidence.sources import COUNTERS

PURPOSE = COUNTERS

_GROUPS = "Ip|Icmp|IcmpMsg|Tcp|Udp|UdpLite|TcpExt|IpExt|MPTcpExt"
_PAIR = re.compile(rf"^({_GROUPS}): ([A-Za-z]\w*(?: \w+)*) *\n\1:((?: -?\d{{1,20}})*) *$", re.MULTILINE)
_SIX = re.compile(r"^((?:Ip6|Icmp6|Udp6|UdpLite6)\w{1,60})[ \t]+(\d{1,20})[ \t]*$", re.MULTILINE)
_ONE = re.compile(rf"(?:{_GROUPS}): ?(?:[A-Z]\w+ [A-Z]|-?\d+ -?\d)")
_LIKE = re.compile(r"(?:Ip6|Icmp6|Udp6|UdpLite6)[A-Z]\w{1,60}(?:\s{2,}|\s*$|\S*[^\w\s:])")


def recognises(head: str) -> bool:
    return _PAIR.search(head) is not None or begins(head, r"Ip6InReceives[ \t]+\d+[ \t]*$")


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield a snapshot for each time that the same counters come again."""
    yield from unread(
        [*alike(text, _LIKE, _SIX), *alike(_PAIR.sub("", text), _ONE)], file, "lines of counters"
    )
    values: dict[str, int] = {}
    for pair in _PAIR.finditer(text):
        names, numbers = pair[2].split(), pair[3].split()
        if len(names) != len(numbers):
            yield Caveat(says=f"{file}: not understood, its counters were left out: {pair[1]} has {len(names)} names "
                         f"and {len(numbers)} numbers")  # fmt: skip
            continue
        told = {f"{pair[1]}.{name}": int(number) for name, number in zip(names, numbers, strict=True)}
        if told.keys() & values.keys():
            yield Counters(group="protocol", values=values, source="/proc/net/snmp", file=file)
            values = {}
        values |= told
    for said in _SIX.finditer(text):
        name = dotted(said[1])
        if name in values:
            yield Counters(group="protocol", values=values, source="/proc/net/snmp6", file=file)
            values = {}
        values[name] = int(said[2])
    if values:
        source = "/proc/net/snmp6" if any(name.startswith("Ip6.") for name in values) else "/proc/net/snmp"
        yield Counters(group="protocol", values=values, source=source, file=file)
