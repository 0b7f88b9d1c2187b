"""What a confined process can reach: the files of one upload and its own folder; no network, no other upload, no token.

Landlock (landlock(7)) takes away the file system but for what is listed, TCP, and signals to and tracing of others. A
network namespace takes away the rest of the network; for a server that is not root it needs a user namespace. Where there
is no Landlock, a mount namespace hides the data folder, which is less: the rest of the machine stays readable.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
# The same number on every architecture: they are younger than the common table.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_WRITE, _READ, _READ_FOLDER = 1 << 1, 1 << 2, 1 << 3
_REMOVE = 1 << 4 | 1 << 5
_MAKE = 1 << 7 | 1 << 8
"""Folders and files; neither devices nor sockets, FIFOs or links, by which somebody else might be led astray."""
_TRUNCATE = 1 << 14
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Version of Landlock to how many rights over files it knows; 16 from version 5 on."""
_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP = 38, 24
_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
_MS_REC, _MS_PRIVATE, _MS_BIND = 0x4000, 1 << 18, 0x1000
_CAPABILITIES = 0x20080522
"""_LINUX_CAPABILITY_VERSION_3."""
_SYSTEM = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime",
    "/dev/null", "/dev/zero", "/dev/urandom", "/sys/devices/system/cpu",
)  # fmt: skip
"""What Python and its libraries read."""


def enter(data: Path, folder: Path, files: Iterable[Path]) -> list[str]:
    """Leave this process, which must have one thread, only what its task needs.

    Args:
        data: What is hidden: the server's data folder.
        folder: Where it may write, temporary files included.
        files: What it may read.

    Returns: What could not be taken away, in words: the kernel does not offer it, or does not allow it.
    """
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    left = []
    landlock = _landlock_version() > 0
    if not _tried(lambda: _namespaces(0 if landlock else _CLONE_NEWNS)):
        left.append("the network")
    elif not landlock and not _tried(lambda: _hide(data, folder.parent)):
        left.append("the data folder")
    if landlock:
        if not _tried(lambda: _landlock(data, folder, files)):
            left.append("the file system")
    else:
        left += (
            ["the data folder", "the file system"] if left else ["the file system outside the data folder"]
        )
    return list(dict.fromkeys(left))


def missing(data: Path) -> list[str]:
    """Return what `enter` cannot take away on this machine; asked of a process of its own."""
    import subprocess

    done = subprocess.run(
        [sys.executable, "-P", "-m", "analyzer.web.sandbox", str(data)], capture_output=True, check=False
    )
    with suppress(ValueError):
        found = json.loads(done.stdout)
        return [str(one) for one in found]
    return ["the network", "the file system"]


def _tried(step: Callable[[], None]) -> bool:
    try:
        step()
    except OSError:
        return False
    return True


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _landlock_version() -> int:
    return int(_LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def _landlock(data: Path, folder: Path, files: Iterable[Path]) -> None:
    version = _landlock_version()
    handled = (1 << _RIGHTS.get(version, 16)) - 1
    # Rights over files, over TCP (bind and connect, version 4), and what is scoped (abstract sockets and signals, version 6).
    attributes = struct.pack("=QQQ", handled, 3, 3)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = _checked(_LIBC.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))
    try:
        for path in (*(one for root in _roots() for one in _without(root, data)), *files):
            _allow(rules, path, _READ | _READ_FOLDER)
        _allow(rules, folder, (_WRITE | _READ | _READ_FOLDER | _REMOVE | _MAKE | _TRUNCATE) & handled)
        _checked(_LIBC.syscall(_RESTRICT_SELF, rules, 0))
    finally:
        os.close(rules)


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there, nobody reads
    try:
        if not path.is_dir():
            rights &= _WRITE | _READ | _TRUNCATE
        _checked(_LIBC.syscall(_ADD_RULE, rules, 1, struct.pack("=Qi", rights, opened), 0))
    finally:
        os.close(opened)


def _roots() -> list[Path]:
    """Return where Python, its packages and this one are."""
    # An editable installation is found by a hook, and is then not below any entry of the path.
    package = Path(__file__).resolve().parents[1]
    found = {
        package,
        *(Path(entry).resolve() for entry in (*sys.path, sys.prefix, sys.base_prefix) if entry),
    }
    return [*sorted(found - {Path("/")}), *(Path(path).resolve() for path in _SYSTEM)]


def _without(root: Path, hidden: Path) -> Iterator[Path]:
    """Yield *root*, or what is in it beside *hidden*."""
    if not hidden.is_relative_to(root):
        yield root
    elif hidden != root:
        for inner in root.iterdir():
            yield from _without(inner, hidden)


def _namespaces(more: int) -> None:
    """Enter a network of nothing, and what *more* says."""
    user, group = os.geteuid(), os.getegid()
    if not more and user == 0 and _LIBC.unshare(_CLONE_NEWNET) == 0:
        return
    _checked(_LIBC.unshare(_CLONE_NEWUSER | _CLONE_NEWNET | more))
    # user_namespaces(7): one may map oneself, without groups.
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")


def _hide(data: Path, upload: Path) -> None:
    """Put an empty folder over *data*, in which *upload* alone is; and give up the right to take it away again."""
    opened = os.open(upload, os.O_PATH | os.O_CLOEXEC)
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", str(data), "tmpfs", 0)
    upload.mkdir(parents=True)
    _mount(f"/proc/self/fd/{opened}", str(upload), None, _MS_BIND)
    os.close(opened)
    for capability in range(64):
        _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    _checked(_LIBC.capset(struct.pack("=Ii", _CAPABILITIES, 0), bytes(24)))


def _mount(source: str | None, target: str, kind: str | None, flags: int) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _checked(_LIBC.mount(*texts, ctypes.c_ulong(flags), None))


def main(arguments: Sequence[str]) -> None:
    """Say what cannot be taken away."""
    data = Path(arguments[0]).resolve()
    sys.stdout.write(json.dumps(enter(data, data / "uploads" / "probe", ())))


if __name__ == "__main__":
    main(sys.argv[1:])
