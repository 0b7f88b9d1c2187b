"""The kernel's own word for each packet that it drops, kept beside the captures.

The tracepoint skb:kfree_skb names reason and place of every drop. bpftrace also reads the packet's addresses; where it is
not installed, or does not run here, an instance of tracefs of our own records reason, place, CPU and call stack.
Either runs in a mount namespace of its own and is gone when it ends.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

from analyzer.errors import MissingTool
from analyzer.lab.namespaces import PREFIX, Namespace

FILE = "drops.txt"
TOOLS = ("bpftrace", "tracefs")
"""What records, the better one first."""
PROGRAM = Path(__file__).parents[1] / "field/drops.bt"
_TRACEFS = Path("/sys/kernel/tracing")
_EVENT = Path("events/skb/kfree_skb")
_BUFFER_KIB = 8192
"""Of each CPU: some thirty thousand records with their stacks."""
_PATIENCE_S = 20
"""bpftrace compiles its program first: two seconds, more on a machine that is busy."""
_SETTLE_S = 0.5
"""Until bpftrace has printed what the kernel handed over."""
_PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h
_CLONE_NEWNS = 0x00020000  # include/uapi/linux/sched.h
_MS_REC, _MS_PRIVATE = 0x4000, 0x40000  # include/uapi/linux/mount.h
_libc = ctypes.CDLL(None, use_errno=True)
_fork = multiprocessing.get_context("fork")


@contextmanager
def recorded(where: Namespace, directory: Path) -> Iterator[str | None]:
    """Record drops during a `with` block into `drops.txt`; it starts when the recorder does record.

    Args:
        where: The namespace whose drops are wanted; tracefs knows no namespaces and records those of all.
        directory: Where to write.

    Yields:
        Which of `TOOLS` records; None where none works here, and the bundle has no drop records.
    """
    with where.entered():
        inode = Path("/proc/thread-self/ns/net").stat().st_ino
    with ExitStack() as stack:
        using = None
        for tool in TOOLS:
            with suppress(MissingTool):
                stack.enter_context(_RECORDERS[tool](directory / FILE, inode))
                using = tool
                break
        yield using


@contextmanager
def _bpftrace(file: Path, inode: int) -> Iterator[None]:
    if not (shutil.which("bpftrace") and shutil.which("unshare")):
        raise MissingTool("bpftrace is not installed")
    # It finds its tracepoints through tracefs, which not every machine has mounted; and prints numbers for reasons,
    # which the tracepoint's format names.
    script = (
        f"test -d {_TRACEFS}/events || mount -t tracefs nodev {_TRACEFS} || exit 1; "
        f'cat {_TRACEFS}/{_EVENT}/format; exec bpftrace -q -B line "$@"'
    )
    with file.open("w") as out:
        process = subprocess.Popen(
            ("unshare", "--mount", "sh", "-c", script, "sh", str(PROGRAM), str(inode)),
            stdout=out,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT),
        )
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while "\nclock: " not in file.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > deadline:
                file.unlink()
                raise MissingTool("bpftrace does not run here")
            time.sleep(0.05)
        yield
        time.sleep(_SETTLE_S)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def _tracefs(file: Path, _: int) -> Iterator[None]:
    ours, theirs = _fork.Pipe()
    process = _fork.Process(target=_trace, args=(ours, theirs, file), daemon=True)
    process.start()
    theirs.close()
    with closing(ours):
        try:
            if not ours.poll(_PATIENCE_S) or not _received(ours):
                raise MissingTool("tracefs cannot be used here")
            yield
        finally:
            with suppress(BrokenPipeError):
                ours.send("stop")
            process.join(_PATIENCE_S)
            process.kill()


_RECORDERS: dict[str, Callable[[Path, int], AbstractContextManager[None]]] = {
    "bpftrace": _bpftrace,
    "tracefs": _tracefs,
}


def _received(pipe: Connection) -> bool:
    try:
        pipe.recv()
    except EOFError:
        return False
    return True


def _trace(parents_end: Connection, pipe: Connection, file: Path) -> None:
    """Record until told to stop, or the parent is gone: a trace instance would stay behind, so nothing else ends this."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    parents_end.close()
    with suppress(OSError):
        _mount()
        instance = _TRACEFS / "instances" / f"{PREFIX}{os.getpid()}"
        instance.mkdir()
        try:
            (instance / "trace_clock").write_text("mono")
            (instance / "buffer_size_kb").write_text(str(_BUFFER_KIB))
            event = instance / _EVENT
            (event / "filter").write_text("protocol == 0x0800 || protocol == 0x86dd")
            (event / "trigger").write_text("stacktrace")
            (event / "enable").write_text("1")
            pipe.send("ready")
            _received(pipe)
            (event / "enable").write_text("0")
            wall, mono = time.time_ns(), time.monotonic_ns()
            with file.open("w") as out, (instance / "trace").open() as trace:
                out.write(f"# clock: mono t={mono} wall={wall // 10**9}.{wall % 10**9:09}\n")
                shutil.copyfileobj(trace, out)
        finally:
            instance.rmdir()


def _mount() -> None:
    """Mount tracefs for this process alone, where the machine has not."""
    if (_TRACEFS / "instances").exists():
        return
    if _libc.unshare(_CLONE_NEWNS) or _libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None):
        raise OSError(ctypes.get_errno(), "unshare")
    if _libc.mount(b"nodev", os.fsencode(_TRACEFS), b"tracefs", 0, None):
        raise OSError(ctypes.get_errno(), "mount")
