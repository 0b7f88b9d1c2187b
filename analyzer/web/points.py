"""From recognised files to capture points, and from these to what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from analyzer.capture import naming
from analyzer.capture.pauses import pauses
from analyzer.node.topology import LAYERS
from analyzer.report.coverage import WIDTH, Bar
from analyzer.report.words import clock, short

_ABSENT = {
    "pod": "no capture of a pod: cannot tell whether a packet left it; record it with lostsyn capture, "
    "or tcpdump -i vethXXXX -w vethXXXX.pcap",
    "bridge": "no capture of the bridge: cannot tell whether a packet was lost before or after it; "
    "record it with lostsyn capture, or tcpdump -i cni0 -w cni0.pcap",
    "uplink": "no capture of the uplink: cannot tell what left the node; record it with lostsyn capture, "
    "or tcpdump -i eth0 -w eth0.pcap",
}
_COUNTERS = "conntrack -S"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecognisedPoint:
    """One capture point, as far as its files have arrived."""

    name: str
    role: str | None
    """As somebody said, else as recognised."""
    recognised: str | None
    """By its name; None: what the traffic shows will decide."""
    files: tuple[str, ...]
    packets: int
    spans: tuple[tuple[int, int], ...]
    """First and last time of each file with packets, in order of time."""
    arriving: int | None
    """Of its files that are still coming, the first last time: what comes may fill any pause behind it. None: all came."""

    @property
    def first(self) -> int | None:
        """The time of the first packet."""
        return self.spans[0][0] if self.spans else None

    @property
    def last(self) -> int | None:
        """The time of the last packet."""
        return max(last for _, last in self.spans) if self.spans else None


def join(parts: Iterable[Mapping[str, Any]], roles: Mapping[str, str]) -> tuple[RecognisedPoint, ...]:
    """Make points of what the files hold, from the pod outwards.

    A part is an `analyzer.web.recognition.Part`, and whether its file was `complete` when it was looked at.
    Files of one name are one point, rotated, unless they lie in several folders and cover the same time.
    """
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for part in parts:
        by_name.setdefault(part["point"], []).append(part)
    points = [
        _point(name, several, roles)
        for point, group in by_name.items()
        for name, several in _apart(point, group)
    ]
    return tuple(sorted(points, key=lambda point: (LAYERS.get(point.role or "", 3), point.name)))


def _point(name: str, parts: Sequence[Mapping[str, Any]], roles: Mapping[str, str]) -> RecognisedPoint:
    by_name = naming.role_of(name.rpartition("/")[0].rpartition("/")[2]) if "/" in name else parts[0]["role"]
    recognised = by_name if by_name in LAYERS else None
    return RecognisedPoint(
        name=name,
        role=roles.get(name, recognised),
        recognised=recognised,
        files=tuple(dict.fromkeys(part["label"] for part in parts)),
        packets=sum(part["packets"] for part in parts),
        spans=tuple(sorted((part["first"], part["last"]) for part in parts if part["packets"])),
        arriving=min((part["last"] for part in parts if not part["complete"]), default=None),
    )


def _apart(
    point: str, parts: Sequence[Mapping[str, Any]]
) -> Iterable[tuple[str, Sequence[Mapping[str, Any]]]]:
    """Tell `pod/eth0.pcap` and `node/eth0.pcap` apart as `analyzer.capture.points` will."""
    folders: dict[str, list[Mapping[str, Any]]] = {}
    for part in parts:
        folders.setdefault(part["label"].rpartition("/")[0], []).append(part)
    spans = sorted(
        (min(part["first"] for part in seen), max(part["last"] for part in seen))
        for group in folders.values()
        if (seen := [part for part in group if part["packets"]])
    )
    if len(folders) == 1 or not any(begin <= end for (_, end), (begin, _) in pairwise(spans)):
        return [(point, parts)]
    return [(_longer(point, group[0]["label"]), group) for group in folders.values()]


def _longer(point: str, label: str) -> str:
    folder, _, file = label.rpartition("/")
    return "/".join(
        [*(part for part in (*folder.split("/"), file.split(".")[0]) if part and part != point), point]
    )


def strips(points: Sequence[RecognisedPoint]) -> tuple[tuple[Bar, ...], ...]:
    """Return bars for each point, one for each time without a pause that can be seen; as in the report, on one scale."""
    begins = [point.first for point in points if point.first is not None]
    ends = [point.last for point in points if point.last is not None]
    if not begins:
        return ((),) * len(points)
    low, span = min(begins), max(max(ends) - min(begins), 1)

    def bar(first: int, last: int) -> Bar:
        x = min((first - low) / span * WIDTH, WIDTH - 2)
        return Bar(x=round(x, 1), width=round(max((last - first) / span * WIDTH, 2.0), 1))

    drawn = []
    for point in points:
        merged: list[tuple[int, int]] = []
        for first, last in point.spans:
            if merged and first - merged[-1][1] < span / WIDTH:
                merged[-1] = merged[-1][0], max(merged[-1][1], last)
            else:
                merged.append((first, last))
        drawn.append(tuple(bar(*one) for one in merged))
    return tuple(drawn)


def missing(points: Sequence[RecognisedPoint], texts: Iterable[str]) -> list[str]:
    """Say what would have to be there for a full answer; not what a file that is still coming may bring.

    Args:
        points: What was captured.
        texts: What the text files are.
    """
    if not points:
        return []
    present = {point.role for point in points}
    said = [sentence for role, sentence in _ABSENT.items() if role not in present and None not in present]
    begins = [point.first for point in points if point.first is not None]
    ends = [point.last for point in points if point.last is not None]
    said += [
        f"no packet in {short(point.name, 40)}"
        for point in points
        if not point.packets and point.arriving is None
    ]
    for role in LAYERS:
        captured = [point for point in points if point.role == role]
        recorded = any(point.packets for point in captured)
        for begin, end in _holes(captured, min(begins), max(ends)) if recorded else ():
            of = "a pod" if role == "pod" else f"the {role}"
            said.append(f"no capture of {of} between {_second(begin)} and {_second(end)}")
    counters = sum(text.startswith(_COUNTERS) for text in texts)
    if counters < 2:
        said.append(
            f"{'only one output' if counters else 'no output'} of {_COUNTERS}: taken before and after, the kernel's own "
            "counters confirm what the captures show"
        )
    return said


def _holes(points: Sequence[RecognisedPoint], begin: int, end: int) -> Iterable[tuple[int, int]]:
    """Yield when none of *points* was recording, of the time that all captures cover."""
    spans = [span for point in points for span in point.spans]
    arriving = min((point.arriving for point in points if point.arriving is not None), default=end)
    for pause in pauses([(begin, begin), *spans, (end, end)], sum(point.packets for point in points)):
        if pause[0] < arriving:
            yield pause


def _second(time: int) -> str:
    return clock(time)[:8]
