"""Logs of slow requests: of `lostsyn probe`, or an application's own, as JSON, JSON Lines or CSV.

An application calls things as it likes, so keys are known by many names, and units by their suffix. Of a duration without
a unit seconds are assumed, as nginx, Envoy's formatters and most libraries have it.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from math import log10
from typing import Any

from analyzer.capture.naming import printable

MOST = 100_000
"""Requests of one log, at most."""
_SAID = 5
"""Lines that are not understood and told of."""
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SUFFIXES = {
    "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "secs": 1.0, "seconds": 1.0, "millis": 1e-3, "micros": 1e-6,
    "nanos": 1e-9,
}  # fmt: skip
_BEGINS = ("start", "started", "begin", "start_time", "start_timestamp")
_TIMES = (
    *_BEGINS,
    "time",
    "timestamp",
    "@timestamp",
    "ts",
    "date",
    "datetime",
    "time_iso8601",
    "when",
    "end",
)
_DURATIONS = (
    "duration", "latency", "elapsed", "took", "request_time", "response_time", "upstream_response_time", "time_taken",
    "total_time",
)  # fmt: skip
_DESTINATIONS = (
    "dst", "upstream_addr", "upstream_host", "upstream", "destination", "dest", "server", "remote", "remote_addr", "peer",
    "address", "addr", "target", "endpoint", "url", "host",
)  # fmt: skip
_DPORTS = ("dport", "dst_port", "destination_port", "remote_port", "server_port", "port")
_SOURCES = ("src", "source", "local", "local_addr", "local_address", "upstream_local_address")
_SPORTS = ("sport", "src_port", "source_port", "local_port")
_AMOUNT = re.compile(r"(\d{1,12}(?:\.\d{1,18})?(?:[eE][+-]?\d{1,2})?) ?(ns|us|µs|ms|s|m|h)?")
_NUMBER = re.compile(r"\d{1,19}(?:\.\d{1,12})?")
_LONGEST_S = 1e6
_SIZES = ((9, 10**11), (6, 10**14), (3, 10**17), (0, 10**19))
"""Decimal digits from the unit down to nanoseconds, and below which number since the epoch it is that one."""
_ADDRESS = re.compile(
    r"(?:\w{1,20}://)?(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<bare>[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)|(?P<host>[\w.-]{1,253}))"
    r"(?::(?P<port>\d{1,5}))?(?:/.*)?",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowRequest:
    """One request that took long."""

    begin: int
    """Nanoseconds since the epoch: it began at this moment, or between it and `latest`."""
    latest: int
    """Where the log does not say whether its time is that of the beginning or of the end, the end; else `begin`."""
    duration: float
    """Seconds."""
    src: str | None
    """None where the log does not tell; as for the others."""
    sport: int | None
    dst: str | None
    dport: int | None
    file: str
    line: int
    """In a log of lines its number, else the number of the request."""


def read(text: str, file: str) -> tuple[list[SlowRequest], list[str]]:
    """Read a log.

    Args:
        text: All of it.
        file: How to call it.

    Returns:
        The requests in their order, and caveats: which lines were not understood.
    """
    requests: list[SlowRequest] = []
    strange: list[str] = []
    left = 0
    for line, row in _rows(text):
        if len(requests) == MOST:
            strange.append(f"{file}: only its first {MOST} requests were read")
            break
        request = _request(row, file, line) if isinstance(row, dict) else None
        if request is not None:
            requests.append(request)
        elif left < _SAID:
            left += 1
            strange.append(
                f"{file}: request {line} has no time and duration that are understood: {printable(str(row)[:80])}"
            )
        else:
            left += 1
    if left > _SAID:
        strange.append(f"{file}: {left - _SAID} more requests like these were left out")
    return requests, strange


def _rows(text: str) -> Iterator[tuple[int, Any]]:
    text = text.removeprefix("\ufeff")
    begins = text.lstrip()
    if begins.startswith("["):
        try:
            items = json.loads(text)
        except (ValueError, RecursionError):
            items = []
        yield from enumerate(items, 1)
    elif begins.startswith("{"):
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError):
                    yield number, line
    else:
        first = text.partition("\n")[0]
        separator = max(",;\t", key=first.count)
        try:
            for number, row in enumerate(csv.DictReader(text.splitlines(), delimiter=separator), 2):
                yield number, {key: value for key, value in row.items() if isinstance(key, str)}
        except csv.Error as problem:
            yield 1, str(problem)


def _request(row: Mapping[str, Any], file: str, line: int) -> SlowRequest | None:
    told = _Told(row)
    moment, duration = told.time(), told.duration()
    if moment is None or duration is None:
        return None
    dst, dport = told.address(_DESTINATIONS)
    src, sport = told.address(_SOURCES)
    # Our own log tells the beginning, and so do keys that say so; applications mostly log when they are done.
    begins = told.has(_BEGINS) or "connect_s" in row
    return SlowRequest(
        begin=moment if begins else moment - int(duration * 1e9),
        latest=moment,
        duration=duration,
        src=src,
        sport=told.port(_SPORTS) if sport is None else sport,
        dst=dst,
        dport=told.port(_DPORTS) if dport is None else dport,
        file=file,
        line=line,
    )


class _Told:
    """The fields of one request, by what they may be called."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._fields: dict[str, tuple[Any, float | None]] = {}
        for key, value in row.items():
            name = str(key).strip().lower().replace("-", "_")
            base, _, unit = name.rpartition("_")
            self._fields[name] = (value, None)
            if unit in _SUFFIXES:
                self._fields.setdefault(base, (value, _SUFFIXES[unit]))

    def has(self, names: tuple[str, ...]) -> bool:
        return any(name in self._fields for name in names)

    def _values(self, names: tuple[str, ...]) -> Iterator[tuple[Any, float | None]]:
        return (self._fields[name] for name in names if name in self._fields)

    def time(self) -> int | None:
        return next(
            (ns for value, unit in self._values(_TIMES) if (ns := _time(value, unit)) is not None), None
        )

    def duration(self) -> float | None:
        found = (_seconds(value, unit) for value, unit in self._values(_DURATIONS))
        return next((seconds for seconds in found if seconds is not None), None)

    def address(self, names: tuple[str, ...]) -> tuple[str | None, int | None]:
        for value, _ in self._values(names):
            form = _ADDRESS.fullmatch(value.strip()) if isinstance(value, str) else None
            if form is None:
                continue
            port = _port(form["port"])
            try:
                return str(ip_address(form["v6"] or form["bare"] or form["host"])), port
            except ValueError:  # a name, which captures do not know
                if port is not None:
                    return None, port
        return None, None

    def port(self, names: tuple[str, ...]) -> int | None:
        return next((port for value, _ in self._values(names) if (port := _port(value)) is not None), None)


def _port(value: object) -> int | None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | str)
        or not re.fullmatch(r"\d{1,5}", str(value))
    ):
        return None
    return int(value) if 0 < int(value) < 65536 else None


def _seconds(value: object, unit: float | None) -> float | None:
    """A number in *unit*, or an amount with its own: `1.02s`."""
    form = _AMOUNT.fullmatch(str(value).strip()) if isinstance(value, int | float | str) else None
    if form is None or isinstance(value, bool):
        return None
    seconds = float(form[1]) * (_UNITS[form[2]] if form[2] else unit or 1.0)
    return seconds if seconds < _LONGEST_S else None


def _time(value: object, unit: float | None) -> int | None:
    """ISO 8601, nginx's and logging's forms, or a number since the epoch whose size tells its unit; without a zone UTC."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = f"{value:.9f}" if isinstance(value, float) and 0 < value < 1e19 else str(value).strip()
    if _NUMBER.fullmatch(text):
        whole, _, rest = text.partition(".")
        digits = round(9 + log10(unit)) if unit else next(d for d, most in _SIZES if int(whole) < most)
        ns = int((whole + rest.ljust(9, "0")[:9]).ljust(len(whole) + 9, "0")) // 10 ** (9 - digits)
        return ns if 0 < ns < 1 << 63 else None
    try:
        moment = datetime.fromisoformat(text.replace(",", "."))
    except ValueError:
        try:
            moment = datetime.strptime(text.strip("[]"), "%d/%b/%Y:%H:%M:%S %z")
        except ValueError:
            return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    try:
        return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000
    except (OverflowError, ValueError):
        return None
