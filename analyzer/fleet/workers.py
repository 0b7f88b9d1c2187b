"""Who analyses: processes of this machine, or the workers of a Dask scheduler. Both are `concurrent.futures` executors."""

from __future__ import annotations

import gc
import logging
import os
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context
from typing import Any, Protocol

from analyzer.errors import LostsynError, MissingTool

GONE = "the scheduler is gone; what was done is kept: start it, and run the same command again"
CONNECT = 20.0
"""Seconds in which a scheduler must answer."""


class Workers(Protocol):
    """What `analyzer.fleet.running` needs of them."""

    fatal: tuple[type[BaseException], ...]
    """What a future raises when the worker died that had its task."""

    def width(self) -> int:
        """How many tasks can run at once; 0 while no worker is there."""
        ...

    def executor(self, width: int) -> Executor:
        """Return what runs tasks, *width* at once."""
        ...

    def mend(self) -> None:
        """Get over a death: the next executor works again."""
        ...

    def close(self) -> None:
        """Let go of all workers."""
        ...


class Processes:
    """Processes of this machine."""

    fatal: tuple[type[BaseException], ...] = (BrokenProcessPool,)

    def __init__(self, count: int | None = None) -> None:
        self._count = count or os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None
        self._width = 0

    def width(self) -> int:
        """As many as were asked for, or as there are CPUs."""
        return self._count

    def executor(self, width: int) -> Executor:
        """Return a pool of so many processes; the same one as long as it is whole."""
        if self._pool is None or self._width != width:
            self.close()
            # A fork of this process would copy the locks of its threads in whatever state they are. The server that forks
            # instead has none, and has imported what takes a second: a process that follows a dead one is there at once.
            context = get_context("forkserver")
            context.set_forkserver_preload(["analyzer.fleet.work"])
            self._pool = ProcessPoolExecutor(width, mp_context=context)
            self._width = width
        return self._pool

    def mend(self) -> None:
        """Begin a new pool: one in which a process died takes no further task."""
        self.close()

    def close(self) -> None:
        """End the processes; what they have not begun is not begun."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


class Scheduler:
    """The workers of a Dask scheduler, wherever they are."""

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client, KilledWorker
        except ModuleNotFoundError:
            raise MissingTool("--scheduler needs Dask: pip install 'lostsyn[fleet]'") from None
        problem = None
        try:
            self._client: Any = Client(address, timeout=CONNECT, set_as_default=False)
        except (OSError, ValueError) as error:
            problem = str(error)
        if problem is not None:
            # The client that failed closes itself when it is collected, which takes a lock: not while the next one holds it.
            gc.collect()
            raise LostsynError(f"{address}: no Dask scheduler answers there: {problem}")
        # What it logs of a broken connection are tracebacks; `width` says it in a sentence.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        self._executor: Executor = self._client.get_executor(pure=False)
        self.fatal: tuple[type[BaseException], ...] = (KilledWorker,)

    def width(self) -> int:
        """The threads of all workers that are there now."""
        try:
            return sum(self._client.nthreads().values())
        except (OSError, RuntimeError):  # the connection broke, or was given up
            raise LostsynError(GONE) from None

    def executor(self, width: int) -> Executor:  # noqa: ARG002 - the scheduler distributes
        """Return the client's, which outlives its workers."""
        return self._executor

    def mend(self) -> None:
        """Nothing to do: the scheduler itself gives a dead worker's tasks to others."""

    def close(self) -> None:
        """Leave the scheduler to others; of one that is gone there is nothing to leave."""
        with suppress(OSError, RuntimeError):
            self._client.close()
