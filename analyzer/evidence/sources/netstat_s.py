"""`netstat -s`, and parts of it (`-su`, `-st`): the protocols' counters in sentences, mapped back to the kernel's names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from analyzer.evidence.counting import Counters
from analyzer.evidence.facts import Caveat, Fact, begins
from analyzer.evidence.sources import COUNTERS

PURPOSE = COUNTERS

_SECTION = re.compile(r"(Ip6?|Icmp6?|IcmpMsg|Tcp|Udp6?|UdpLite6?|TcpExt|IpExt|MPTcpExt|Sctp):\s*")
_NAMED = re.compile(r"\s+([A-Z][A-Za-z\d]{1,60}): (\d{1,20})\s*")
_COUNTED = re.compile(r"\s+(?:(.*?) ?)?(?<!\S)(\d{1,20})(?!\S)(?: (.*?))?\s*")
_HISTOGRAM = re.compile(r"\s+(?:ICMP|ICMPv6) (input|output) histogram:")
# Of net-tools' statistics.c, in all spellings that it has had; `#` stands for the number.
_IP = {
    "# total packets received": "InReceives", "# with invalid headers": "InHdrErrors",
    "# with invalid addresses": "InAddrErrors", "# forwarded": "ForwDatagrams",
    "# with unknown protocol": "InUnknownProtos", "# incoming packets discarded": "InDiscards",
    "# incoming packets delivered": "InDelivers", "# requests sent out": "OutRequests",
    "# outgoing packets dropped": "OutDiscards", "# dropped because of missing route": "OutNoRoutes",
    "# fragments dropped after timeout": "ReasmTimeout", "# reassemblies required": "ReasmReqds",
    "# packets reassembled ok": "ReasmOKs", "# packet reassembles failed": "ReasmFails",
    "# packet reassemblies failed": "ReasmFails", "# fragments received ok": "FragOKs",
    "# fragments failed": "FragFails", "# fragments created": "FragCreates", "Default TTL is #": "DefaultTTL",
    "Forwarding: #": "Forwarding", "# incoming packets with no route": "InNoRoutes",
    "# with packets too big": "InTooBigErrors", "# with truncated packets": "InTruncatedPkts",
}  # fmt: skip
_TCP = {
    "# active connection openings": "ActiveOpens", "# active connections openings": "ActiveOpens",
    "# passive connection openings": "PassiveOpens", "# failed connection attempts": "AttemptFails",
    "# connection resets received": "EstabResets", "# connections established": "CurrEstab",
    "# segments received": "InSegs", "# segments sent out": "OutSegs", "# segments send out": "OutSegs",
    "# segments retransmitted": "RetransSegs", "# segments retransmited": "RetransSegs",
    "# bad segments received": "InErrs", "# bad segments received.": "InErrs", "# resets sent": "OutRsts",
}  # fmt: skip
_UDP = {
    "# packets received": "InDatagrams", "# packets to unknown port received": "NoPorts",
    "# packets to unknown port received.": "NoPorts", "# packet receive errors": "InErrors",
    "# packets sent": "OutDatagrams", "# receive buffer errors": "RcvbufErrors", "# send buffer errors": "SndbufErrors",
}  # fmt: skip
_TCP_EXT = {
    "# SYN cookies sent": "SyncookiesSent", "# SYN cookies received": "SyncookiesRecv",
    "# invalid SYN cookies received": "SyncookiesFailed",
    "# resets received for embryonic SYN_RECV sockets": "EmbryonicRsts",
    "# packets pruned from receive queue because of socket buffer overrun": "PruneCalled",
    "# packets pruned from receive queue": "RcvPruned",
    "# packets dropped from out-of-order queue because of socket buffer overrun": "OfoPruned",
    "# ICMP packets dropped because they were out-of-window": "OutOfWindowIcmps",
    "# ICMP packets dropped because socket was locked": "LockDroppedIcmps",
    "# TCP sockets finished time wait in fast timer": "TW", "# time wait sockets recycled by time stamp": "TWRecycled",
    "# TCP sockets finished time wait in slow timer": "TWKilled",
    "# passive connections rejected because of time stamp": "PAWSPassive",
    "# active connections rejected because of time stamp": "PAWSActive",
    "# packets rejects in established connections because of timestamp": "PAWSEstab",
    "# packets rejected in established connections because of timestamp": "PAWSEstab",
    "# packetes rejected in established connections because of timestamp": "PAWSEstab",
    "# delayed acks sent": "DelayedACKs",
    "# delayed acks further delayed because of locked socket": "DelayedACKLocked",
    "Quick ack mode was activated # times": "DelayedACKLost",
    "# times the listen queue of a socket overflowed": "ListenOverflows",
    "# SYNs to LISTEN sockets dropped": "ListenDrops", "# SYNs to LISTEN sockets ignored": "ListenDrops",
    "# packet headers predicted": "TCPHPHits", "# acknowledgments not containing data payload received": "TCPPureAcks",
    "# acknowledgments not containing data received": "TCPPureAcks", "# predicted acknowledgments": "TCPHPAcks",
    "# other TCP timeouts": "TCPTimeouts", "# fast retransmits": "TCPFastRetrans",
    "# forward retransmits": "TCPForwardRetrans", "# retransmits in slow start": "TCPSlowStartRetrans",
    "# DSACKs sent for old packets": "TCPDSACKOldSent", "# DSACKs received": "TCPDSACKRecv",
    "# connections reset due to unexpected data": "TCPAbortOnData",
    "# connections reset due to unexpected SYN": "TCPAbortOnSyn",
    "# connections reset due to early user close": "TCPAbortOnClose",
    "# connections aborted due to memory pressure": "TCPAbortOnMemory",
    "# connections aborted due to timeout": "TCPAbortOnTimeout",
    "# times unable to send RST due to no memory": "TCPAbortFailed",
    "TCP ran low on memory # times": "TCPMemoryPressures",
}  # fmt: skip
_ICMP = {
    "destination unreachable: #": "DestUnreachs", "timeout in transit: #": "TimeExcds",
    "wrong parameters: #": "ParmProbs", "source quenches: #": "SrcQuenchs", "redirects: #": "Redirects",
    "echo requests: #": "Echos", "echo request: #": "Echos", "echo replies: #": "EchoReps", "packets too big: #": "PktTooBigs",
    "time exceeded: #": "TimeExcds",
}  # fmt: skip
_ICMP_SUMS = {
    "# ICMP messages received": "InMsgs", "# input ICMP message failed": "InErrors",
    "# input ICMP message failed.": "InErrors", "# ICMP messages sent": "OutMsgs", "# ICMP messages failed": "OutErrors",
}  # fmt: skip
_SENTENCES = {
    "Ip": _IP, "Ip6": _IP, "Tcp": _TCP, "Udp": _UDP, "Udp6": _UDP, "UdpLite": _UDP, "UdpLite6": _UDP, "TcpExt": _TCP_EXT,
}  # fmt: skip


def recognises(head: str) -> bool:
    headed = begins(head, rf"{_SECTION.pattern}\n(?:{_NAMED.pattern}|{_COUNTED.pattern})$")
    return headed or any(map(_alone, head.splitlines()))


def _alone(line: str) -> bool:
    """Whether a sentence is TCP's own, so that it needs no heading."""
    said = _COUNTED.fullmatch(f" {line.strip()[:200]}")
    return said is not None and " ".join(filter(None, (said[1], "#", said[3]))) in _TCP_EXT


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield a snapshot for each time that the same section comes again."""
    snapshot = partial(Counters, group="protocol", source="netstat -s", file=file)
    values: dict[str, int] = {}
    sections: set[str] = set()
    section = way = ""
    lost, example = 0, ""
    for line in text.splitlines():
        if not sections and _alone(line):
            section, line = "TcpExt", f" {line.strip()}"
        if begin := _SECTION.fullmatch(line):
            section = begin[1]
            if section in sections and values:
                yield snapshot(values=values)
                values, sections = {}, set()
            sections.add(section)
        elif not line.startswith((" ", "\t")):
            section = section if not line.strip() else ""
        elif section and (histogram := _HISTOGRAM.fullmatch(line)):
            way = "In" if histogram[1] == "input" else "Out"
        elif section and (named := _NAMED.fullmatch(line)) and f"{named[1]}: #" not in _IP:
            values[f"{section}.{named[1]}"] = int(named[2])
        elif section and (said := _COUNTED.fullmatch(line[:200])):
            name = _name(section, way, " ".join(filter(None, (said[1], "#", said[3]))))
            if name:
                if not sections and f"{section}.{name}" in values:
                    yield snapshot(values=values)
                    values = {}
                values[f"{section}.{name}"] = int(said[2])
            elif not re.search(r"packet(?:s|es)?|TCP|ack|SACK|data|bytes", line):
                lost, example = lost + 1, example or line.strip()
    if values:
        yield snapshot(values=values)
    if lost:
        yield Caveat(says=f"{file}: {lost} counters have no name that is known, the first: {example[:80]!r}")


def _name(section: str, way: str, sentence: str) -> str | None:
    if section in ("Icmp", "Icmp6"):
        name = _ICMP.get(sentence)
        return _ICMP_SUMS.get(sentence) if name is None else f"{way}{name}"
    return _SENTENCES.get(section, {}).get(sentence)
