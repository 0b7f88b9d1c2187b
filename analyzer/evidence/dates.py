"""When an output was made: the line that `date`, a loop or `watch` writes before it.

Fri Nov 20 10:26:05 UTC 2026
Fr 20. Nov 10:26:05 CET 2026
2026-11-20T10:26:05+00:00
1795989822.589664
Every 1.0s: conntrack -S        node-7: Fri Nov 20 10:26:05 2026
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

_MONTHS = {
    word: number
    for number, words in enumerate(
        ("jan janv gen ene", "feb févr fev", "mar mär mrz mars mrt", "apr avr abr", "may mai mei mag mayo", "jun juin giu",
         "jul juil lug", "aug août ago", "sep sept set", "oct okt ott out", "nov", "dec dez déc dic"), 1,
    )
    for word in words.split()
}  # fmt: skip
"""Short names of months in English, German, French, Spanish, Italian, Portuguese and Dutch, as the C library writes them."""
_ZONES = {
    "UTC": 0, "GMT": 0, "CET": 1, "CEST": 2, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8,
    "PDT": -7,
}  # fmt: skip
"""Hours east of Greenwich of the names that `date` prints and that mean one thing to most."""
_LINE = re.compile(
    r"[^\w\n]{0,8}(?:Every [\d.]{1,8}s: [^\n]{1,150}[: ] )?"
    r"(?:(?P<iso>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d{1,9}))? ?(?P<offset>Z|UTC|[+-]\d\d:?\d\d)?"
    r"|(?:\w{2,9},? )(?P<month>[A-Z][a-z]{2}) +(?P<day>\d{1,2}) (?P<clock>\d\d:\d\d:\d\d)(?P<half> [AP]M)? "
    r"(?:(?P<zone>[A-Z]{3,5}|[+-]\d\d) )?(?P<year>\d{4})"
    r"|[^\W\d]{2,9}[.,]? (?P<day2>\d{1,2})\.? (?P<month2>[^\W\d]{3,5})\.? (?:(?P<year2>\d{4}) )?(?P<clock2>\d\d:\d\d:\d\d)"
    r"(?: (?P<zone2>[A-Z]{3,5}))?(?: (?P<year3>\d{4}))?"
    r"|(?P<unix>\d{10})(?:\.(?P<rest>\d{1,9}))?)[^\w\n]{0,8}"
)


class Moment(NamedTuple):
    """A time, and whether its zone is known."""

    time: int
    """Nanoseconds since the epoch."""
    zoned: bool
    """False where no zone is named, and the time is taken for UTC."""


def month(name: str) -> int:
    """Give the number of a month's short name, in one of several languages; 0 for none."""
    return _MONTHS.get(name.rstrip(".").lower(), 0)


def moment(line: str) -> Moment | None:
    """Read a line that is a date and nothing else; None for any other."""
    if len(line) > 300 or not (found := _LINE.fullmatch(line.strip())):
        return None
    if found["unix"]:
        return Moment(int(found["unix"]) * 10**9 + int((found["rest"] or "").ljust(9, "0")), zoned=True)
    try:
        if found["iso"]:
            offset = {"Z": "+00:00", "UTC": "+00:00", None: ""}.get(found["offset"], found["offset"])
            when = datetime.fromisoformat(f"{found['iso']}{offset}")
        else:
            year, name, day, clock = (
                found[key] or found[f"{key}2"] for key in ("year", "month", "day", "clock")
            )
            when = datetime.fromisoformat(f"{year or found['year3']}-{month(name):02}-{int(day):02}T{clock}")
            if found["half"]:
                when = when.replace(hour=when.hour % 12 + 12 * (found["half"] == " PM"))
            zone = found["zone"] or found["zone2"] or ""
            hours = int(zone) if zone[:1] in ("+", "-") else _ZONES.get(zone)
            if hours is not None:
                when = when.replace(tzinfo=timezone(timedelta(hours=hours)))
    except ValueError:
        return None
    zoned = when.tzinfo is not None
    whole = int((when if zoned else when.replace(tzinfo=UTC)).timestamp())
    return Moment(whole * 10**9 + int((found["fraction"] or "").ljust(9, "0")), zoned)
