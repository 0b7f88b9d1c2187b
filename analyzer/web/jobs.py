"""The work behind the pages: analyses, previews of what is coming, and the end of what was kept long enough.

What is to be done stands in the database or on the disk, so a server that was killed goes on where it was.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.concurrency import run_in_threadpool

from analyzer.web import confined, preview, webhook
from analyzer.web.folder import OUTCOME, PROGRESS, Folder, Outcome, Progress, told
from analyzer.web.preview import Preview
from analyzer.web.settings import DAY, GIB, Settings
from analyzer.web.store import File, Store, Upload
from analyzer.web.titles import title

LOOKS = 2
"""Looks at what is coming, at one time."""
LOOK_TIME = 300.0
"""Seconds that one preview may take."""
LOOK_MEMORY = 2 * GIB
_HOURLY = 3600.0
_LOG = logging.getLogger(__name__)


class Jobs:
    """Runs what has to be done."""

    def __init__(self, store: Store, settings: Settings) -> None:
        """Work on *store*; nothing begins before `run`."""
        self.store = store
        self.settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queued = asyncio.Event()
        self._noticed = asyncio.Event()
        self._due: dict[str, None] = {}
        self._looking: set[str] = set()
        self._running: dict[str, asyncio.Task[None]] = {}
        self.ended = self.failed = 0
        """Analyses since the server started."""
        self._telling: set[asyncio.Task[None]] = set()

    def recover(self) -> None:
        """Take up what the last server left; before the first request, which might bring something new."""
        self.store.recover()
        kept = {upload.id for upload in self.store.all()}
        self._due = dict.fromkeys(kept)
        # Folders whose upload was deleted, or never begun, when the server stopped.
        for folder in (self.store.data / "uploads").iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    async def run(self) -> None:
        """Work until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._queued.set()
        self._noticed.set()
        steps = [self._next_analysis] * self.settings.jobs + [self._next_look] * LOOKS + [self._retire]
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(_again_and_again(step))

    def queued(self) -> None:
        """Tell that an analysis was queued; from any thread."""
        if self._loop:
            self._loop.call_soon_threadsafe(self._queued.set)

    def noticed(self, upload: str) -> None:
        """Tell that more of an upload has arrived; from any thread."""

        def due() -> None:
            self._due[upload] = None
            self._noticed.set()

        if self._loop:
            self._loop.call_soon_threadsafe(due)

    async def delete(self, upload: Upload) -> None:
        """Delete an upload and all that belongs to it; its analysis is stopped first."""
        await run_in_threadpool(self.store.delete, upload.id)
        task = self._running.get(upload.id)
        if task:
            task.cancel()
            await asyncio.wait([task])
        await run_in_threadpool(shutil.rmtree, self.store.folder(upload).top, True)

    def progress(self, upload: Upload) -> Progress | None:
        """Return how far the analysis of an upload is, if it tells."""
        return told(Progress, self.store.folder(upload).work("analyse") / PROGRESS)

    async def _next_analysis(self) -> None:
        self._queued.clear()
        upload = await run_in_threadpool(self.store.claim)
        if upload is None:
            await self._queued.wait()
            return
        self._queued.set()  # there may be more for the others
        task = self._running[upload.id] = asyncio.create_task(self._analyse(upload))
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            self.store.release(upload)
            raise
        finally:
            del self._running[upload.id]
        if not task.cancelled() and (problem := task.exception()):
            _LOG.error("upload %s", upload.id, exc_info=problem)
            says = "The server could not run the analysis; its log says why. The files are kept."
            await run_in_threadpool(self.store.fail, upload, says)
        ended = await run_in_threadpool(self.store.get, upload.id)
        self.ended += 1
        self.failed += ended is not None and ended.state == "failed"
        if self.settings.webhook and ended:
            named = title(ended, await run_in_threadpool(self.store.files, ended))
            telling = asyncio.create_task(
                webhook.tell(self.settings.webhook, ended, named, self.settings.base)
            )
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

    async def _analyse(self, upload: Upload) -> None:
        folder = self.store.folder(upload)
        work = folder.fresh("analyse")
        files = [file for file in self.store.files(upload) if file.complete]
        order = {"name": title(upload, files), "roles": upload.roles, "files": _listed(folder, files)}
        limits = confined.Limits(
            memory=self.settings.memory,
            cpu=self.settings.cpu,
            disk=self.settings.size,
            time=self.settings.time,
        )
        problem = await confined.run("analyse", work, order, limits)
        outcome = told(Outcome, work / OUTCOME)
        if problem or not outcome:
            problem = problem or "The analysis left no result."
            _LOG.warning("upload %s: %s", upload.id, problem)
            await run_in_threadpool(self.store.fail, upload, f"{problem} The files are kept.")
            return
        await run_in_threadpool(folder.publish, work)
        await run_in_threadpool(self.store.finish, upload, outcome)

    async def _next_look(self) -> None:
        upload = next((key for key in self._due if key not in self._looking), None)
        if upload is None:
            self._noticed.clear()
            await self._noticed.wait()
            return
        del self._due[upload]
        self._looking.add(upload)
        try:
            with suppress(FileNotFoundError):  # it was deleted meanwhile
                await self._look(upload)
        finally:
            self._looking.discard(upload)
            self._noticed.set()

    async def _look(self, key: str) -> None:
        """Look at the files of which enough is new: one is read again when it has doubled, and when it is whole."""
        upload = self.store.get(key)
        if upload is None:
            return
        folder = self.store.folder(upload)
        files = await run_in_threadpool(self.store.files, upload)
        known = dict(preview.kept(folder))
        due = [file for file in files if _worth(file, folder.received(file.number), known.get(file.number))]
        while due:
            sizes = {file.number: folder.received(file.number) for file in due}
            work = folder.fresh("recognise")
            others = [file for file in files if file not in due]
            order = {"files": _listed(folder, due), "others": _listed(folder, others)}
            problem = await confined.run("recognise", work, order, self._look_limits())
            found = {file.number: preview.take(work / f"{file.number}.json") for file in due}
            left = [file for file in due if not found[file.number]]
            if left:
                # The first one that is not told of stopped it; the others are looked at again without it.
                bad = left.pop(0)
                note = f"{bad.name}: {problem or 'it could not be recognised.'}"
                found[bad.number] = Preview(
                    bytes=sizes[bad.number], complete=bad.complete, texts={}, notes=(note,)
                )
            known |= {number: one for number, one in found.items() if one}
            here = {file.number: (file.name, known[file.number]) for file in files if file.number in known}
            await run_in_threadpool(preview.keep, folder, here)
            due = left

    def _look_limits(self) -> confined.Limits:
        return confined.Limits(
            memory=min(LOOK_MEMORY, self.settings.memory),
            cpu=int(LOOK_TIME),
            disk=self.settings.size,
            time=LOOK_TIME,
        )

    async def _retire(self) -> None:
        for upload in await run_in_threadpool(self.store.untouched, time.time() - self.settings.keep):
            _LOG.info("upload %s was kept for %.3g days and is deleted", upload.id, self.settings.keep / DAY)
            await self.delete(upload)
        await asyncio.sleep(min(_HOURLY, self.settings.keep))


async def _again_and_again(step: Callable[[], Awaitable[None]]) -> None:
    """Do a step for ever; one that fails (a full disk, say) is logged, and tried again a little later."""
    while True:
        try:
            await step()
        except Exception:
            _LOG.exception("a job failed")
            await asyncio.sleep(1)


def _worth(file: File, received: int, known: Preview | None) -> bool:
    if known is None:
        return received > 0 or file.complete
    return (file.complete and not known.complete) or received >= 2 * max(known.bytes, 1)


def _listed(folder: Folder, files: list[File]) -> list[dict[str, Any]]:
    return [
        {
            "number": file.number,
            "name": file.name,
            "path": str(folder.file(file.number)),
            "complete": file.complete,
        }
        for file in files
    ]
