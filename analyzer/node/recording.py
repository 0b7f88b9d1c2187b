"""When each point was recording, by every witness there is.

A silent uplink shows no packets, so its own packets cannot tell. What else does, the strongest first: the manifest of a
recording; what the capturing program wrote when it ended (pcapng's interface statistics); packets of other interfaces in the
same file, which one program wrote. Of a file that is not whole, no word of its end holds: what followed may have been recorded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer.flow.point import Interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analyzer.evidence import SideEvidence
    from analyzer.flow.point import Point


def witness(points: Sequence[Point], evidence: SideEvidence) -> list[str]:
    """Set every point's `interval`, and tell of files that are not whole; to be asked for when the clocks agree."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for point in points:
        for file in point.recording.files if len(point.packets) else ():
            spans.setdefault(file.label, []).append(point.span)
    # Of each file once, not once for each of its points: it may have thousands of interfaces.
    ends = {
        file: (min(first for first, _ in told), max(last for _, last in told)) for file, told in spans.items()
    }
    caveats: list[str] = []
    for point in points:
        found = [*_manifest(point, evidence), *_ended(point)]
        lacks = _lacks(point, evidence) if len(point.packets) else ""
        if lacks or point.recording.damaged:
            known = max(
                (ends[file.label][1] for file in point.recording.files if file.label in ends), default=0
            )
            found = [replace(one, last=min(one.last, known)) for one in found if one.first <= known]
        if lacks and lacks not in caveats:
            caveats.append(lacks)
        for label in (file.label for file in point.recording.files):
            if len(spans.get(label, ())) > bool(len(point.packets)):
                first, last = ends[label]
                found.append(Interval(first=first, last=last, why=f"packets of other interfaces in {label}"))
        if found:
            point.interval = Interval(
                first=min(one.first for one in found),
                last=max(one.last for one in found),
                why="; ".join(dict.fromkeys(one.why for one in found)),
            )
    return caveats


def called(point: Point) -> tuple[str, ...]:
    """What the log of the program that recorded a point may call it: the interface, or the file that it wrote (`-i any`)."""
    labels = [file.label for file in point.recording.files]
    return (point.name, *labels, *(label.rsplit("/", 1)[-1].split(".", 1)[0] for label in labels))


def lacking(point: Point, evidence: SideEvidence) -> int:
    """Say how many packets a point's files hold less than its program said that it captured; a ring overwrites some."""
    captured = max((evidence.captured.get(name, 0) for name in called(point)), default=0)
    labels = [file.label for file in point.recording.files]
    ring = any(one.start is None and any(map(one.holds, labels)) for one in evidence.recordings)
    return 0 if ring else max(captured - point.recording.frames, 0)


def _lacks(point: Point, evidence: SideEvidence) -> str:
    number, frames = lacking(point, evidence), point.recording.frames
    if not number:
        return ""
    return (
        f"{', '.join(file.label for file in point.recording.files)}: {frames:,} of the {frames + number:,} packets that the "
        "capturing program counted: not all of it is here, and a packet missing after the last one proves nothing"
    )


def _manifest(point: Point, evidence: SideEvidence) -> Iterable[Interval]:
    """What a manifest says; where a ring overwrote the beginning, or the end is not told, the packets tell it."""
    for one in evidence.recordings:
        if (
            one.filter
            or one.direction != "inout"
            or not any(one.holds(file.label) for file in point.recording.files)
        ):
            continue
        first, last = point.span
        start = first if one.start is None else one.start + point.clock_offset
        stop = last if one.stop is None else one.stop + point.clock_offset
        if start <= stop:
            yield Interval(first=start, last=stop, why=one.file)


def _ended(point: Point) -> Iterable[Interval]:
    """What the program said of its own times."""
    if point.recording.interval is not None:
        first, last = (time + point.clock_offset for time in point.recording.interval)
        yield Interval(first=first, last=last, why="the capturing program's own start and end times")
