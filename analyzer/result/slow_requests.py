"""Logs of slow requests, read and joined to the connections of an analysis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.capture.naming import printable
from analyzer.connection.passages import flow_name
from analyzer.errors import UnusableInput
from analyzer.field import slowlog
from analyzer.field.explaining import Connection, SlowLog, explain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from analyzer.flow.point import Point

LARGEST = 128 << 20
"""Bytes that are read of one log."""
SLACK_NS = 10**9
"""A log may note whole seconds."""


def join(
    table: pd.DataFrame, points: Sequence[Point], files: Sequence[Path | str]
) -> tuple[SlowLog, list[str]]:
    """Say of each slow request which connection it waited for.

    Args:
        table: All connections, as `analyzer.result.connection_table` has them.
        points: All points.
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
    return explain(requests, list(_candidates(table, points, requests))), caveats


def _text(file: Path) -> tuple[str, list[str]]:
    try:
        with file.open("rb") as log:
            data = log.read(LARGEST + 1)
    except OSError as error:
        raise UnusableInput(f"{file}: cannot be read: {error.strerror}") from None
    cut = [f"{file}: only its first {LARGEST >> 20} MiB were read"] if len(data) > LARGEST else []
    return data[:LARGEST].decode(errors="replace"), cut


def _candidates(
    table: pd.DataFrame, points: Sequence[Point], requests: Sequence[slowlog.SlowRequest]
) -> Iterator[Connection]:
    """The connections that began while any request ran."""
    early = min((request.begin for request in requests), default=0) - SLACK_NS
    late = max((request.latest for request in requests), default=0) + SLACK_NS
    table = table[table["time"].astype("int64").between(early, late)]
    columns = (
        table["src"],
        table["src_port"].fillna(0),
        table["dst"],
        table["dst_port"].fillna(0),
        table["time"].astype("int64"),
        table["delay_s"].fillna(0.0),
        *(table[name].astype(object).fillna("") for name in ("outcome", "class", "incident", "cause")),
    )
    flows = {point.name: point.flows for point in points}
    names = (flow_name(flows[point], flow) for point, flow in zip(table["point"], table["flow"], strict=True))
    return (Connection(*row) for row in zip(*(column.tolist() for column in columns), names, strict=True))
