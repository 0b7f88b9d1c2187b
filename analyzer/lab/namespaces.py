"""Network namespaces: made for one run, entered for a moment, always removed.

`ip netns` holds them under a name, so that a person can look inside while a scenario runs. Sockets and
processes belong to the namespace in which they are made; after that they stay there.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Generic, Self, TypeVar

from analyzer.errors import LostsynError, MissingTool

T = TypeVar("T")

CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h
_PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h
PREFIX = "lostsyn-"
NAMES = Path("/run/netns")  # iproute2, include/namespace.h
_libc = ctypes.CDLL(None, use_errno=True)
# fork, so that tasks inherit sockets and need not be importable; the laboratory has no threads.
_fork = multiprocessing.get_context("fork")


def require(*tools: str) -> None:
    """Say what is missing before anything is built.

    Raises:
        MissingTool: Not root, or a tool is not installed.
    """
    if os.geteuid():
        raise MissingTool("the laboratory makes network namespaces: run it as root")
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        raise MissingTool(
            f"the laboratory needs {', '.join(missing)}: install it and make sure it is on the PATH"
        )


def run(*argv: str, stdin: str | None = None) -> str:
    """Run a system tool and return its standard output.

    Raises:
        LostsynError: It failed; the message repeats what it said.
    """
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().replace("\n", "; ")
        raise LostsynError(f"'{' '.join(argv)}' failed with status {done.returncode}: {said}")
    return done.stdout


class Task(Generic[T]):
    """A function that runs in a process of its own."""

    def __init__(self, function: Callable[..., T], args: Sequence[object]) -> None:
        self._name = function.__name__
        self._reader, writer = _fork.Pipe(duplex=False)
        self._process = _fork.Process(target=_child, args=(os.getpid(), writer, function, args), daemon=True)
        self._process.start()
        writer.close()

    def result(self, timeout: float) -> T:
        """Wait for what the function returns.

        Args:
            timeout: Seconds.

        Raises:
            LostsynError: It raised, died, or did not end in time.
        """
        try:
            if not self._reader.poll(timeout):
                raise LostsynError(f"the laboratory's {self._name} did not end within {timeout:.0f} s")
            value, error = self._reader.recv()
        except EOFError:
            raise LostsynError(f"the laboratory's {self._name} was killed") from None
        if error:
            raise LostsynError(f"the laboratory's {self._name} failed: {error}")
        returned: T = value
        return returned

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()
        self._reader.close()


def _child(parent: int, writer: Connection, function: Callable[..., object], args: Sequence[object]) -> None:
    # One that is being forked when Ctrl-C comes is in nobody's list yet: it ends with its parent all the same.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it stops its tasks
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        message: tuple[object, str] = (function(*args), "")
    except Exception:  # whatever it is, the parent tells it
        message = (None, traceback.format_exc(limit=-1).strip().replace("\n", "; "))
    with suppress(BrokenPipeError):
        writer.send(message)


class Namespace:
    """One network namespace: a pod, the node, or what lies outside of it."""

    def __init__(self, role: str) -> None:
        self.name = f"{PREFIX}{os.getpid()}-{role}"
        self._tasks: list[Task[object]] = []

    def __enter__(self) -> Self:
        try:
            run("ip", "netns", "add", self.name)
        except BaseException:  # Ctrl-C may come when the name is there and `with` has not begun
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for task in self._tasks:
            task.stop()
        self._remove()

    def _remove(self) -> None:
        if Path(NAMES, self.name).exists():
            run("ip", "netns", "delete", self.name)  # the devices inside go with it

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be inside for the length of a `with` block: sockets and processes made there belong to it."""
        with Path("/proc/self/ns/net").open() as home, Path(NAMES, self.name).open() as inside:
            _setns(inside.fileno())
            try:
                yield
            finally:
                _setns(home.fileno())

    def ip(self, *argv: str) -> str:
        """Run `ip` inside."""
        return run("ip", "-n", self.name, *argv)

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run any tool inside; see `run`."""
        with self.entered():
            return run(*argv, stdin=stdin)

    def sysctl(self, name: str, value: object) -> None:
        """Write one sysctl inside, by its dotted name."""
        with self.entered():
            Path("/proc/sys", *name.split(".")).write_text(str(value))

    def counted(self, family: str, table: str, chain: str) -> list[int]:
        """How many packets each counter in an nftables chain has counted."""
        rules = self.run("nft", "list", "chain", family, table, chain)
        return [int(packets) for packets in re.findall(r"counter packets (\d+)", rules)]

    def start(self, function: Callable[..., T], *args: object) -> Task[T]:
        """Run a function in a process inside; it is stopped at the latest when the namespace is removed."""
        with self.entered():
            task = Task(function, args)
        self._tasks.append(task)  # type: ignore[arg-type] # only ever stopped
        return task


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise MissingTool(f"entering a network namespace failed ({os.strerror(number)}): run it as root")
