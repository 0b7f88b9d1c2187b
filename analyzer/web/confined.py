"""Work on hostile files in a process of its own, which may use only so much memory, processor, disk and time.

The server runs `python -m analyzer.web TASK FOLDER` and learns how it ended; whatever becomes of that process, the server
only ever reads the files that it wrote. It is killed when the server dies, so two never work on one upload. What it can
reach is in `analyzer.web.sandbox`.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import resource
import signal
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analyzer.report.words import printable
from analyzer.web.folder import Refused, emptied, told
from analyzer.web.settings import GIB

TOO_MUCH_MEMORY = 3
"""Exit status of a process that was denied memory."""
REFUSED = "refused.json"
"""What a task writes that cannot be done: one sentence."""
ERRORS = ".stderr"
"""Suffix of the file with what the last process wrote to standard error, beside its folder."""
_PR_SET_PDEATHSIG = 1
_OWN = frozenset(
    (
        signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSYS, signal.SIGTRAP,
        signal.SIGXCPU, signal.SIGXFSZ, signal.SIGPIPE,
    )
)  # fmt: skip
"""What ends a process by its own doing; other signals come from outside: from the kernel short of memory, or an operator."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a process may use."""

    memory: int
    """Bytes of address space."""
    cpu: int
    """Seconds of processor time."""
    disk: int
    """Bytes of one file that it writes."""
    time: float
    """Seconds."""


async def run(task: str, work: Path, order: dict[str, Any], limits: Limits) -> str | None:
    """Run a task in a process of its own; once more if something outside killed it.

    Args:
        task: What to do: a key of `analyzer.web.__main__.TASKS`.
        work: Where it writes, its temporary files included; two levels below `uploads` of the data folder.
        order: What it works on.
        limits: What it may use.

    Returns: Why it was not done, in one sentence; None if it was.
    """
    for attempt in (1, 2):
        try:
            status = await _process(task, work, order, limits)
        except TimeoutError:
            return f"It took more than {_span(limits.time)}, the limit, and was stopped."
        if status >= 0 or -status in _OWN:
            return _ended(status, work, limits)
        _LOG.warning("%s: killed from outside (%s)", work, signal.Signals(-status).name)
        if attempt == 1:
            emptied(work)
    return (
        f"Something outside killed its process ({signal.Signals(-status).name}), also when it was tried once more; "
        "the machine may have too little memory."
    )


async def _process(task: str, work: Path, order: dict[str, Any], limits: Limits) -> int:
    """Return the exit status of a process that did a task."""
    environment = {
        **os.environ,
        "TMPDIR": str(work),
        # Each thread of the linear algebra library would take address space; nothing here uses it.
        "OPENBLAS_NUM_THREADS": "1",
    }
    # Beside the folder, not in it: what is read again must be the file that was opened here.
    with work.with_suffix(ERRORS).open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "analyzer.web", task, str(work),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=errors,
            start_new_session=True, env=environment,
        )  # fmt: skip
    try:
        async with asyncio.timeout(limits.time):
            line = json.dumps({"order": order, "limits": asdict(limits), "server": os.getpid()})
            await process.communicate(line.encode())
    finally:
        # The whole group, whatever it started; also when the server stops, or the upload is deleted.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return process.returncode or 0


def _ended(status: int, work: Path, limits: Limits) -> str | None:
    if status == 0:
        return None
    if refused := told(Refused, work / REFUSED):
        return printable(refused.says, 2000)
    if status == TOO_MUCH_MEMORY:
        return f"It needed more than {limits.memory / GIB:.3g} GiB of memory, the limit, and was stopped."
    if status == -signal.SIGXCPU:
        return f"It needed more than {_span(limits.cpu)} of processor time, the limit, and was stopped."
    _LOG.warning("%s: ended with status %d: %s", work, status, _last_words(work))
    if status < 0:
        return (
            f"The process crashed ({signal.Signals(-status).name}); one of the files may be made to do that."
        )
    return f"The process ended unexpectedly with status {status}; the server's log says more."


def _last_words(work: Path) -> str:
    """Return the end of what a process wrote to standard error: of a traceback, what matters."""
    with suppress(OSError), work.with_suffix(ERRORS).open("rb") as errors:
        errors.seek(max(0, os.fstat(errors.fileno()).st_size - 2000))
        return printable(errors.read(2000).decode("utf-8", "replace").strip(), 4000)
    return ""


def _span(seconds: float) -> str:
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds:.3g} s"


def enter(limits: Limits, server: int) -> None:
    """Confine this process; it ends with the *server* that started it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:
        os._exit(1)  # it died before it could be watched
    for kind, limit in (
        (resource.RLIMIT_AS, limits.memory),
        (resource.RLIMIT_CPU, limits.cpu),
        (resource.RLIMIT_FSIZE, limits.disk),
        (resource.RLIMIT_CORE, 0),
    ):
        most = resource.getrlimit(kind)[1]
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        # Past the soft limit of processor time comes SIGXCPU, which tells why; past the hard one SIGKILL.
        resource.setrlimit(kind, (limit, limit + 5 if kind == resource.RLIMIT_CPU and most < 0 else limit))
    os.nice(10)
