"""What was recognised in the files of an upload, as a confined process wrote it.

That process reads hostile files, so what it writes is hostile as well: it is taken only if it is small and of the declared
form, it is merged into one file of bounded size, and that is parsed once for all who look at the upload.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

from analyzer.result import typed
from analyzer.web.folder import read_bytes, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from analyzer.web.folder import Folder

LOOK = 1 << 20
"""Bytes of what is told of one file, at most: 4,000 capture points with common names."""
UPLOAD = 4 << 20
"""Bytes of what is told of all files of an upload: parsing takes 0.2 s, and 40 MB while it is remembered."""
_REMEMBERED = 8
"""Uploads whose looks are kept parsed: those that somebody has open."""
_STUB = 1500
"""Bytes of a look that tells nothing but that there is more: 100 characters of a name are 1,200 in JSON."""
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
class Look:
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


def fitted(look: Look, name: str) -> Look:
    """Return as much of a look as may be told, with a note where that is not all."""
    room = LOOK - 4096  # for what is told of every file

    def fits(one: object) -> bool:
        nonlocal room
        room -= len(json.dumps(one)) + 2
        return room >= 0

    notes = tuple(takewhile(fits, look.notes))
    parts = tuple(takewhile(lambda part: fits(asdict(part)), look.parts))
    texts = dict(takewhile(fits, look.texts.items()))
    if room < 0:
        notes = (*notes, _MORE.format(name))
    return replace(look, notes=notes, parts=parts, texts=texts)


def take(path: Path) -> Look | None:
    """Return what a confined process wrote of a file; None unless it is one."""
    try:
        return typed.read(Look, read_bytes(path, LOOK))
    except (OSError, ValueError):
        return None


def keep(folder: Folder, looks: Mapping[int, tuple[str, Look]]) -> None:
    """Keep the looks at an upload's files, by number, each with the file's name."""
    kept, room = {}, UPLOAD - _STUB * len(looks)
    for number, (name, look) in looks.items():
        told = asdict(look)
        if (size := max(len(json.dumps(told)) - _STUB, 0)) > room:
            size, told = 0, {**told, "parts": (), "texts": {}, "notes": (_MORE.format(name[-100:]),)}
        room -= size
        kept[str(number)] = told
    write_json(folder.recognised, kept)


def kept(folder: Folder) -> Mapping[int, Look]:
    """Return the looks that are kept, by the file's number; nobody may change them."""
    try:
        found = folder.recognised.stat()
    except OSError:
        return {}
    return _parsed(folder.recognised, found.st_ino, found.st_mtime_ns, found.st_size)


@functools.lru_cache(_REMEMBERED)
def _parsed(path: Path, *_: int) -> Mapping[int, Look]:
    try:
        # Ours, but of another version perhaps: then the files are looked at again.
        looks: dict[str, Look] = typed.read(dict[str, Look], read_bytes(path, 2 * UPLOAD))
        return {int(number): look for number, look in looks.items()}
    except (OSError, ValueError):
        return {}
