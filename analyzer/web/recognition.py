"""What each uploaded file is, also while it is still coming: capture points, packets, the time they cover; text; neither.

Runs confined. Only records are walked, nothing is decoded, so that a preview costs little beside the analysis.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from analyzer.capture import naming
from analyzer.capture.bundle import Bundle
from analyzer.capture.files import CaptureFile, EvidenceFile
from analyzer.capture.interfaces import BEYOND
from analyzer.capture.link import Link
from analyzer.capture.reader import Records
from analyzer.errors import UnusableInput
from analyzer.evidence import collect
from analyzer.evidence.collecting import HEAD
from analyzer.evidence.sources import ip_link, ip_link_text, sources
from analyzer.evidence.unwrapping import unwrap, wrappers
from analyzer.web.folder import write_json
from analyzer.web.preview import Part, Preview, fitted

_SLL2 = 276
"""LINKTYPE_LINUX_SLL2: `tcpdump -i any` of today."""


def work(order: dict[str, Any], folder: Path) -> None:
    """Recognise each of `order["files"]` (number, path, name, complete) into `NUMBER.json`; `order["others"]` may help."""
    links = _links([*order["files"], *order["others"]])
    for file in order["files"]:
        found = preview(Path(file["path"]), file["name"], file["complete"], links)
        write_json(folder / f"{file['number']}.json", asdict(fitted(found, naming.printable(file["name"]))))


def preview(path: Path, name: str, complete: bool, links: Mapping[int, Link]) -> Preview:
    """Say what one stored file is.

    Args:
        path: Where it is.
        name: What to call it.
        complete: False while it is still coming: that it ends early is no damage then.
        links: The node's interfaces by number, for `tcpdump -i any`.
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
        found, damage = _capture(capture, label, links)
        parts += found
        notes += damage if complete else ()
    return Preview(bytes=size, complete=complete, parts=tuple(parts), texts=texts, notes=tuple(notes))


def _capture(capture: CaptureFile, label: str, links: Mapping[int, Link]) -> tuple[list[Part], list[str]]:
    """Return what a capture holds of each point, and what is said of it."""
    reader, hint = capture.open(), naming.hint(label)
    found: dict[int, Part] = {}
    left_out = 0
    with suppress(UnusableInput):
        for records in reader.blocks():
            keys, packets, first, last = _lanes(records, [interface.link for interface in reader.interfaces])
            new = np.flatnonzero(~np.isin(keys, np.fromiter(found, np.int64, len(found))))
            beyond = new[max(BEYOND - len(found), 0) :]
            left_out += int(packets[beyond].sum())
            for row in np.delete(np.arange(len(keys)), beyond).tolist():
                key, span = int(keys[row]), (int(first[row]), int(last[row]))
                if (part := found.get(key)) is None:
                    name = reader.interfaces[key >> 32].name
                    found[key] = _part(label, hint, key & 0xFFFFFFFF, name, int(packets[row]), span, links)
                else:
                    found[key] = replace(
                        part,
                        packets=part.packets + int(packets[row]),
                        first=min(part.first, span[0]),
                        last=max(part.last, span[1]),
                    )
    notes = reader.caveats
    if left_out:
        many = f"{naming.printable(label)}: more than {BEYOND} interfaces are named"
        notes = [*notes, f"{many}; {left_out} packets of those beyond are not counted"]
    return list(found.values()) or [Part(label=label, point=hint.point, role=_role(hint.role))], notes


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


def _lanes(records: Records, link_types: list[int]) -> tuple[NDArray[np.int64], ...]:
    """Return of each interface (number in the file << 32, number on the node or 0): packets, first and last time."""
    keys = records.interface.astype(np.int64) << 32
    cooked = np.isin(records.interface, [n for n, link in enumerate(link_types) if link == _SLL2]) & (
        records.caplen >= 8
    )
    if cooked.any():
        # The interface's number is the header's second 32-bit word.
        data = np.frombuffer(records.data, np.uint8)
        at = records.start[cooked]
        keys[cooked] |= sum(data[at + 4 + byte].astype(np.int64) << (24 - 8 * byte) for byte in range(4))
    order = np.argsort(keys, kind="stable")
    found, begins = np.unique(keys[order], return_index=True)
    if not len(found):
        return found, found, found, found
    times = records.time[order]
    return (
        found,
        np.diff(begins, append=len(keys)),
        np.minimum.reduceat(times, begins),
        np.maximum.reduceat(times, begins),
    )


def _part(
    label: str,
    hint: naming.Hint,
    number: int,
    if_name: str | None,
    packets: int,
    span: tuple[int, int],
    links: Mapping[int, Link],
) -> Part:
    if number:
        point = naming.printable(links[number].name) if number in links else f"interface {number}"
        role = naming.role_of(point)
    else:
        refined = naming.refine(hint, if_name)
        point, role = refined.point, refined.role
    return Part(label=label, point=point, role=_role(role), packets=packets, first=span[0], last=span[1])


def _role(role: naming.Role | None) -> Literal["pod", "bridge", "tunnel", "uplink"] | None:
    return None if role == "any" else role
