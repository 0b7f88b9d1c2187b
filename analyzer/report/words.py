"""The words and numbers that every renderer shares: times, durations, titles, the verdict."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from analyzer.connection.model import GapNames
from analyzer.incident import causes
from analyzer.incident.model import Incident, Reconciled
from analyzer.incident.wording import count as count
from analyzer.incident.wording import duration as duration
from analyzer.result.analysis import Result

# What a terminal, an XML parser or the bidirectional algorithm would act on instead of showing: C0 and C1
# controls but tab and newline, zero-width and direction marks, separators, lone surrogates, noncharacters.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)

_KINDS = {
    "syn-vanished": "SYNs vanished",
    "udp-vanished": "UDP requests vanished",
    "icmp-vanished": "echo requests vanished",
    "reply-vanished": "replies vanished",
    "data-vanished": "TCP segments vanished",
    "error-vanished": "ICMP errors vanished",
    "refused": "refused by this node",
    "misdelivered": "misdelivered",
    "invalid-reset": "INVALID and reset by the host",
    "invalid-dropped": "INVALID and dropped",
    "unnatted-leak": "left without translation",
}


def printable(text: str, limit: int = 2000) -> str:
    r"""Return *text* with characters that act instead of showing spelt out, cut to *limit* characters.

    Interface names, file names and rule texts come from strangers: `\x1b` becomes `[U+001B]`. Newlines
    and tabs stay.
    """
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    return _UNPRINTABLE.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)


def short(text: str, width: int) -> str:
    """Return *text* on one line of at most *width* characters, the middle left out where it is longer."""
    line = " ".join(printable(text).split())
    if len(line) <= width:
        return line
    tail = (width - 1) // 3
    return f"{line[: width - 1 - tail]}…{line[len(line) - tail :]}"


def iso(ns: int) -> str:
    """Return nanoseconds since the epoch as `2026-11-20T10:58:16.123456789Z`."""
    return f"{datetime.fromtimestamp(ns // 10**9, tz=UTC):%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09d}Z"


def day(ns: int) -> str:
    """Return the UTC date of *ns*: `2026-11-20`."""
    return iso(ns)[:10]


def clock(ns: int) -> str:
    """Return the UTC time of day of *ns* to the microsecond: `10:58:16.123456`."""
    return iso(ns)[11:26]


def offset(ns: int) -> str:
    """Return *ns* after a reference, exact to the microsecond: `+34 µs`, `+1.024012 s`, `0`."""
    if ns == 0:
        return "0"
    if abs(ns) < 50:
        return f"{ns:+d} ns"
    if abs(ns) < 10**6:
        return f"{ns / 1000:+.1f}".removesuffix(".0") + " µs"
    if abs(ns) < 10**9:
        return f"{ns / 10**6:+.3f} ms"
    return f"{ns / 10**9:+.6f} s"


# What a command leaves to its reader, in capitals as manual pages have it; chains, targets and states of rules are none.
_PLACEHOLDER = re.compile(
    r"(?<![\w/.-])(?:[A-Z]+-(?:CIDR|POD-IP|LAST)|DESTINATION|DEVICE|GATEWAY|HANDLE|INTERFACE|NUMBER|SENDER|SOURCE|VETH)(?![\w-])"
)


def placeholders(command: str) -> list[str]:
    """Return what of *command* is to be replaced before it is run: `POD-CIDR`, `HANDLE`."""
    return list(dict.fromkeys(_PLACEHOLDER.findall(command)))


def cause_title(cause: str) -> str:
    """Return the title of *cause*; an unknown code stands for itself."""
    return str(causes.module(cause).TITLE) if cause in causes.CODES else short(cause, 60)


def title(incident: Incident) -> str:
    """Return the heading of *incident*: its cause, or what happened where the cause is unknown."""
    if incident.cause == "unknown":
        return f"{_KINDS[incident.kind]}, cause unknown"
    return cause_title(incident.cause)


def sure(incident: Incident) -> str:
    """Return how sure the cause of *incident* is; where that is unknown, how sure the loss is, if it is one."""
    if incident.cause != "unknown":
        return incident.confidence
    return f"loss {incident.confidence}" if incident.kind.endswith("-vanished") else ""


def fix_label(incident: Incident) -> str:
    """Return what its remedies are called: nobody can fix what is not known."""
    return "Next" if incident.cause == "unknown" else "Fix"


def between(gap: GapNames | None) -> str:
    """Return ` between cni0 and eth0`, or nothing without a gap."""
    return f" between {short(gap[0], 40)} and {short(gap[1], 40)}" if gap else ""


def still(counters: Iterable[Reconciled]) -> str:
    """Name the counters that did not rise, in one sentence; nothing where all did."""
    names = [row.counter for row in counters if not row.delta and not row.explained]
    listed = ", ".join(names[:-1]) + " and " * (len(names) > 1) + "".join(names[-1:])
    return f"{short(listed, 200)} did not rise." if names else ""


def losses(incident: Incident) -> int:
    """Return how many packets *incident* is about; of one that is about connections, how many of those."""
    if incident.kind.endswith("-vanished") or incident.kind == "refused":
        counted = [
            int(finding.facts.get("attempts_vanished", finding.facts.get("packets", 0)))
            for finding in incident.findings
        ]
        return sum(counted) or len(incident.findings)
    if incident.kind.startswith("invalid-"):
        return sum(len(finding.facts.get("offenders", ())) or 1 for finding in incident.findings)
    return len(incident.findings)


def period(analysis: Result) -> tuple[int, int] | None:
    """Return the first and last time that any point covers, in nanoseconds; None without a packet."""
    first = [point.first for point in analysis.capture_points if point.first is not None]
    last = [point.last for point in analysis.capture_points if point.last is not None]
    return (min(first), max(last)) if first and last else None
