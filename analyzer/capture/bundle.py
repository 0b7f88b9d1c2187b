"""A bundle: the captures and the side evidence of one incident, from files, folders and archives.

What a file is, its content says, never its name. Nothing is read here beyond the first bytes of each file, unless two
captures begin alike.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from analyzer.capture import archive, formats, naming, pcapng
from analyzer.capture.compressed import Stream
from analyzer.capture.copies import copies
from analyzer.capture.files import CaptureFile, EvidenceFile, is_text
from analyzer.capture.formats import is_netlink
from analyzer.capture.listing.recognising import Listing, form
from analyzer.capture.listing.translation import Translation
from analyzer.capture.reader import is_capture
from analyzer.errors import UnusableInput

FILES = 10_000
"""Files of a bundle, at most."""
COMPRESSED = 200
"""How many times as long as it is stored a text may be. Real ones are up to 70 times as long (JSON of tshark, `xz -9`), one line
over and over is 10,000 times, and each takes Python up to a fifth of a millisecond."""
SPARE = 16 << 20
"""Bytes of a bundle's texts that may be longer: an archive with a capture of zeros is short for all that is in it."""
_NEXT = (
    "record the bridge and the uplink at the same time: lostsyn capture -i cni0 -i eth0, or by hand: "
    "tcpdump -i cni0 -s 256 -w cni0.pcap & tcpdump -i eth0 -s 256 -w eth0.pcap &"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Everything collected for one incident on one node."""

    name: str
    """As the user named it: the folder, the archive or the files."""
    captures: tuple[CaptureFile, ...]
    """In natural order of their labels, so rotated files follow each other; never empty."""
    evidence: tuple[EvidenceFile, ...]
    """Text files that may tell of the node."""
    caveats: tuple[str, ...]
    """What was found and not used."""
    inputs: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """Device and inode of each file that was looked into, captures, texts and archives, to what it is called."""
    files: tuple[tuple[str, Path], ...] = ()
    """What each of these is called, and where it is; captures first."""

    @classmethod
    def open(
        cls,
        paths: Sequence[Path | str],
        *,
        points: Mapping[str, str] | None = None,
        called: Mapping[Path, str] | None = None,
    ) -> Bundle:
        """Find the captures and the side evidence.

        Args:
            paths: Files, folders (searched through, hidden files left out) and archives (tar, plain or
                compressed, and zip).
            points: File, by label, last part of it or path as given, to the name of its capture point.
            called: What to call a path that is stored under another name than its own; each name once.

        Raises:
            UnusableInput: A path cannot be read, none leads to a capture, or *points* names no capture.
        """
        if not paths:
            raise UnusableInput("no path given")
        given = [Path(path) for path in paths]
        # `.` and `..` have no name of their own.
        names = [
            (called or {}).get(path)
            or (path.name if path.name not in ("", "..") else path.absolute().resolve().name)
            for path in given
        ]
        search = _Search()
        paths_of: dict[str, set[Path]] = {}
        for path, name in zip(given, names, strict=True):
            paths_of.setdefault(name, set()).add(path)
        for path, name in zip(given, names, strict=True):
            label = name if len(paths_of[name]) == 1 else str(path)
            search.add(path, label.strip("/"), alone=len(given) == 1)
        name = naming.printable(", ".join(dict.fromkeys(names)))
        caveats = search.told()
        if not search.captures:
            texts = len(search.evidence)
            among = f" among {texts} text file{'s' if texts > 1 else ''}" if texts else ""
            raise UnusableInput(
                "; ".join([f"{name}: no capture (pcap or pcapng) found{among}", *caveats]), _NEXT
            )
        captures = sorted(_called(search.captures, points or {}), key=_natural)
        twice = dict(copies(captures, search.heads))
        caveats += [f"ignored, {copy} holds nothing but what {label} holds" for copy, label in twice.items()]
        captures = [capture for capture in captures if capture.label not in twice]
        return cls(
            name=name,
            captures=tuple(_told_apart(captures, caveats)),
            evidence=tuple(sorted(search.evidence, key=_natural)),
            caveats=tuple(caveats),
            inputs=search.inputs,
            files=tuple(
                sorted(search.files, key=lambda file: (file[0] not in search.heads, _parts(file[0])))
            ),
        )


class _Search:
    """What was found so far."""

    def __init__(self) -> None:
        self.captures: list[CaptureFile] = []
        self.heads: dict[str, bytes] = {}
        """Label of a capture to its first bytes, decompressed."""
        self.evidence: list[EvidenceFile] = []
        self.caveats: list[str] = []
        self.inputs: dict[tuple[int, int], str] = {}
        self.files: list[tuple[str, Path]] = []
        self._archives = archive.Allowance()
        self._labels: dict[str, int] = {}
        self._folders: set[tuple[int, int]] = set()
        self._spare = SPARE
        self._ignored: dict[str, list[str]] = {}

    def add(self, path: Path, label: str, *, alone: bool) -> None:
        """Search a path that the user gave; raise UnusableInput where it leads nowhere."""
        prefix = "" if alone else f"{label}/"
        try:
            mode = path.stat().st_mode
            if stat.S_ISDIR(mode):
                os.scandir(path).close()
        except FileNotFoundError:
            raise UnusableInput(f"{path}: no such file or folder") from None
        except (OSError, ValueError) as problem:
            raise UnusableInput(f"{path}: cannot be read: {getattr(problem, 'strerror', problem)}") from None
        if stat.S_ISDIR(mode):
            self._folder(path, prefix)
        elif stat.S_ISREG(mode):
            self._file(path, label, prefix)
        else:
            raise UnusableInput(
                f"{path}: neither a file nor a folder; save the output of a pipe to a file first"
            )

    def told(self) -> list[str]:
        """Give the caveats, files ignored for one reason in one line."""
        return self.caveats + [
            f"ignored, {reason}: {', '.join(labels[:5])}"
            + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
            for reason, labels in self._ignored.items()
        ]

    def ignore(self, label: str, reason: str) -> None:
        """Remember a file that is not used."""
        self._ignored.setdefault(reason, []).append(naming.printable(label))

    def _folder(self, top: Path, prefix: str) -> None:
        inside = os.path.realpath(top)
        pending = [(top, prefix)]
        while pending:
            folder, prefix = pending.pop()
            try:
                status = folder.stat()
                entries = sorted(folder.iterdir())
            except OSError as problem:
                self.ignore(prefix, f"cannot be read: {problem.strerror}")
                continue
            key = (status.st_dev, status.st_ino)
            if key in self._folders:
                continue  # a symbolic link led back here
            self._folders.add(key)
            for path in entries:
                if not path.name.startswith("."):
                    self._entry(path, prefix, inside, pending)

    def _entry(self, path: Path, prefix: str, inside: str, pending: list[tuple[Path, str]]) -> None:
        """Take what a folder holds: nothing that lies outside of the bundle, nothing that reading might wait for."""
        label = prefix + path.name
        try:
            # What a stranger packed must not lead to the files of who unpacks it, nor to /proc/kmsg, which never ends.
            if path.is_symlink() and os.path.commonpath([inside, os.path.realpath(path)]) != inside:
                self.ignore(label, "a link that points outside the bundle")
                return
            mode = path.stat().st_mode
        except FileNotFoundError:
            self.ignore(label, "not a file, or a broken link")
        except OSError as problem:
            self.ignore(label, f"cannot be read: {problem.strerror}")
        else:
            if stat.S_ISDIR(mode):
                pending.append((path, f"{label}/"))
            elif stat.S_ISREG(mode):
                self._file(path, label, f"{label}/")
            else:
                self.ignore(label, "not a file, or a broken link")

    def _file(self, path: Path, label: str, members: str) -> None:
        """Take a file of the file system; *members* begins the labels of an archive's members."""
        try:
            status = path.stat()
            with Stream(_opened(path)) as stream:
                head, damage = stream.read(4096), stream.damage
            key = (status.st_dev, status.st_ino)
            if key in self.inputs:
                self.ignore(label, "the same file as another one")
                return
            self.inputs[key] = naming.printable(label)
            self.files.append((self.inputs[key], path))
            if archive.is_zip(head) and stream.compression is None:
                self._members(archive.zip_members(path, self.caveats, self._archives), label, members)
            elif archive.is_tar(head):
                self._members(archive.tar_members(path, self.caveats, self._archives), label, members)
            else:
                self._offer(label, lambda: _opened(path), status.st_size, status.st_size, head, damage)
        except OSError as problem:  # an archive may be gone by the time that its members are asked for
            self.ignore(label, f"cannot be read: {problem.strerror or problem}")

    def _members(self, found: Iterator[archive.Member], name: str, prefix: str) -> None:
        count = total = 0
        for member in found:
            count, total = count + 1, total + member.size
            if count > archive.MEMBERS or total > archive.TOTAL:
                self.caveats.append(
                    f"{name}: only {count - 1} members were looked at, there "
                    f"are more than {archive.MEMBERS} or they are larger than {archive.TOTAL >> 30} GiB"
                )
                return
            # The path is a word in messages, and says the point; it is never opened.
            parts = [part for part in member.name.split("/") if part not in ("", ".", "..")]
            if not parts or any(part.startswith(".") for part in parts):
                continue
            label = prefix + "/".join(parts)[-1024:]
            try:
                with Stream(member.open()) as stream:
                    head, damage = stream.read(4096), stream.damage
            except OSError as problem:
                self.ignore(label, f"cannot be read: {problem.strerror or problem}")
                continue
            if archive.is_zip(head) or archive.is_tar(head):
                self.ignore(label, "an archive inside an archive")
            else:
                self._offer(label, member.open, member.size, member.stored, head, damage)

    def _offer(
        self,
        label: str,
        source: Callable[[], BinaryIO],
        size: int,
        stored: int,
        head: bytes,
        damage: str | None,
    ) -> None:
        """Sort a file by what it begins with."""
        if len(self.captures) + len(self.evidence) == FILES:
            self.ignore(label, f"beyond the first {FILES} files")
        elif is_netlink(head):  # a capture by its form only
            most = self._most(size, stored)
            self.evidence.append(EvidenceFile(label=self._unique(label), source=source, size=size, most=most))
        elif is_capture(head):
            only = pcapng.only_name(head) if head.startswith(b"\n\r\r\n") else None
            self._capture(label, head, source=source, size=size, if_name=only)
        elif kind := form(head):
            listing = Listing(form=kind, open=source, most=self._most(size, stored))
            self._capture(label, head, source=lambda: Translation(listing), size=size, listing=listing)
        elif damage:
            self.ignore(label, damage)
        elif not head:
            self.ignore(label, "empty")
        elif is_text(head):
            most = self._most(size, stored)
            self.evidence.append(EvidenceFile(label=self._unique(label), source=source, size=size, most=most))
        elif name := formats.other_format(head):
            self.ignore(label, formats.advice(name))
        else:
            self.ignore(label, "neither a capture nor text")

    def _capture(self, label: str, head: bytes, **told: Any) -> None:
        label = self._unique(label)
        self.heads[label] = head
        self.captures.append(CaptureFile(label=label, point_hint=naming.hint(label), **told))

    def _most(self, size: int, stored: int) -> int:
        """How many bytes of a text are read: few bytes must not cost minutes."""
        more = max(min(self._spare, size - stored * COMPRESSED), 0)
        self._spare -= more
        return stored * COMPRESSED + more

    def _unique(self, label: str) -> str:
        label = naming.printable(label)
        self._labels[label] = number = self._labels.get(label, 0) + 1
        return label if number == 1 else self._unique(f"{label} ({number})")


def _opened(path: Path) -> BinaryIO:
    """Open a file that was found to be one; reading it never waits (regular files of /proc would).

    Raises:
        OSError: It is gone, or something else by now.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a file any more")
    raw = path.open("rb", buffering=0)
    os.set_blocking(raw.fileno(), False)
    return raw


def _called(captures: Iterable[CaptureFile], points: Mapping[str, str]) -> Iterator[CaptureFile]:
    """Give the captures the points' names that the user said."""
    unused = dict.fromkeys(points)
    for capture in captures:
        for file, point in points.items():
            if file in (capture.label, capture.name) or f"/{file}".endswith(f"/{capture.label}"):
                capture = replace(capture, point_hint=naming.hint(capture.label, point))
                unused.pop(file, None)
        yield capture
    if unused:
        raise UnusableInput(f"no capture of the bundle is called {', '.join(map(repr, unused))}")


def _told_apart(captures: Sequence[CaptureFile], caveats: list[str]) -> Iterator[CaptureFile]:
    """Keep points of one name on different nodes apart, by their files' names."""
    nodes: dict[str, set[str]] = {}
    for capture in captures:
        if capture.point_hint.node:
            nodes.setdefault(capture.point_hint.point, set()).add(capture.point_hint.node)
    if any(len(several) > 1 for several in nodes.values()):
        caveats.append(
            f"the captures are of several nodes ({', '.join(sorted(set().union(*nodes.values())))})"
        )
    for capture in captures:
        hint = capture.point_hint
        if hint.node and len(nodes[hint.point]) > 1 and not hint.explicit:
            yield replace(capture, point_hint=replace(hint, point=f"{hint.node}.{hint.point}"))
        else:
            yield capture


def _natural(file: CaptureFile | EvidenceFile) -> list[tuple[int, str]]:
    """Order `eth0.pcap2` before `eth0.pcap10`."""
    return _parts(file.label)


def _parts(label: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", label)]
