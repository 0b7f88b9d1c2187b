"""What each uploaded file is, also while it is still coming: capture points, packets, the time they cover; text; neither.

Runs confined. Only records are walked, nothing is decoded, so that a look costs little beside the analysis.
"""

from __future__ import annotations

import inspect
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from analyzer.capture import naming
from analyzer.capture.bundle import Bundle, EvidenceFile
from analyzer.errors import UnusableInput
from analyzer.evidence import collect
from analyzer.evidence.collecting import HEAD
from analyzer.evidence.sources import ip_link, ip_link_text, sources
from analyzer.evidence.unwrapping import unwrap, wrappers
from analyzer.web.folder import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from analyzer.capture.bundle import CaptureFile
    from analyzer.capture.reader import Records
    from analyzer.evidence.facts import Link

_SLL2 = 276
"""LINKTYPE_LINUX_SLL2: `tcpdump -i any` of today."""


@dataclass(slots=True, kw_only=True)
class Part:
    """What one file holds of one point."""

    label: str
    """The file within the bundle; a member of an archive has the archive's name before its own."""
    point: str
    role: str | None
    """By the name; None where only the traffic can tell."""
    packets: int = 0
    first: int = 0
    """Nanoseconds since the epoch."""
    last: int = 0

    def add(self, packets: int, first: int, last: int) -> None:
        """Count further packets."""
        self.first = min(self.first, first) if self.packets else first
        self.last = max(self.last, last) if self.packets else last
        self.packets += packets


def work(order: dict[str, Any], folder: Path) -> None:
    """Recognise each of `order["files"]` (number, path, name, complete) into `NUMBER.json`; `order["others"]` may help."""
    links = _links([*order["files"], *order["others"]])
    for file in order["files"]:
        write_json(
            folder / f"{file['number']}.json", look(Path(file["path"]), file["name"], file["complete"], links)
        )


def look(path: Path, name: str, complete: bool, links: Mapping[int, Link]) -> dict[str, Any]:
    """Say what one stored file is.

    Args:
        path: Where it is.
        name: What to call it.
        complete: False while it is still coming: that it ends early is no damage then.
        links: The node's interfaces by number, for `tcpdump -i any`.

    Returns: JSON-ready: `parts`, `texts` (label to what it is), `notes` (what is not used, and why).
    """
    size = path.stat().st_size
    parts: list[Part] = []
    notes: list[str] = []
    try:
        bundle = Bundle.open([path], called={path: name})
    except UnusableInput as problem:
        said = _text(EvidenceFile(label=name, source=_opener(path), size=size))
        texts = {name: said} if said else {}
        if not texts:
            # The sentence says that there is no capture, and then why the file is none.
            notes = [
                problem.reason.removeprefix(f"{naming.printable(name)}: no capture (pcap or pcapng) found; ")
            ]
        captures: Iterable[CaptureFile] = ()
    else:
        captures, notes = bundle.captures, [told(note, path, name) for note in bundle.caveats]
        texts = {_within(name, text.label): _text(text) or "text" for text in bundle.evidence}
    for capture in captures:
        label = _within(name, capture.label)
        reader = capture.open()
        found: dict[tuple[int, int], Part] = {}
        with suppress(UnusableInput):
            for records in reader.blocks():
                for key, packets, first, last in _lanes(
                    records, [interface.link for interface in reader.interfaces]
                ):
                    if key not in found:
                        hint = naming.hint(label)
                        found[key] = _part(label, hint, key, reader.interfaces[key[0]].name, links)
                    found[key].add(packets, first, last)
        notes += reader.caveats if complete else ()
        parts += found.values()
        if not found:
            hint = naming.hint(label)
            parts.append(Part(label=label, point=hint.point, role=_role(hint.role)))
    return {
        "bytes": size,
        "complete": complete,
        "parts": [asdict(part) for part in parts],
        "texts": texts,
        "notes": notes,
    }


def _opener(path: Path) -> Callable[[], BinaryIO]:
    return lambda: path.open("rb")


def told(note: str, path: Path, name: str) -> str:
    """Put the client's name where a sentence begins with that of the stored file."""
    return re.sub(rf"^{path.name}: ", lambda _: f"{name}: ", note)


def _within(name: str, label: str) -> str:
    """Return the label that a file has in a bundle of several: *label* is what it has alone."""
    return label if label == naming.printable(name) else f"{naming.printable(name)}/{label}"


def _text(file: EvidenceFile) -> str | None:
    """Name what a text file is: the source's own words for itself, up to the first comma."""
    head, damage = file.read(HEAD)
    if not head or "\0" in head or (damage and "first" not in damage):
        return None
    head = unwrap(head, wrappers(head))
    named = [
        re.split(r"[:,.(\n]", inspect.getdoc(source) or "")[0].replace("`", "").strip()
        for source in sources()
        if source.recognises(head)
    ]
    return " and ".join(named).replace("What ", "what ") or "text in no known format"


def _links(files: Iterable[Mapping[str, Any]]) -> Mapping[int, Link]:
    """Return the interface table, if one has arrived."""
    texts: list[EvidenceFile] = []
    for file in files:
        path = Path(file["path"])
        with suppress(UnusableInput):
            bundle = Bundle.open([path])
            texts += bundle.evidence
            continue
        texts.append(EvidenceFile(label=file["name"], source=_opener(path), size=0))
    return collect(
        text
        for text in texts
        if any(source.recognises(text.read(HEAD)[0]) for source in (ip_link, ip_link_text))
    ).interfaces


def _lanes(records: Records, link_types: list[int]) -> Iterable[tuple[tuple[int, int], int, int, int]]:
    """Yield (interface in the file, number on the node or 0), packets, first and last time."""
    keys = records.interface.astype(np.int64) << 32
    cooked = np.isin(records.interface, [n for n, link in enumerate(link_types) if link == _SLL2]) & (
        records.caplen >= 8
    )
    if cooked.any():
        # The interface's number is the header's second 32-bit word.
        data = np.frombuffer(records.data, np.uint8)
        at = records.start[cooked]
        keys[cooked] |= sum(data[at + 4 + byte].astype(np.int64) << (24 - 8 * byte) for byte in range(4))
    for key in np.unique(keys):
        times = records.time[keys == key]
        yield (int(key >> 32), int(key & 0xFFFFFFFF)), len(times), int(times.min()), int(times.max())


def _part(
    label: str, hint: naming.Hint, key: tuple[int, int], if_name: str | None, links: Mapping[int, Link]
) -> Part:
    if key[1]:
        name = naming.printable(links[key[1]].name) if key[1] in links else f"interface {key[1]}"
        return Part(label=label, point=name, role=_role(naming.role_of(name)))
    point = naming.refine(hint, if_name)
    return Part(label=label, point=point.point, role=_role(point.role))


def _role(role: naming.Role | None) -> str | None:
    return None if role == "any" else role
