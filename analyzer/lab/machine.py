"""What belongs to the whole machine and not to one namespace: some sysctls, the kernel's log, the CPUs."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from analyzer.errors import LostsynError, MissingTool
from analyzer.lab.namespaces import NAMES, PREFIX

_LOCK = NAMES.parent / f"{PREFIX}lab.lock"
_PATIENCE_S = 300
_KMSG = Path("/dev/kmsg")
_OURS = re.compile(r"nf_conntrack: |nf_ct_proto_\d+: |net_ratelimit: |neighbour: ")


@contextmanager
def alone() -> Iterator[None]:
    """Keep other experiments on this machine out for the length of a `with` block.

    They would pull at the same sysctls, and at the CPUs whose timing a race depends on.

    Raises:
        LostsynError: Another experiment did not end within five minutes.
    """
    _LOCK.parent.mkdir(parents=True, exist_ok=True)
    with _LOCK.open("w") as lock:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > deadline:
                raise LostsynError(
                    f"another experiment has been running on this machine for {_PATIENCE_S} s (it holds {_LOCK}); "
                    "wait for it, or end it"
                )
            time.sleep(0.1)
        yield


@contextmanager
def setting(name: str, value: int) -> Iterator[None]:
    """Give a machine-wide sysctl another value for the length of a `with` block, and restore it in every case.

    Args:
        name: Its dotted name.
        value: The other value.

    Raises:
        MissingTool: The kernel lacks it, or shows it read-only, as in a container's network namespace.
    """
    file = Path("/proc/sys", *name.split("."))
    try:
        before = file.read_text()
        file.write_text(str(value))
    except OSError as error:
        raise MissingTool(
            f"{name} cannot be set ({error.strerror}): it is the machine's, so run this scenario as root "
            "outside of any container"
        ) from None
    try:
        yield
    finally:
        file.write_text(before)


class KernelLog:
    """The lines that the kernel logs about connection tracking and neighbours from now on."""

    def __init__(self) -> None:
        """Go to the end of the log; without the right to read it there are no lines."""
        self._file: int | None = None
        with suppress(OSError):
            self._file = os.open(_KMSG, os.O_RDONLY | os.O_NONBLOCK)
            os.lseek(self._file, 0, os.SEEK_END)

    def close(self) -> None:
        """Close the log."""
        if self._file is not None:
            os.close(self._file)

    def lines(self) -> str:
        """What was logged since the last call, as `dmesg` prints it."""
        return "".join(line for record in self._records() if (line := _line(record)))

    def _records(self) -> Iterator[str]:
        while self._file is not None:
            try:
                yield os.read(self._file, 8192).decode(errors="replace")
            except BlockingIOError:
                return
            except BrokenPipeError:  # overwritten before it was read: the next read gets the oldest left
                continue


def _line(record: str) -> str | None:
    """One record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg): `priority,number,microseconds,flags;text`."""
    head, _, text = record.partition(";")
    text = text.split("\n")[0]
    if not _OURS.match(text):
        return None
    return f"[{int(head.split(',')[2]) / 1e6:12.6f}] {text}\n"
