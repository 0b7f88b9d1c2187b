"""Logs of slow requests, read and joined to the connections of an analysis."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.capture.naming import printable
from analyzer.connection.table import connections
from analyzer.errors import UnusableInput
from analyzer.field import slowlog
from analyzer.field.explaining import Connection, explain, summary
from analyzer.nat.passages import flow_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from analyzer.field.explaining import Explained, Verdict
    from analyzer.incident.scene import Scene

LARGEST = 128 << 20
"""Bytes that are read of one log."""
SLACK_NS = 10**9
"""A log may note whole seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """A slow request of somebody's log, and the connection that it waited for."""

    file: str
    line: int
    """Of the log."""
    time: int
    """When it began, at the earliest."""
    duration_s: float
    verdict: Verdict
    connection: str | None
    """`10.244.0.11:20000 > 192.0.2.100:80/tcp`, as its opener saw it; None where none fits. As the following."""
    outcome: str | None
    delay_s: float | None
    """What of the time its opener waited for it beyond a handshake without loss."""
    incident: str | None
    """Id of the incident that it belongs to, if any."""
    cause: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowLog:
    """Slow requests, explained."""

    says: str
    """`of 14 slow requests 13 are explained: 13 by snat-port-race; 1 was slow at the server`."""
    verdicts: dict[str, int]
    """Verdict to requests."""
    requests: tuple[Waited, ...] = field(repr=False)
    """In the order of the logs."""


def join(scene: Scene, files: Sequence[Path | str]) -> tuple[SlowLog, list[str]]:
    """Say of each slow request which connection it waited for.

    Args:
        scene: An analysis' columns.
        files: Logs, as `analyzer.field.slowlog` reads them.

    Returns:
        The requests, explained, and caveats.

    Raises:
        UnusableInput: A log cannot be read.
    """
    requests: list[slowlog.SlowRequest] = []
    caveats: list[str] = []
    for file in map(Path, files):
        text, cut = _text(file)
        found, strange = slowlog.read(text, printable(str(file)))
        requests += found
        caveats += [*cut, *strange]
    table = _near(connections(scene), requests)
    candidates = _candidates(table)
    explained = explain(requests, candidates)
    flows = {point.name: point.flows for point in scene.points}
    names = [flow_name(flows[name], flow) for name, flow in zip(table["point"], table["flow"], strict=True)]
    return (
        SlowLog(
            says=summary(explained, candidates),
            verdicts=dict(Counter(one.verdict for one in explained)),
            requests=tuple(_told(one, candidates, names) for one in explained),
        ),
        caveats,
    )


def _near(table: pd.DataFrame, requests: Sequence[slowlog.SlowRequest]) -> pd.DataFrame:
    """The connections that began while any request ran."""
    early = min((request.begin for request in requests), default=0) - SLACK_NS
    late = max((request.latest for request in requests), default=0) + SLACK_NS
    time = table["time"].astype("int64")
    return table[(time >= early) & (time <= late)]


def _text(file: Path) -> tuple[str, list[str]]:
    try:
        with file.open("rb") as log:
            data = log.read(LARGEST + 1)
    except OSError as error:
        raise UnusableInput(f"{file}: cannot be read: {error.strerror}") from None
    cut = [f"{file}: only its first {LARGEST >> 20} MiB were read"] if len(data) > LARGEST else []
    return data[:LARGEST].decode(errors="replace"), cut


def _candidates(table: pd.DataFrame) -> list[Connection]:
    texts = (table[name].astype(object).fillna("") for name in ("outcome", "class", "incident", "cause"))
    columns = (
        table["src"],
        table["src_port"].fillna(0),
        table["dst"],
        table["dst_port"].fillna(0),
        table["time"].astype("int64"),
        table["delay_s"].fillna(0.0),
        *texts,
    )
    return [Connection(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _told(one: Explained, candidates: Sequence[Connection], names: Sequence[str]) -> Waited:
    at = one.connection
    found = None if at is None else candidates[at]
    return Waited(
        file=one.request.file,
        line=one.request.line,
        time=one.request.begin,
        duration_s=one.request.duration,
        verdict=one.verdict,
        connection=None if at is None else names[at],
        outcome=found.outcome if found else None,
        delay_s=found.delay_s if found else None,
        incident=(found.incident or None) if found else None,
        cause=(found.cause or None) if found else None,
    )
