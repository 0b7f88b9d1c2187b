"""Folders here and elsewhere: what fsspec makes of a path or URL, and how a file is written there so that it is whole."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NoReturn

from analyzer.errors import LostsynError, MissingTool, UnusableInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A folder that fsspec can reach; it can be pickled, with what its file system was opened with."""

    url: str
    files: Any
    """The fsspec file system."""
    root: str
    """The folder's path within it, without a slash at its end."""

    @classmethod
    def at(cls, url: str) -> Place:
        """Reach a folder; it need not be there yet.

        Raises:
            MissingTool: What such a URL needs is not installed.
            UnusableInput: The URL cannot be understood.
        """
        import fsspec

        try:
            # Listings are not cached: what was written a moment ago, perhaps by another process, must show.
            files, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise MissingTool(f"{url}: {error}") from None
        except (ValueError, OSError) as error:
            raise UnusableInput(f"{url}: {error}") from None
        return cls(url=url, files=files, root=root.rstrip("/") or "/")

    @property
    def is_local(self) -> bool:
        """Whether it lies in this machine's file system."""
        protocol = self.files.protocol
        return "file" in ((protocol,) if isinstance(protocol, str) else protocol)

    def path(self, name: str) -> str:
        """Return where a name within the folder is."""
        return f"{self.root.rstrip('/')}/{name}"

    def list(self, folder: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Name and information of every file below, at any depth, in the order of names; hidden ones, too."""
        top = self.path(folder).rstrip("/") if folder else self.root
        try:
            found = self.files.find(top, detail=True)
        except FileNotFoundError:
            return
        except Exception as error:  # each kind of store has errors of its own
            _unreachable(self.url, error)
        begin = len(self.root.rstrip("/")) + 1
        for path in sorted(found):
            yield path[begin:], found[path]

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """Read files whole."""
        if not names:
            return {}
        paths = {self.path(name): name for name in names}
        try:
            return {paths[path]: data for path, data in self.files.cat(list(paths)).items()}
        except Exception as error:
            _unreachable(self.url, error)

    def sha256(self, name: str) -> str | None:
        """Return the hash of a file; None where it cannot be read."""
        found = hashlib.sha256()
        try:
            with self.files.open(self.path(name), "rb") as file:
                while piece := file.read(1 << 20):
                    found.update(piece)
        except Exception:  # each kind of store has errors of its own
            return None
        return found.hexdigest()

    def write(self, name: str, data: bytes) -> None:
        """Write a file so that it is there whole or not at all, also if this process, or the machine, dies in between."""
        path = self.path(name)
        folder = str(PurePosixPath(path).parent)
        try:
            self.files.makedirs(folder, exist_ok=True)
            if not self.is_local:
                self.files.pipe_file(path, data)  # object stores show an object when it is whole
                return
            hidden = f"{folder}/.{PurePosixPath(path).name}.{uuid.uuid4().hex}.part"
            try:
                with open(hidden, "wb") as file:  # noqa: PTH123 - paths of fsspec are texts
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(hidden, path)  # noqa: PTH105
            except OSError:
                with suppress(OSError):
                    os.unlink(hidden)  # noqa: PTH108
                raise
            _synced(folder)
        except Exception as error:
            raise LostsynError(f"{self.url}: {name} cannot be written: {_reason(error)}") from None

    def remove(self, names: Sequence[str]) -> None:
        """Remove files; one that is gone already is no matter."""
        for name in names:
            try:
                self.files.rm_file(self.path(name))
            except FileNotFoundError:
                continue
            except Exception as error:
                raise LostsynError(f"{self.url}: {name} cannot be removed: {_reason(error)}") from None


def _synced(folder: str) -> None:
    """Let a file's name in its folder outlive a crash of the machine, as its bytes do."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _unreachable(url: str, error: Exception) -> NoReturn:
    raise UnusableInput(f"{url}: cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    strerror = getattr(error, "strerror", None)
    return str(strerror or error or type(error).__name__)
