"""Which bundles there are below a folder: whose node each is of, what files it has, and whether it has changed.

A bundle is an archive, or the outermost folder that holds a capture itself, with all that lies below it. Its node is named
by the first folder below the root; of what lies in the root itself, by its own name. Only names are looked at: to open
every file of a remote store would cost more than the analysis of what is new there.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from analyzer import __version__
from analyzer.errors import UnusableInput
from analyzer.fleet.places import Place

FORMAT = 2
"""Of what is kept for a bundle; a higher one makes every bundle be analysed anew."""
_CAPTURE = re.compile(
    r"\.(?:pcapng|pcap|ntar|cap|dmp|dump)(?:[._-]?\d+)?(?:\.(?:gz|zst|xz))?$", re.IGNORECASE
)
_ARCHIVE = re.compile(r"\.(?:tar(?:\.(?:gz|zst|xz))?|tgz|txz|zip)$", re.IGNORECASE)
# How stores call what changes with a file: local files, S3, Google's, Azure's, HTTP, memory.
_STAMPS = (
    "ETag", "etag", "md5Hash", "content_md5", "mtime", "LastModified", "last_modified", "updated", "created",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetBundle:
    """One bundle of a fleet."""

    path: str
    """Below the root, with `/`: its name in the report."""
    node: str
    files: tuple[str, ...]
    """Below the root; of an archive, itself."""
    size: int
    """Bytes, as stored."""
    fingerprint: str
    """Changes with a file's name, size or time, and with what would analyse it."""

    @property
    def key(self) -> str:
        """A file name for what is kept of it."""
        return key(self.path)


def named_as_capture(name: str) -> bool:
    """Say whether a file's name is one that captures have."""
    return bool(_CAPTURE.search(name))


def key(path: str) -> str:
    """Return a file name for what is kept of the bundle *path*: readable, and no other bundle's."""
    readable = re.sub(r"[^A-Za-z0-9]+", "-", path)[-40:].strip("-")
    return f"{readable}-{hashlib.sha256(path.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"


def find(root: Place) -> list[FleetBundle]:
    """Find the bundles below *root*.

    Raises:
        UnusableInput: There is none, or the folder cannot be read.
    """
    files = {name: info for name, info in root.list() if not _hidden(name)}
    folders = {str(PurePosixPath(name).parent) for name in files if _CAPTURE.search(name) and "/" in name}
    members: dict[str, list[str]] = {}
    for name in files:
        above = [str(folder) for folder in reversed(PurePosixPath(name).parents)]
        owner = next((folder for folder in above if folder in folders), None)
        if owner is not None or _ARCHIVE.search(name):
            members.setdefault(owner or name, []).append(name)
    if not members:
        raise UnusableInput(_nothing(root, files))
    return [_bundle(path, tuple(names), files) for path, names in sorted(members.items())]


def _nothing(root: Place, files: Mapping[str, Any]) -> str:
    if any(_CAPTURE.search(name) for name in files):
        return (
            f"{root.url}: captures lie in the folder itself, so it is one node's bundle: use lostsyn check, or put each "
            "node's captures into a folder of its own"
        )
    return (
        f"{root.url}: no bundle found: neither a folder with captures (.pcap, .pcapng) nor an archive (.tar, .zip) lies "
        "below it"
    )


def _bundle(path: str, names: tuple[str, ...], files: Mapping[str, Any]) -> FleetBundle:
    top = path.split("/")[0]
    told = [f"{__version__} {FORMAT}"]
    for name in names:
        info = files[name]
        stamp = next((info[key] for key in _STAMPS if info.get(key) is not None), "")
        told.append(f"{name}\0{info.get('size')}\0{stamp}")
    return FleetBundle(
        path=path,
        node=_ARCHIVE.sub("", top) or top,
        files=names,
        size=sum(int(files[name].get("size") or 0) for name in names),
        fingerprint=hashlib.sha256("\n".join(told).encode("utf-8", "surrogateescape")).hexdigest()[:16],
    )


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
