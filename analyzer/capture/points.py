"""Capture files to recordings: which packets each capture point saw, under which name.

Files of one point (rotated captures) are joined in time order; a file of several interfaces (pcapng, `-i any`) is
split. Groups of files are decoded in parallel: the scan releases the GIL.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from analyzer.capture import naming
from analyzer.capture.decoder import Decoder
from analyzer.capture.lanes import Lanes, Part, split
from analyzer.capture.layout import ETHERTYPES, LINKS, SLL, SLL2_LANE
from analyzer.threads import side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from analyzer.capture.bundle import CaptureFile
    from analyzer.capture.columns import Flows, Packets, Stretch
    from analyzer.capture.storage import Memory
    from analyzer.evidence.facts import Link


@dataclass(slots=True, kw_only=True)
class Recording:
    """What one capture point recorded."""

    name: str
    """Of the point: the interface's name, as far as the files tell."""
    role: str | None
    """`pod`, `bridge` or `uplink` by the name; None where the traffic has to tell."""
    files: tuple[CaptureFile, ...]
    """In time order."""
    stretches: tuple[Stretch, ...]
    """Of the files, in their order; a file without packets has one as well."""
    packets: Packets
    flows: Flows
    storage: Memory
    """Where the packets' columns lie, and what is made of them shall."""
    skipped: dict[str, int]
    """Frames that became no row, by reason."""
    unread: tuple[int, int] | None = None
    """When the first and the last of those frames were seen, ns; None where every frame became a row."""
    dropped: int | None
    """Packets that the capturing program counted as lost; None where the files do not say."""
    caveats: tuple[str, ...] = ()
    lacks: frozenset[str] = frozenset()
    """Columns that its files tell nothing of, `ip_id` say: see `analyzer.capture.listing.listed.Notes.lacks`."""
    snaplen: int = 0
    """Bytes that were captured of a frame at most, by the files' headers; 0 for no limit."""

    @property
    def unread_share(self) -> float:
        """How much of what was recorded became no row, of 1: a point of which that is most tells no absence."""
        skipped = sum(self.skipped.values())
        return skipped / (skipped + len(self.packets)) if skipped else 0.0

    def locate(self, row: int) -> tuple[CaptureFile, int]:
        """The file and the frame number of a row."""
        return self.files[self.file_of(row)], int(self.packets.frame[row])

    @property
    def first_rows(self) -> list[int]:
        """Row of `packets` where each file begins."""
        return [stretch.first_row for stretch in self.stretches if not stretch.base]

    def file_of(self, row: int) -> int:
        """Index into `files`."""
        return self._stretch(row).file

    def offset_of(self, row: int) -> int:
        """Where in its uncompressed file a row's transport header begins."""
        return self._stretch(row).base + int(self.packets.offset[row])

    def _stretch(self, row: int) -> Stretch:
        return self.stretches[bisect_right(self.stretches, row, key=lambda stretch: stretch.first_row) - 1]


def record(
    captures: Sequence[CaptureFile],
    interfaces: Mapping[int, Link],
    roles: Mapping[str, str],
    progress: Callable[[int], None],
    storage: Memory,
) -> list[Recording]:
    """Read every capture.

    Args:
        captures: The files of one bundle.
        interfaces: The node's interface table by number, for `tcpdump -i any`.
        roles: Point name to role, where the user said so.
        progress: Called with how many more stored bytes were read.
        storage: Where the columns shall lie.

    Returns: One recording per capture point, in no particular order.
    """
    groups: dict[str, list[CaptureFile]] = {}
    for capture in captures:
        groups.setdefault(capture.point_hint.point, []).append(capture)
    apart = [files for group in groups.values() for files in _apart(group)]
    each = side_by_side(lambda files: _group(files, interfaces, progress, storage), apart)
    recordings = [recording for found in each for recording in found]
    _distinguish(recordings)
    for recording in recordings:
        recording.role = roles.get(recording.name, recording.role)
    return recordings


def _group(
    captures: list[CaptureFile],
    interfaces: Mapping[int, Link],
    progress: Callable[[int], None],
    storage: Memory,
) -> list[Recording]:
    """Decode the files of one group and split them by interface."""
    decoder = Decoder(storage, sum(capture.size for capture in captures))
    lanes = Lanes()
    caveats: list[str] = []
    limits: list[int] = []
    lacks: frozenset[str] = frozenset()
    dropped: dict[int, int] = {}
    captures = sorted(captures, key=_first_time) if len(captures) > 1 else captures
    for capture in captures:
        reader = capture.open()
        decoder.read(reader, lanes.of, progress)
        caveats += reader.caveats
        lacks |= reader.lacks
        limits += [interface.snaplen for interface in reader.interfaces if interface.snaplen]
        strange = sorted({i.link for i in reader.interfaces} - LINKS)
        caveats += [
            f"{capture.label}: link type {link} is not one that can be read; its frames are only counted"
            for link in strange
        ]
        if capture.point_hint.role in (None, "any") and SLL in {i.link for i in reader.interfaces}:
            caveats.append(
                f"{capture.label}: its link type, SLL, does not tell interfaces apart; if it holds several, "
                "record anew with tcpdump -i any -y LINUX_SLL2"
            )
        for index, count in reader.dropped_by.items():
            lane = lanes.of(reader.interfaces[index].name)
            dropped[lane] = dropped.get(lane, 0) + count
    packets, flows = decoder.finish()
    parts = split(packets, flows, [stretch.first_row for stretch in decoder.stretches], storage)
    used = set(parts)
    # An interface whose every frame was skipped has no flow, and is a point all the same. Of `-i any` the scan cannot
    # tell whose they are: lane 0 counts them, and the first interface shows them.
    cooked = any(lane >= SLL2_LANE for lane in used)
    used |= {lane for lane in range(len(lanes.names)) if decoder.skipped(lane) and not (cooked and lane == 0)}
    unclaimed = {} if 0 in used else decoder.skipped(0)
    foreign = decoder.foreign()
    nothing = Part(
        packets=packets.between(0, 0),
        flows=flows.take(np.zeros(0, np.int64), storage),
        first_rows=(0,) * len(decoder.stretches),
    )
    recordings: list[Recording] = []
    for lane in sorted(used) or [0]:
        point = _lane_point(lane, lanes, captures[0].point_hint, interfaces)
        part = parts.get(lane, nothing)
        if lane < SLL2_LANE:
            skipped = decoder.skipped(lane)
        else:
            skipped, unclaimed = unclaimed, {}
        told = list(caveats) if not recordings else []
        told += _mostly_unread(captures[0].label, skipped, len(part.packets), foreign)
        recordings.append(
            Recording(
                name=point.point,
                role=None if point.role == "any" else point.role,
                files=tuple(captures),
                stretches=tuple(
                    stretch._replace(first_row=row)
                    for stretch, row in zip(decoder.stretches, part.first_rows, strict=True)
                ),
                packets=part.packets,
                flows=part.flows,
                storage=storage,
                skipped=skipped,
                unread=decoder.unread(lane if lane < SLL2_LANE else 0) if skipped else None,
                dropped=dropped.get(lane if lane < SLL2_LANE else 0),
                caveats=tuple(told),
                lacks=lacks,
                snaplen=min(limits, default=0),
            )
        )
    return recordings


def _mostly_unread(
    label: str, skipped: Mapping[str, int], rows: int, foreign: Mapping[int, int]
) -> list[str]:
    """Say it where more frames of an interface became no row than did, and what most of them are."""
    count = sum(skipped.values())
    if count <= rows:
        return []
    kind, most = next(iter(foreign.items()), (0, 0))
    if skipped.get("not IP or ARP", 0) * 2 > count and most:
        what = f"{min(most, count):,} of {count + rows:,} frames are {_called(kind)}"
    else:
        reason, most = max(skipped.items(), key=lambda item: item[1])
        what = f"{most:,} of {count + rows:,} frames are not decoded ({reason})"
    return [
        f"{label}: {what}: what they carried cannot be told, so that a packet is missing here proves nothing"
    ]


def _called(kind: int) -> str:
    """An EtherType by its name, where it has one that people know."""
    name = ETHERTYPES.get(kind, "802.3 frames with LLC" if kind < 0x600 else "of a protocol that is not read")
    return name if kind < 0x600 else f"{name} (EtherType {kind:#06x})"


def _first_time(capture: CaptureFile) -> tuple[int, str]:
    """When the file begins, to join rotated files; a file without packets comes first."""
    for records in capture.open().blocks():
        if records.count:
            return int(records.time[0]), capture.label
    return 0, capture.label


def _apart(captures: list[CaptureFile]) -> list[list[CaptureFile]]:
    """Tell rotated files from several points of one name, `pod/eth0.pcap` and `node/eth0.pcap`.

    Those lie in several folders and recorded at the same time.
    """
    folders: dict[str, list[CaptureFile]] = {}
    for capture in captures:
        folders.setdefault(capture.label.rpartition("/")[0], []).append(capture)
    if len(folders) == 1 or captures[0].point_hint.explicit:
        return [captures]
    spans = sorted(span for files in folders.values() if (span := _span(files)))
    overlap = any(begin <= end for (_, end), (begin, _) in pairwise(spans))
    return list(folders.values()) if overlap else [captures]


def _span(captures: list[CaptureFile]) -> tuple[int, int] | None:
    """First and last time of these files' packets, ns; None without packets."""
    times = [
        (int(records.time.min()), int(records.time.max()))
        for capture in captures
        for records in capture.open().blocks()
        if records.count
    ]
    return (min(first for first, _ in times), max(last for _, last in times)) if times else None


def _lane_point(lane: int, lanes: Lanes, hint: naming.Hint, interfaces: Mapping[int, Link]) -> naming.Hint:
    """What names say of the point: the user's word, the interface's name, the interface table, the file's name."""
    if lane >= SLL2_LANE:
        link = interfaces.get(lane - SLL2_LANE)
        name = naming.printable(link.name) if link else f"interface {lane - SLL2_LANE}"
        return naming.Hint(point=name, role=naming.role_of(name))
    return naming.refine(hint, lanes.names[lane] if lane < len(lanes.names) else None)


def _distinguish(recordings: list[Recording]) -> None:
    """Give points that claim one name (eth0 of the pod and of the node) the path of their file as well.

    That two have it makes the name no sign of a role; what else is in the path may be one.
    """
    names = [recording.name for recording in recordings]
    counts = Counter(names)
    for recording, name in zip(recordings, names, strict=True):
        if counts[name] > 1:
            folder, _, file = recording.files[0].label.rpartition("/")
            parts = [part for part in (*folder.split("/"), file.split(".")[0]) if part and part != name]
            recording.name = "/".join([*parts, name])
            roles = (naming.role_of(part) for part in reversed(parts))
            recording.role = next((role for role in roles if role in ("pod", "bridge", "uplink")), None)
