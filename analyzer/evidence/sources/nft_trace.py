"""`nft monitor trace`: what each rule did with packets selected by a rule `meta nftrace set 1`.

    trace id 6a6c58fe inet filter forward packet: iif "veth-c" ... ip saddr 10.244.0.11 ip daddr 192.0.2.100 ... ip id 51733 ...
    trace id 6a6c58fe inet filter forward rule udp dport 5003 drop (verdict drop)

It has no times and no sequence numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.capture.naming import printable
from analyzer.evidence.drops import HOOKS, MOST, DropRecord, Hook, address, number
from analyzer.evidence.facts import Fact, begins, limited
from analyzer.evidence.rules.model import shown
from analyzer.evidence.sources import DROPS

PURPOSE = DROPS

LIMIT = 64 << 20
"""Bytes read; a packet has about ten lines of 150."""
_OPEN = 20_000
"""Packets whose headers are remembered while their rules come."""
_LINE = re.compile(
    r"trace id ([0-9a-f]{1,8}) (\S{1,16} \S{1,64} \S{1,64}) (packet:|rule|policy) ([^\n]{1,4000})"
)
_FIELD = re.compile(
    r'(?<!\S)(iif|oif|ip6? saddr|ip6? daddr|ip id|ip protocol|ip6 nexthdr|\w{1,8} sport|\w{1,8} dport) ("[^"\n]{1,64}"|\S{1,64})'
)
_VERDICT = re.compile(r"\(verdict (\w{1,16})")
_ICMP = {"ipv6-icmp": "icmpv6"}


def recognises(head: str) -> bool:
    return begins(head, _LINE.pattern)


@limited("dropped packets", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the packets that a rule or a chain's policy dropped."""
    headers: dict[str, tuple[str, dict[str, str]]] = {}
    for count, line in enumerate(text.splitlines(), 1):
        if not (found := _LINE.match(line)):
            continue
        trace, chain, what, rest = found.groups()
        if what == "packet:":
            if len(headers) >= _OPEN:
                headers.clear()
            headers[trace] = chain, {name: value.strip('"') for name, value in _FIELD.findall(rest)}
            continue
        verdicts = _VERDICT.findall(rest)
        if not (rest.strip() == "drop" if what == "policy" else verdicts and verdicts[-1] == "drop"):
            continue
        base, fields = headers.pop(trace, (chain, {}))
        rule = f"{chain}: policy drop" if what == "policy" else f"{chain}: {rest[: rest.rindex('(verdict')]}"
        yield _record(file, count, base, fields, rule)


def _record(file: str, line: int, base: str, fields: dict[str, str], rule: str) -> DropRecord:
    proto = next((name.split()[0] for name in fields if name.endswith(("sport", "dport"))), "")
    proto = proto or fields.get("ip protocol", fields.get("ip6 nexthdr", ""))
    return DropRecord(
        file=file,
        line=line,
        source="nft monitor trace",
        reason="NETFILTER_DROP",
        hook=_hook(base),
        device=printable(fields.get("iif", fields.get("oif", ""))),
        proto=printable(_ICMP.get(proto, proto)),
        src=address(fields.get("ip saddr", fields.get("ip6 saddr", ""))),
        dst=address(fields.get("ip daddr", fields.get("ip6 daddr", ""))),
        sport=number(fields.get(f"{proto} sport"), 0xFFFF),
        dport=number(fields.get(f"{proto} dport"), 0xFFFF),
        ip_id=number(fields.get("ip id"), 0xFFFF),
        rule=shown(rule),
    )


def _hook(chain: str) -> Hook | None:
    """Read the hook off the base chain's name, which people give it: the trace does not tell hooks."""
    name = chain.split()[-1].upper()
    return next((hook for hook in HOOKS if hook in name), None)
