"""What was recognised in the files of an upload, as a confined process wrote it.

That process reads hostile files, so what it writes is hostile as well: it is taken only if it is small and of the declared
form, it is merged into one file of bounded size, and that is parsed once for all who look at the upload.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Literal

from analyzer.result import typed
from analyzer.web.folder import Folder, read_bytes, write_json

PREVIEW = 1 << 20
"""Bytes of what is told of one file, at most: 4,000 capture points with common names."""
UPLOAD = 4 << 20
"""Bytes of what is told of all files of an upload: parsing takes 0.2 s, and 40 MB while it is remembered."""
_REMEMBERED = 8
"""Uploads whose previews are kept parsed: those that somebody has open."""
_STUB = 1500
"""Bytes of a preview that tells nothing but that there is more: 100 characters of a name are 1,200 in JSON."""
_MORE = "{}: only a part of it is shown here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one file holds of one point."""

    label: str
    """The file within the bundle; a member of an archive has the archive's name before its own."""
    point: str
    role: Literal["pod", "bridge", "tunnel", "uplink"] | None
    """By the name; None where only the traffic can tell."""
    packets: int = 0
    first: int = 0
    """Nanoseconds since the epoch."""
    last: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What one uploaded file is."""

    bytes: int
    """How much of it had arrived."""
    complete: bool
    """Whether that was all."""
    parts: tuple[Part, ...] = ()
    texts: dict[str, str]
    """Label of a text file to what it is."""
    notes: tuple[str, ...] = ()
    """What is damaged, or not used, and why."""


def fitted(preview: Preview, name: str) -> Preview:
    """Return as much of a preview as may be told, with a note where that is not all."""
    room = PREVIEW - 4096  # for what is told of every file

    def fits(one: object) -> bool:
        nonlocal room
        room -= len(json.dumps(one)) + 2
        return room >= 0

    notes = tuple(takewhile(fits, preview.notes))
    parts = tuple(takewhile(lambda part: fits(asdict(part)), preview.parts))
    texts = dict(takewhile(fits, preview.texts.items()))
    if room < 0:
        notes = (*notes, _MORE.format(name))
    return replace(preview, notes=notes, parts=parts, texts=texts)


def take(path: Path) -> Preview | None:
    """Return what a confined process wrote of a file; None unless it is one."""
    try:
        return typed.read(Preview, read_bytes(path, PREVIEW))
    except (OSError, ValueError):
        return None


def keep(folder: Folder, previews: Mapping[int, tuple[str, Preview]]) -> None:
    """Keep the previews at an upload's files, by number, each with the file's name."""
    kept, room = {}, UPLOAD - _STUB * len(previews)
    for number, (name, preview) in previews.items():
        told = asdict(preview)
        if (size := max(len(json.dumps(told)) - _STUB, 0)) > room:
            size, told = 0, {**told, "parts": (), "texts": {}, "notes": (_MORE.format(name[-100:]),)}
        room -= size
        kept[str(number)] = told
    write_json(folder.recognised, kept)


def kept(folder: Folder) -> Mapping[int, Preview]:
    """Return the previews that are kept, by the file's number; nobody may change them."""
    try:
        found = folder.recognised.stat()
    except OSError:
        return {}
    return _parsed(folder.recognised, found.st_ino, found.st_mtime_ns, found.st_size)


@functools.lru_cache(_REMEMBERED)
def _parsed(path: Path, *_: int) -> Mapping[int, Preview]:
    try:
        # Ours, but of another version perhaps: then the files are looked at again.
        previews: dict[str, Preview] = typed.read(dict[str, Preview], read_bytes(path, 2 * UPLOAD))
        return {int(number): preview for number, preview in previews.items()}
    except (OSError, ValueError):
        return {}
