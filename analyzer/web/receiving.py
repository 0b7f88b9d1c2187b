"""Bodies to disk: a bounded piece at a time, counted against the limits, resumable at any byte.

A file's size on the disk is how much of it has arrived; a transfer begins exactly there. Of two transfers of one file the
later one goes on: the earlier is one whose broken connection the server has not noticed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from analyzer.report.words import printable
from analyzer.web.refusal import Refusal
from analyzer.web.settings import GIB, Settings
from analyzer.web.store import File, Store, Upload

PIECE = 1 << 20
"""Bytes that are kept in memory of one transfer, about."""
SILENCE = 60.0
"""Seconds without a byte after which a transfer is given up; it can be resumed."""


def client_name(text: str) -> str:
    """Return a file's name as its client gave it, fit to be shown and to be part of a label: folders stay, tricks go."""
    parts = [part.strip() for part in printable(text[-1000:].replace("\\", "/")).split("/")]
    return "/".join(part[-200:].strip() for part in parts[-8:] if part not in ("", ".", "..")) or "unnamed"


def upload_name(text: str) -> str:
    """Return an upload's name as its client gave it, fit to be shown on one line."""
    return printable(" ".join(text.split()), 200)


class Body:
    """A request's body, piece by piece; given up when nothing comes any more, or nobody wants it any more."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        """Take the pieces of *stream*; nothing is read before it is asked for."""
        self._stream = stream
        self._pause: asyncio.Timeout | None = None
        self._unwanted = False

    def stop(self) -> None:
        """End, also while nothing comes: what this is for was deleted."""
        self._unwanted = True
        if self._pause:
            with suppress(RuntimeError):  # it is over already
                self._pause.reschedule(0)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces."""
        try:
            while not self._unwanted:
                async with asyncio.timeout(SILENCE) as self._pause:
                    data = await anext(self._stream)
                yield data
        except StopAsyncIteration:
            return
        except TimeoutError:
            if not self._unwanted:
                raise Refusal(408, f"Nothing came for {SILENCE:.0f} s; what has arrived is kept.") from None
        except ClientDisconnect:
            raise Refusal(400, "The connection broke; what has arrived is kept.") from None
        raise _deleted()


class Receiver:
    """Takes files in."""

    def __init__(self, store: Store, settings: Settings, noticed: Callable[[str], None]) -> None:
        """Take files into *store*; *noticed* is called with an upload's id when more of it is on the disk."""
        self.store = store
        self.settings = settings
        self.noticed = noticed
        self._writing: dict[tuple[str, int], Transfer] = {}

    def create(self, name: str, owner: str = "") -> Upload:
        """Begin an upload."""
        if self.store.search(limit=0)[1] >= self.settings.uploads:
            raise Refusal(507, f"There are {self.settings.uploads} uploads, the limit; delete one first.")
        self._room(0)
        return self.store.create(upload_name(name), owner)

    async def put(self, upload: Upload, name: str, data: bytes) -> None:
        """Take a file in whole."""
        file = await run_in_threadpool(self.declare, upload, name, len(data))
        transfer = await self.begin(upload, file, 0)
        try:
            await transfer.write(data)
            await transfer.flush()
            await transfer.complete()
        finally:
            transfer.close()

    def declare(self, upload: Upload, name: str, size: int | None) -> File:
        """Add a file that is to come, if it fits."""
        settings, files = self.settings, self.store.files(upload)
        if len(files) >= settings.files:
            raise Refusal(413, f"An upload may have {settings.files} files; put them into one archive.")
        known = sum(file.size or 0 for file in files)
        if known + (size or 0) > settings.size:
            raise Refusal(413, f"The upload would be larger than {settings.largest}, the limit.")
        self._room(size or 0)
        return self.store.declare(upload, client_name(name), size)

    async def interrupt(self, upload: Upload, file: File) -> None:
        """End the transfer of a file that may be under way: whoever asks how far it is wants to go on with another."""
        transfer = self._writing.pop((upload.id, file.number), None)
        if transfer:
            async with transfer.writing:
                pass  # what it was writing is on the disk now

    async def stop(self, upload: Upload, number: int | None = None) -> None:
        """End the transfers of an upload that is deleted, or of its file *number* that is taken out, at once."""
        ending = [
            transfer
            for transfer in self._writing.values()
            if transfer.upload.id == upload.id and number in (None, transfer.file.number)
        ]
        for transfer in ending:
            transfer.stop()
            await self.interrupt(upload, transfer.file)

    async def begin(self, upload: Upload, file: File, offset: int, body: Body | None = None) -> Transfer:
        """Begin to write a file at *offset*, where it must end so far; what comes is part of *body*."""
        await self.interrupt(upload, file)
        return await run_in_threadpool(self._begin, upload, file, offset, body)

    def _begin(self, upload: Upload, file: File, offset: int, body: Body | None) -> Transfer:
        if file.complete:
            raise Refusal(409, "This file is already complete.")
        here = self.store.folder(upload).received(file.number)
        if offset != here:
            raise Refusal(409, f"{here} bytes of this file have arrived; go on there, not at {offset}.")
        others = sum(
            self.store.folder(upload).received(other.number)
            for other in self.store.files(upload)
            if other.number != file.number
        )
        transfer = self._writing[upload.id, file.number] = Transfer(
            self, upload, file, here, self.settings.size - others, body
        )
        return transfer

    def is_latest(self, transfer: Transfer) -> bool:
        """Say whether no later transfer of the same file has begun."""
        return self._writing.get((transfer.upload.id, transfer.file.number)) is transfer

    def end(self, transfer: Transfer) -> None:
        """Forget a transfer."""
        if self.is_latest(transfer):
            del self._writing[transfer.upload.id, transfer.file.number]

    def _room(self, size: int) -> None:
        free = shutil.disk_usage(self.store.data).free
        if free - size < self.settings.spare:
            raise Refusal(
                507,
                f"The server's disk has {max(0, free - self.settings.spare) / GIB:.1f} GiB left for uploads; "
                "delete old ones or ask for more room.",
            )


class Transfer:
    """One request's part of a file."""

    def __init__(
        self, receiver: Receiver, upload: Upload, file: File, offset: int, limit: int, body: Body | None
    ) -> None:
        self.file = file
        self.offset = offset
        self._receiver = receiver
        self.upload = upload
        self.body = body
        self._stopped = False
        self._limit = limit if file.size is None else min(limit, file.size)
        self._pending = bytearray()
        self.writing = asyncio.Lock()
        path = receiver.store.folder(upload).file(file.number)
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            raise _deleted() from None

    def stop(self) -> None:
        """End, since the file goes away: also while nothing comes."""
        self._stopped = True
        if self.body:
            self.body.stop()

    async def write(self, data: bytes) -> None:
        """Take more of the file."""
        if self.offset + len(self._pending) + len(data) > self._limit:
            await self.flush()
            announced = self.file.size == self._limit
            raise Refusal(
                413,
                f"More than the announced {self._limit} bytes came."
                if announced
                else f"The upload is larger than {self._receiver.settings.largest}, the limit.",
            )
        self._pending += data
        if len(self._pending) >= PIECE:
            await self.flush()

    async def flush(self) -> None:
        """Put what is pending on the disk."""
        async with self.writing:
            if self._stopped:
                raise _deleted()
            if not self._receiver.is_latest(self):
                raise Refusal(409, "Another transfer of this file has begun; this one ends.")
            data, self._pending = self._pending, bytearray()
            await run_in_threadpool(self._put, data)
            self.offset += len(data)
        if self.offset != self.file.size:  # else it will be complete in a moment
            self._receiver.noticed(self.upload.id)

    def _put(self, data: bytearray) -> None:
        free = os.fstatvfs(self._descriptor)
        if free.f_bavail * free.f_frsize - len(data) < self._receiver.settings.spare:
            raise Refusal(507, "The server's disk is full; what has arrived is kept, and can be resumed.")
        view, at = memoryview(data), self.offset
        while view:
            count = os.pwrite(self._descriptor, view, at)
            view, at = view[count:], at + count

    async def complete(self) -> None:
        """Note that the file is whole, after it was synced."""
        await run_in_threadpool(os.fsync, self._descriptor)
        store = self._receiver.store
        if not await run_in_threadpool(store.complete, self.upload, self.file.number, self.offset):
            raise _deleted()
        self._receiver.noticed(self.upload.id)

    def close(self) -> None:
        """End, however far it came."""
        os.close(self._descriptor)
        self._receiver.end(self)

    async def take(self) -> bool:
        """Take all of the body; say whether the file is whole now."""
        assert self.body
        try:
            async for data in self.body:
                await self.write(data)
        except Refusal:
            # What came before the connection broke need not come again.
            with suppress(Refusal):
                await self.flush()
            raise
        await self.flush()
        if self.offset != self.file.size:
            return False
        await self.complete()
        return True


def _deleted() -> Refusal:
    return Refusal(404, "This upload, or this file of it, was deleted.")
