"""Which files are one rotated capture, and which only share a name: files that overlap in time are several points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice, pairwise

from analyzer.capture import naming
from analyzer.capture.files import CaptureFile
from analyzer.capture.reader import Records
from analyzer.capture.stations import station
from analyzer.errors import UnusableInput

_MOST_OWNERS = 200
"""Folders, or prefixes of names, that are compared with each other; what is beyond is the first one's."""


def candidates(captures: Sequence[CaptureFile]) -> list[list[CaptureFile]]:
    """Put together the files that may be one point's; whether the files of a series follow each other shows as they are read.

    Names alone are one series (`eth0.pcap1`, `eth0.pcap2`). Several series of one name are one point if none recorded at
    the time of another: folders of days, tcpdump's file and a later one of dumpcap. What the user calls by one name is one.
    """
    points: dict[str, dict[tuple[str, str], list[CaptureFile]]] = {}
    for capture in captures:
        hint = capture.point_hint
        if not hint.explicit:
            hint = naming.refine(hint, capture.if_name)
            capture = replace(capture, point_hint=hint)
        key = ("", "") if hint.explicit else naming.series(capture.label)
        points.setdefault(hint.point, {}).setdefault(key, []).append(capture)
    nodes = _nodes(points)
    found: list[list[CaptureFile]] = []
    for series in points.values():
        by_node: dict[int, list[list[CaptureFile]]] = {}
        for files in series.values():
            by_node.setdefault(nodes.get(_owner(files), 0), []).append(files)
        for several in by_node.values():
            found += several if len(several) > 1 and _parallel(several) else [[*chain.from_iterable(several)]]
    return found


def _owner(series: Sequence[CaptureFile]) -> str:
    return naming.owner(series[0].label)[0]


def _nodes(points: Mapping[str, Mapping[tuple[str, str], Sequence[CaptureFile]]]) -> dict[str, int]:
    """Number the nodes that the files' owners may be, by the names of `naming.owner`.

    Two owners are two nodes where an interface that both have has a station of its own in each, and none has the same.
    """
    stations: dict[str, dict[str, frozenset[bytes]]] = {}
    for name, series in points.items():
        owners = {_owner(files) for files in series.values()}
        for files in series.values():
            seen = stations.setdefault(_owner(files), {})
            if len(owners) > 1 and name not in seen:
                seen[name] = next(filter(None, map(station, files)), frozenset())
    found: dict[str, int] = {}
    for owner, mine in islice(stations.items(), _MOST_OWNERS):
        others = {known for known in found if _strangers(mine, stations[known])}
        same = (number for known, number in found.items() if known not in others)
        found[owner] = next(same, len(set(found.values())))
    return found


def _strangers(a: Mapping[str, frozenset[bytes]], b: Mapping[str, frozenset[bytes]]) -> bool:
    pairs = [(a[name], b[name]) for name in a.keys() & b.keys() if a[name] and b[name]]
    return any(not one & other for one, other in pairs) and not any(one == other for one, other in pairs)


def in_order(captures: Sequence[CaptureFile]) -> list[tuple[int | None, CaptureFile]]:
    """Sort files by their first packet, which comes with them; one without packets, or that is gone, comes first."""
    if len(captures) == 1:
        return [(None, captures[0])]
    return sorted(
        ((_first_time(capture), capture) for capture in captures), key=lambda it: (it[0] or 0, it[1].label)
    )


def _parallel(several: Sequence[Sequence[CaptureFile]]) -> bool:
    """Whether any of these series recorded while another one did."""
    spans = sorted(span for files in several if (span := _span(files)))
    return any(begin <= end for (_, end), (begin, _) in pairwise(spans))


def _first_time(capture: CaptureFile) -> int | None:
    return next((int(records.time[0]) for records in _blocks(capture)), None)


def _span(captures: Sequence[CaptureFile]) -> tuple[int, int] | None:
    """First and last time of these files' packets, ns; None without packets."""
    times = [
        (int(records.time.min()), int(records.time.max()))
        for capture in captures
        for records in _blocks(capture)
    ]
    return (min(first for first, _ in times), max(last for _, last in times)) if times else None


def _blocks(capture: CaptureFile) -> Iterator[Records]:
    try:
        yield from (records for records in capture.open().blocks() if records.count)
    except UnusableInput:  # gone by now: decoding says so
        return
