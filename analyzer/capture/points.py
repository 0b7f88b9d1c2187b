"""Capture files to recordings: which packets each capture point saw, under which name.

Files of one point (rotated captures) are joined in time order; a file of several interfaces (pcapng, `-i any`) is
split. Groups of files are decoded in parallel: the scan releases the GIL.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analyzer.capture import naming
from analyzer.capture.columns import Flows, Packets, Stretch
from analyzer.capture.concurrent import once
from analyzer.capture.cooked import tell_apart
from analyzer.capture.decoder import Decoder
from analyzer.capture.dissecting import layers
from analyzer.capture.files import CaptureFile
from analyzer.capture.identity import distinguish, hints, merge_cooked
from analyzer.capture.interfaces import BEYOND, Interfaces, Part, split
from analyzer.capture.layout import CUT, ETHERTYPES, FRAGMENT, LINKS, SLL, SLL2_IFACE, SLL_IFACE
from analyzer.capture.link import Link
from analyzer.capture.rotation import candidates, in_order
from analyzer.capture.storage import Memory
from analyzer.compute.threads import side_by_side
from analyzer.errors import UnknownPoint, UnusableInput

_MOST = (1 << 64) - 1
"""What a counter of a file can hold; of several files the sum is no more, either."""


@dataclass(slots=True, kw_only=True)
class Recording:
    """What one capture point recorded."""

    name: str
    """Of the point: the interface's name, as far as the files tell."""
    role: str | None
    """`pod`, `bridge`, `tunnel` or `uplink` by the name; None where the traffic has to tell."""
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
    interval: tuple[int, int] | None = None
    """From when to when it was recorded, ns, as the capturing program said; None where it did not."""
    caveats: tuple[str, ...] = ()
    lacks: frozenset[str] = frozenset()
    """Columns that its files tell nothing of, `ip_id` say: see `analyzer.capture.listing.listed.Notes.lacks`."""
    copied: bool = False
    """Whether it may be several interfaces, a bridge and its ports, that recorded packets more than once."""
    snaplen: int = 0
    """Bytes that were captured of a frame at most, by the files' headers; 0 for no limit."""
    frames: int = 0
    """Of its files, with those of other points in them and those that became no row."""
    damaged: bool = False
    """Whether one of its files was not read to the end of what was recorded."""

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
    interfaces: Callable[[str], Mapping[int, Link]],
    roles: Mapping[str, str],
    progress: Callable[[int], None],
    storage: Memory,
) -> list[Recording]:
    """Read every capture.

    Args:
        captures: The files of one bundle.
        interfaces: Gives by number the interfaces of the node that a file is of, for `tcpdump -i any`; of all, for an empty name.
            Asked when the packets are read.
        roles: Point name to role, where the user said so.
        progress: Called with how many more stored bytes were read.
        storage: Where the columns shall lie.

    Returns: One recording per capture point, in no particular order; no two have one name.

    Raises:
        UnusableInput: None of the files can be read any more, or *roles* names no role, or no point of theirs.
    """
    if wrong := [role for role in roles.values() if role not in naming.ROLES]:
        raise UnusableInput(f"roles: {wrong[0]!r} is not a role; use pod, bridge or uplink")
    gone: list[str] = []
    each = side_by_side(
        lambda files: _points(files, interfaces, progress, storage, gone), candidates(captures)
    )
    if len(gone) == len(captures):
        raise UnusableInput(gone[0])
    recordings = once([recording for found in each for recording in found])
    distinguish(recordings, interfaces("").values())
    stays = {id(recording) for recording in recordings}
    for found in each:
        several = [one for one in found if id(one) in stays]
        if len(several) > 1 and len({recording.files for recording in several}) > 1:
            several[0].caveats += (_apart(several),)
    for recording in recordings:
        recording.role = roles.get(recording.name, recording.role)
    if missing := sorted(roles.keys() - {recording.name for recording in recordings}):
        known = ", ".join(recording.name for recording in recordings)
        raise UnknownPoint(
            f"roles: no capture point is called {', '.join(missing)}; there are {known}", missing
        )
    return recordings


def _points(
    captures: list[CaptureFile],
    interfaces: Callable[[str], Mapping[int, Link]],
    progress: Callable[[int], None],
    storage: Memory,
    gone: list[str],
) -> list[Recording]:
    """Decode files that share a name: those that follow each other as one, any that overlaps on its own."""
    found: list[Recording] = []
    left = in_order(captures)
    while left:
        first = left[0][1]
        group = _Group(first, storage, sum(capture.size for _, capture in left))
        left = group.read(left, progress)
        found += group.recordings(interfaces(first.label))
        gone += group.gone
    return found


class _Group:
    """Files that are read as one, one after the other."""

    def __init__(self, first: CaptureFile, storage: Memory, stored: int) -> None:
        self.hint = first.point_hint
        self.ifaces = Interfaces(None if self.hint.explicit else self.hint)
        self.decoder = Decoder(storage, stored)
        self.storage = storage
        self.files: list[CaptureFile] = []
        self.caveats: list[str] = []
        self.gone: list[str] = []
        self.frames = 0
        self.damaged = False
        self.limits: list[int] = []
        self.lacks: frozenset[str] = frozenset()
        self.dropped: dict[int, int] = {}
        self.recorded: dict[int, tuple[int, int]] = {}

    def read(
        self, captures: Sequence[tuple[int | None, CaptureFile]], progress: Callable[[int], None]
    ) -> list[tuple[int | None, CaptureFile]]:
        """Decode the files that follow each other, and return those that do not."""
        left: list[tuple[int | None, CaptureFile]] = []
        for first, capture in captures:
            if first is not None and not self.hint.explicit and self.decoder.recorded_at(first):
                left.append((first, capture))
            else:
                self._read(capture, progress)
        return left

    def _read(self, capture: CaptureFile, progress: Callable[[int], None]) -> None:
        reader = capture.open()
        reading = self.ifaces.reading(reader)
        self.files.append(capture)
        try:
            self.decoder.read(reader, reading.of, progress)
        except UnusableInput as problem:  # gone, or another file, since the bundle was searched
            self.caveats.append(str(problem))
            self.gone.append(str(problem))
        self.caveats += reader.caveats
        self.frames += reader.frames
        self.damaged |= reader.damaged
        self.lacks |= reader.lacks
        self.limits += [interface.snaplen for interface in reader.interfaces if interface.snaplen]
        strange = sorted({interface.link for interface in reader.interfaces} - LINKS)
        self.caveats += [
            f"{capture.label}: link type {link} is not supported; its frames are only counted"
            for link in strange
        ]
        if capture.point_hint.role in (None, "any") and SLL in {i.link for i in reader.interfaces}:
            self.caveats.append(
                f"{capture.label}: its link type, SLL, does not name interfaces; if it holds several, they are told apart by "
                "the frames' addresses; to have them named, record anew with tcpdump -i any -y LINUX_SLL2"
            )
        for index, count in reader.dropped_by.items():
            iface = reading.iface(index)
            self.dropped[iface] = min(self.dropped.get(iface, 0) + count, _MOST)
        for index, (first, last) in reader.recorded_by.items():
            iface = reading.iface(index)
            before = self.recorded.get(iface, (first, last))
            self.recorded[iface] = min(before[0], first), max(before[1], last)

    def recordings(self, interfaces: Mapping[int, Link]) -> list[Recording]:
        """Split what was read by interface."""
        decoder, storage = self.decoder, self.storage
        packets, flows = decoder.finish()
        faces = False
        if self.hint.role in (None, "any") and not self.hint.explicit:
            faces = tell_apart(flows, interfaces)
        else:
            flows.iface[flows.iface >= SLL_IFACE] = 0
        merge_cooked(flows, interfaces)
        parts = split(packets, flows, [stretch.first_row for stretch in decoder.stretches], storage)
        parts.pop(SLL_IFACE, None)
        if BEYOND in self.ifaces.numbers.values() or BEYOND in parts:
            left_out = len(parts.pop(BEYOND).packets) if BEYOND in parts else 0
            self.caveats.append(
                f"{self.files[0].label}: more than {BEYOND} interfaces are named; {left_out} packets of those beyond were "
                "left out"
            )
        used = set(parts)
        # An interface whose every frame was skipped has no flow, and is a point all the same. Of `-i any` the scan cannot
        # tell whose they are: interface 0 counts them, and the first interface shows them.
        cooked = any(iface >= SLL2_IFACE for iface in used)
        used |= {
            iface
            for iface in range(len(self.ifaces.interfaces))
            if decoder.skipped(iface) and not (cooked and iface == 0)
        }
        unclaimed = {} if 0 in used else decoder.skipped(0)
        foreign = decoder.foreign()
        nothing = Part(
            packets=packets.between(0, 0),
            flows=flows.take(np.zeros(0, np.int64), storage),
            first_rows=(0,) * len(decoder.stretches),
        )
        called = hints(used, self.ifaces, self.hint, interfaces)
        limit = min(self.limits, default=0)
        recordings: list[Recording] = []
        for iface in sorted(used) or [0]:
            point = called.get(iface, self.hint)
            part = parts.get(iface, nothing)
            if iface < SLL2_IFACE:
                skipped = decoder.skipped(iface)
            else:
                skipped, unclaimed = unclaimed, {}
            told = [] if recordings else list(self.caveats)
            told += _mostly_unread(self.files[0], skipped, len(part.packets), foreign)
            told += _without_ports(self.files[0].label, part, limit)
            recordings.append(
                Recording(
                    name=point.point,
                    role=None if point.role == "any" else point.role,
                    files=tuple(self.files),
                    stretches=tuple(
                        stretch._replace(first_row=row)
                        for stretch, row in zip(decoder.stretches, part.first_rows, strict=True)
                    ),
                    packets=part.packets,
                    flows=part.flows,
                    storage=storage,
                    skipped=skipped,
                    unread=decoder.unread(iface if iface < SLL2_IFACE else 0) if skipped else None,
                    dropped=self.dropped.get(iface if iface < SLL2_IFACE else 0),
                    interval=self.recorded.get(iface if iface < SLL2_IFACE else 0),
                    caveats=tuple(told),
                    lacks=self.lacks,
                    copied=faces and iface >= SLL2_IFACE,
                    snaplen=limit,
                    frames=self.frames,
                    damaged=self.damaged or bool(self.gone),
                )
            )
        return recordings


def _apart(recordings: Sequence[Recording]) -> str:
    names = sorted({recording.name for recording in recordings})
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (
        f"{', '.join(names[:5])}{more}: their files have one name, but recorded at the same time, so they are points "
        "of their own"
    )


def _mostly_unread(
    file: CaptureFile, skipped: Mapping[str, int], rows: int, foreign: Mapping[int, int]
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
    if kind not in ETHERTYPES and (seen := layers(file)):
        what += f", the first are {seen}"
    return [f"{file.label}: {what}: their contents are unknown, so a packet missing here proves nothing"]


def _without_ports(label: str, part: Part, snaplen: int) -> list[str]:
    """Say it where packets of TCP or UDP were cut off before what tells their connection: with 64 bytes, all of TCP in IPv6."""
    cut = part.packets.bits & (CUT | FRAGMENT) == CUT
    flow = part.packets.flow[cut]
    lost = int((np.isin(part.flows.proto[flow], (6, 17)) & (part.flows.ports[flow] == 0)).sum())
    if 20 * lost <= len(part.packets):
        return []
    return [
        f"{label}: {lost:,} of {len(part.packets):,} packets are cut off within their transport header"
        f"{f' (snaplen {snaplen})' if snaplen else ''}: which connection they are of cannot be told; record anew with -s 256"
    ]


def _called(kind: int) -> str:
    """An EtherType by its name, where it has one that people know."""
    name = ETHERTYPES.get(kind, "802.3 frames with LLC" if kind < 0x600 else "of a protocol that is not read")
    return name if kind < 0x600 else f"{name} (EtherType {kind:#06x})"
