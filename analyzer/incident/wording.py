"""Numbers as sentences have them: one style in evidence, summaries and every report."""

from __future__ import annotations


def count(number: int, one: str, many: str = "") -> str:
    """Return `1 packet`, `1,204 packets`; *many* where it is not *one* with an s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def duration(ns: int) -> str:
    """Return *ns* for reading, with the unit that suits: `34.1 µs`, `1.024 s`, `2 min 5 s`."""
    size = abs(ns)
    sign = "-" if ns < 0 else ""
    if size < 1000:
        return f"{ns} ns"
    for unit, top, digits in (("µs", 10**6, 1), ("ms", 10**9, 2), ("s", 60 * 10**9, 3)):
        if size < top:
            number = f"{size / (top // 1000 if unit != 's' else 10**9):.{digits}f}"
            return f"{sign}{number.rstrip('0').rstrip('.')} {unit}"
    seconds = size // 10**9
    if seconds < 3600:
        return f"{sign}{seconds // 60} min {seconds % 60} s"
    return f"{sign}{seconds // 3600} h {seconds % 3600 // 60} min"


def wait(seconds: float) -> str:
    """Return how long somebody waited, to 10 ms: `1.03 s`."""
    return duration(round(seconds * 100) * 10**7) if seconds >= 0.01 else duration(round(seconds * 10**9))


def seconds(number: float) -> str:
    """Return a number of seconds for reading."""
    return duration(round(number * 10**9))
