"""dmesg, /var/log/messages and the journal: what the kernel logged about lost packets, by itself or because of a rule.

From conntrack: a full table, single packets. Also martians, full neighbour tables, bad checksums, links that went down, packets
that a rule logged or traced, and how many lines the rate limit suppressed.

Times may have the form of `dmesg` ([12.345678]), `dmesg -T` ([Fri Nov 20 10:26:05 2026]), `dmesg --time-format iso` and
`journalctl -o short`, `short-iso`, `short-precise`, `short-unix`, `short-full`. The kernel logs ignored packets too, so the
wording decides what happened to the packet; see `_TESTS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from analyzer.capture.naming import printable
from analyzer.evidence.dates import month
from analyzer.evidence.drops import nanoseconds
from analyzer.evidence.facts import Fact, LogLine, begins, limited
from analyzer.evidence.messages import message, packet, worth

PURPOSE = "the kernel's lines about dropped and INVALID packets"

MOST = 20_000
"""Lines kept of one file; each takes half a kilobyte."""
_MESSAGE = re.compile(
    r"(?:nf_conntrack: )?nf_conntrack: (?P<full>table full(?: in netns \d{1,10})?, dropping packet)"
    r"|nf_ct_(?:proto_\d{1,3}|tcp|udp|icmp(?:v6)?|dccp|sctp|gre|generic): (?P<judged>.+)"
    r"|(?:net_ratelimit: |(?P<of>nf_\w+): )(?P<count>\d{1,10}) callbacks suppressed"
)
_PACKET = re.compile(r" ?\bIN=(?P<iif>\S*) OUT=(?P<oif>\S*) (?P<rest>.*)")
_BOUND = re.compile(r"(?:bound (\d{1,10})|^(\d{1,10}) bytes more than expected)")
# From 6.1 on the wording names the bound, and packets under a lower bound are ignored; before they are INVALID.
_TESTS: tuple[tuple[str, str, Literal["invalid", "ignore"] | None], ...] = (
    ("SEQ is over the upper bound", "seq-over-upper-bound", "invalid"),
    ("SEQ is over upper bound", "seq-over-upper-bound", "invalid"),
    ("bytes more than expected", "seq-over-upper-bound", None),
    ("SEQ is under the lower bound", "seq-under-lower-bound", "invalid"),
    ("SEQ is under lower bound", "seq-under-lower-bound", "ignore"),
    ("ACK is over the upper bound", "ack-over-upper-bound", "invalid"),
    ("ACK is over upper bound", "ack-over-upper-bound", "invalid"),
    ("ACK is under the lower bound", "ack-under-lower-bound", "invalid"),
    ("ignored ACK under lower bound", "ack-under-lower-bound", "ignore"),
    ("ignored", "", "ignore"),
    ("lowered timeout", "", None),
    ("lower timeout", "", None),
    ("bad checksum", "bad-checksum", "invalid"),
    ("bad TCP checksum", "bad-checksum", "invalid"),
    ("bad UDP checksum", "bad-checksum", "invalid"),
    ("invalid", "", "invalid"),
    ("bad ", "", "invalid"),
    ("truncated", "", "invalid"),
    ("malformed", "", "invalid"),
)
_DATE = re.compile(
    r"\[(?:[^\W\d]{2,9}\.? )?(?P<month>[^\W\d]{3,5})\.? +(?P<day>\d{1,2}) (?P<clock>[\d:]{8}) (?P<year>\d{4})\]"
    r"|(?:\w{3} )?(?P<iso>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d{1,9}))?"
    r" ?(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?(?= |$)"
    r"|(?P<unix>\d{9,10}\.\d{6})(?= )"
)
_SYSLOG = re.compile(r"([^\W\d]{3,5})\.? {1,2}(\d{1,2}) (\d\d:\d\d:\d\d)(?:\.(\d{1,9}))? ")
_STAMPED = (
    r"(?:<\d+>)?\[ *\d+\.\d{6}\] \S",
    r"\[\w{3} \w{3} +\d+ [\d:]{8} \d{4}\] \S",
    r"(?:[A-Z][a-z]{2} [ \d]\d [\d:]{8}|\d{4}-\d\d-\d\dT)[^\n]{1,100}?\S: \S",
    r"\d{9,10}\.\d{6} \S{1,64} \S{1,64}: \S",
)
"""How lines of dmesg, `dmesg -T`, syslog and journalctl begin."""


def recognises(head: str) -> bool:
    return (
        _MESSAGE.search(head) is not None
        or begins(head, *_STAMPED)
        or any(worth(line) and message(line[:2000]) for line in head.splitlines()[:1000])
    )


@limited("lines about packets", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the lines that tell of packets; the others are none of our business."""
    for line in text.splitlines():
        ours = "nf_c" in line or "suppressed" in line
        if not ours and not worth(line):
            continue
        said = _MESSAGE.search(line) if ours else None
        if found := _line(line, said, file) if said else _other(line, file):
            yield found


def _other(line: str, file: str) -> LogLine | None:
    """Read a line that is not of the three kinds that conntrack writes."""
    told = message(line[:2000])
    if told is None:
        return None
    begin, about, says, fields = told
    time, zoned = _times(line[:begin])
    return LogLine(
        about=about, says=says, file=file, time=time, zoned=zoned, since_new_year=_day(line), **fields
    )


def _line(line: str, said: re.Match[str], file: str) -> LogLine:
    time, zoned = _times(line[: said.start()])
    told = partial(LogLine, file=file, time=time, zoned=zoned, since_new_year=_day(line))
    if said["full"]:
        return told(about="table-full", says=said["full"])
    if said["count"]:
        return told(about="suppressed", says=printable(line[said.start() :][:200]), count=int(said["count"]))
    judged = _PACKET.search(said["judged"])
    says = printable((said["judged"][: judged.start()] if judged else said["judged"]).strip()[:200])
    test, verdict = next(((test, verdict) for word, test, verdict in _TESTS if word in says), ("", None))
    bound = _BOUND.search(says)
    return told(
        about="packet",
        says=says,
        verdict=verdict,
        test=test,
        bound=int(bound[1] or bound[2]) if bound else None,
        iif=printable(judged["iif"][:64]) if judged else "",
        oif=printable(judged["oif"][:64]) if judged else "",
        **packet(judged["rest"] if judged else ""),
    )


def _day(line: str) -> int | None:
    """Read syslog's stamp, which has no year: nanoseconds since a leap year began."""
    said = _SYSLOG.match(line)
    if not said:
        return None
    try:
        moment = datetime(2000, month(said[1]), int(said[2]), tzinfo=UTC)
    except ValueError:
        return None
    hours, minutes, seconds = (int(part) for part in said[3].split(":"))
    since = moment - datetime(2000, 1, 1, tzinfo=UTC)
    fraction = int((said[4] or "").ljust(9, "0"))
    return (since.days * 86400 + hours * 3600 + minutes * 60 + seconds) * 10**9 + fraction


def _times(stamp: str) -> tuple[int | None, bool]:
    """Read a line's time: nanoseconds since the epoch, and whether its zone is known."""
    said = _DATE.match(stamp[-200:].rstrip())
    if not said:
        return None, False
    if said["unix"]:
        return nanoseconds(said["unix"]), True
    try:
        if said["month"]:
            day = f"{said['year']}-{month(said['month']):02}-{int(said['day']):02}"
            moment = datetime.fromisoformat(f"{day}T{said['clock']}")
        else:
            zone = said["zone"] or ""
            moment = datetime.fromisoformat(said["iso"] + ("+00:00" if zone in ("Z", "UTC") else zone))
    except ValueError:
        return None, False
    zoned = moment.tzinfo is not None
    whole = moment if zoned else moment.replace(tzinfo=UTC)
    fraction = int((said["fraction"] or "").ljust(9, "0"))
    return int(whole.timestamp()) * 10**9 + fraction, zoned
