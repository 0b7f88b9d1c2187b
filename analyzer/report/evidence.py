"""The packets that the incidents tell of, from all points, as one pcapng file for Wireshark.

Each capture point is an interface, each packet says in a comment what it is and where it comes from, and all times
are on the common clock. The bytes are read again from the captures, of each only the headers unless payload is
asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from analyzer import __version__
from analyzer.capture import blocks
from analyzer.capture.files import CaptureFile
from analyzer.connection.model import Fate, Passage, Sighting
from analyzer.incident.model import Finding, Incident
from analyzer.report import headers
from analyzer.report.redaction import Redaction
from analyzer.report.words import count, printable
from analyzer.result.analysis import Result
from analyzer.result.saving import saving

PACKETS = 20_000
"""Packets of one file, at most."""
BYTES = 128 << 20
"""Bytes of packets in one file, at most."""
COMMENTS = 8
"""Comments on one packet, at most: a partner may belong to several connections."""

_ROLES = {"reply": "reply", "partner": "partner", "offender": "offender", "host-reset": "host RST"}


@dataclass(frozen=True, slots=True)
class Written:
    """What became of the packets that the incidents tell of."""

    packets: int
    """How many the file holds."""
    left_out: int
    """How many it does not hold: beyond `PACKETS` or `BYTES`, or no longer in the captures."""


@dataclass(slots=True)
class _Told:
    """One packet of the file."""

    sighting: Sighting
    comments: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a capture holds of it."""

    data: bytes
    wirelen: int
    link: int


def write(analysis: Result, path: Path, *, payload: bool = False, key: bytes | None = None) -> Written:
    """Write the packets of all incidents of *analysis* to *path*.

    Args:
        analysis: Made by `analyze`: its captures are read again.
        path: The pcapng file.
        payload: Keep what follows the transport headers, as far as it was captured.
        key: Replace addresses as `analyzer.report.redaction.redact` does with this key; not together with *payload*.

    Raises:
        ValueError: *analysis* holds no captures, or payload is to be redacted.
        LostsynError: A capture cannot be read any more, or *path* cannot be written.
    """
    if payload and key is not None:
        raise ValueError("payload cannot be redacted")
    redaction = None if key is None else Redaction(key)
    if redaction:
        redaction.learn(analysis)
    told, beyond = _told(analysis)
    frames = dict(_frames(_files(analysis), told, payload, redaction))
    packets = sorted(
        (packet for place, packet in told.items() if place in frames), key=lambda packet: packet.sighting.time
    )
    written = Written(len(packets), beyond + len(told) - len(packets))
    with saving(path) as file:
        about = _about(analysis, written, payload)
        text = redaction.text if redaction else str
        if redaction:
            about = f"{about} {redaction.caveat[0].upper()}{redaction.caveat[1:]}"
        for block in _blocks(analysis, packets, frames, about, text):
            file.write(block)
    return written


def _files(analysis: Result) -> dict[str, CaptureFile]:
    if analysis.scene is None:
        raise ValueError(
            "this Analysis holds no captures; evidence is written of what analyzer.analyze() made"
        )
    return {file.label: file for point in analysis.scene.points for file in point.recording.files}


def _told(analysis: Result) -> tuple[dict[tuple[str, int], _Told], int]:
    """The packets that are told of, by file and frame, with their comments, and how many are beyond `PACKETS`.

    The first finding of every incident comes before the second of any, so that no incident crowds another out.
    """
    told: dict[tuple[str, int], _Told] = {}
    beyond: set[tuple[str, int]] = set()
    rows = zip_longest(*(incident.findings for incident in analysis.incidents))
    for number, row in enumerate(rows, 1):
        for incident, finding in zip(analysis.incidents, row, strict=True):
            for sighting, says in _finding(finding) if finding else ():
                key = sighting.file, sighting.frame
                if key not in told and len(told) >= PACKETS:
                    beyond.add(key)
                    continue
                packet = told.setdefault(key, _Told(sighting))
                if len(packet.comments) < COMMENTS:
                    packet.comments.append(f"{says} ({_source(incident, number, sighting)})")
    return told, len(beyond)


def _source(incident: Incident, number: int, sighting: Sighting) -> str:
    return f"{incident.id}, connection {number}; {printable(sighting.file)} frame {sighting.frame}"


def _finding(finding: Finding) -> Iterator[tuple[Sighting, str]]:
    drawn: set[tuple[str, int]] = set()
    for passage in finding.passages:
        for place, sighting in enumerate(passage.sightings):
            drawn.add((sighting.file, sighting.frame))
            yield sighting, f"{_what(passage)}: {_place(passage, place)}"
    for number, attempt in enumerate(finding.attempts, 1):
        for sighting in attempt.packets:
            if (sighting.file, sighting.frame) not in drawn:
                yield sighting, f"attempt {number}: {attempt.fate.value}"


def _what(passage: Passage) -> str:
    if passage.role == "attempt" and passage.note:
        return passage.note
    what = f"{_ROLES.get(passage.role, passage.role or 'context')}, {passage.label}"
    return f"{what}, {passage.note}" if passage.note else what


def _place(passage: Passage, place: int) -> str:
    if place + 1 < len(passage.sightings):
        return f"seen here, next at {printable(passage.sightings[place + 1].point)}"
    if passage.fate is Fate.PASSED:
        return "seen here"
    gap = f" between {printable(passage.gap[0])} and {printable(passage.gap[1])}" if passage.gap else ""
    return f"last seen here, {passage.fate.value}{gap}"


def _frames(
    files: Mapping[str, CaptureFile],
    told: Mapping[tuple[str, int], _Told],
    payload: bool,
    redaction: Redaction | None,
) -> Iterator[tuple[tuple[str, int], _Frame]]:
    """Read each file once, up to the last frame that is wanted of it."""
    wanted: dict[str, set[int]] = {}
    for label, frame in told:
        wanted.setdefault(label, set()).add(frame)
    room = BYTES
    for label, numbers in wanted.items():
        reader = files[label].open()
        for records in reader.blocks():
            for number, row in records.find(numbers):
                numbers.discard(number)
                begin = int(records.start[row])
                data = bytes(records.data[begin : begin + int(records.caplen[row])])
                link = reader.interfaces[records.interface[row]].link
                if not payload:
                    data = redaction.frame(data, link) if redaction else data[: headers.read(data, link).end]
                room -= len(data)
                if room < 0:
                    return
                yield (label, number), _Frame(data, int(records.wirelen[row]), link)
            if not numbers:
                break


def _blocks(
    analysis: Result,
    packets: list[_Told],
    frames: Mapping[tuple[str, int], _Frame],
    about: str,
    text: Callable[[str], str],
) -> Iterator[bytes]:
    # Times of captures with another time base may lie before 1970 on the common clock.
    offset = min((packet.sighting.time // 1_000_000_000 for packet in packets), default=0)
    offset = min(offset, 0)
    yield blocks.section(text(about), f"lostsyn {__version__}")
    indices: dict[tuple[str, int], int] = {}
    described = {point.name: point for point in analysis.capture_points}
    order = {name: place for place, name in enumerate(described)}
    shown = _unique(
        {name: text(printable(name, 200)) for name in (*described, *(p.sighting.point for p in packets))}
    )
    used = {(p.sighting.point, frames[p.sighting.file, p.sighting.frame].link) for p in packets}
    for name, link in sorted(used, key=lambda key: (order.get(key[0], len(order)), key)):
        indices[name, link] = len(indices)
        role = described[name].role if name in described else "unknown"
        yield blocks.interface(shown[name], f"capture point, {role}", link, offset)
    for packet in packets:
        frame = frames[packet.sighting.file, packet.sighting.frame]
        index = indices[packet.sighting.point, frame.link]
        time = packet.sighting.time - offset * 1_000_000_000
        yield blocks.packet(index, time, frame.data, frame.wirelen, map(text, packet.comments))


def _unique(names: Mapping[str, str]) -> dict[str, str]:
    """Number what is shown alike: interfaces of one name would be one point to who reads the file."""
    taken: set[str] = set()
    found = {}
    for name, shown in names.items():
        told, number = shown, 1
        while told in taken:
            number += 1
            told = f"{shown} ({number})"
        taken.add(told)
        found[name] = told
    return found


def _about(analysis: Result, written: Written, payload: bool) -> str:
    says = [
        f"The packets that Lostsyn's report on {printable(analysis.bundle)} tells of",
        f"{count(len(analysis.incidents), 'incident')}; times on the common clock of the capture points",
        "payload as captured" if payload else "payload is cut off behind the transport headers",
    ]
    if written.left_out:
        says.append(f"{written.left_out} further packets are left out")
    return "; ".join(says) + "."
