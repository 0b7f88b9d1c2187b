"""What the commands that analyse captures share: arguments, progress, output."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analyzer.errors import LostsynError, UnusableInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from analyzer.analysis import Analysis
    from analyzer.capture.bundle import Bundle

_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1  # malloc.h
ROLES = ("pod", "bridge", "tunnel", "uplink")


def _bytes(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """Bytes, from `2G`, `500M`, `1.5G`."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([KMGT])i?B?", text, re.IGNORECASE)
    size = int(float(found[1]) * 1024 ** (1 + "KMGT".index(found[2].upper()))) if found else 0
    if not size:
        raise UnusableInput(f"--memory: {text!r} is no size; write 2G or 500M")
    return size


memory_option = click.option(
    "--memory",
    metavar="SIZE",
    callback=_bytes,
    help="Get along with so much memory, such as 2G or 500M: the columns lie in temporary files (TMPDIR or /var/tmp).",
)


def bundle_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the arguments that make a bundle."""
    for decorate in (
        memory_option,
        click.option(
            "--role",
            "roles",
            multiple=True,
            metavar="NAME=ROLE",
            help="Say what a capture point is: pod, bridge or uplink. May be repeated.",
        ),
        click.option(
            "--point",
            "points",
            multiple=True,
            metavar="NAME=FILE",
            help="Name the capture point of a file. May be repeated.",
        ),
        click.argument("paths", nargs=-1, required=True, metavar="PATH..."),
    ):
        function = decorate(function)
    return function


def run(
    paths: Sequence[str], points: Sequence[str], roles: Sequence[str], memory: int | None = None
) -> Analysis:
    """Analyse, with progress on a terminal, and say on stderr what limits the result."""
    from analyzer.capture import scan
    from analyzer.capture.bundle import Bundle
    from analyzer.capture.storage import is_memory, temporary_folder
    from analyzer.pipeline import analyze

    _share_one_heap()
    by_file = {file: name for name, file in _pairs(points, "--point", "NAME=FILE")}
    by_name = dict(_pairs(roles, "--role", "NAME=ROLE"))
    for role in by_name.values():
        if role not in ROLES:
            raise UnusableInput(f"--role: {role!r} is no role; use pod, bridge or uplink")
    if not scan.COMPILED:
        note(
            "running uncompiled, about 40 times slower or more: no C compiler was there when this was installed"
        )
    if memory and is_memory(folder := temporary_folder()):
        note(f"--memory: {folder} lies in memory itself (tmpfs); set TMPDIR to a folder on a disk")
    bundle = Bundle.open(paths, points=by_file)
    with _progress(bundle) as advance:
        analysis = analyze(bundle, roles=by_name, memory=memory, progress=advance)
    missing = by_name.keys() - {point.name for point in analysis.capture_points}
    if missing:
        known = ", ".join(point.name for point in analysis.capture_points)
        raise UnusableInput(
            f"--role: no capture point is called {', '.join(sorted(missing))}; there are {known}"
        )
    return analysis


def _share_one_heap() -> None:
    """Let all threads allocate from one heap, and keep what was freed in it (glibc): nobody has to be given new pages.

    It saves a tenth. Columns, above 8 MB each, are given back to the kernel all the same.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        for parameter, value in (
            (_M_ARENA_MAX, 1),
            (_M_MMAP_THRESHOLD, 8 << 20),
            (_M_TRIM_THRESHOLD, 1 << 30),
        ):
            mallopt(parameter, value)


def write(text: str, output: Path | None) -> None:
    """Write a result to a file, or to stdout."""
    if output is None or str(output) == "-":
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LostsynError(f"{output}: cannot be written: {error.strerror}") from None


def advise(analysis: Analysis) -> None:
    """Say on stderr what the captures lack, and how to take the next one."""
    for advice in analysis.advice:
        note(f"{advice.situation} {advice.next}")
        for line in advice.command.splitlines():
            click.echo(f"    {line}", err=True)


def note(text: str) -> None:
    """Say something on stderr."""
    click.echo(f"lostsyn: {text}", err=True)


def _pairs(given: Sequence[str], option: str, form: str) -> Iterator[tuple[str, str]]:
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise UnusableInput(f"{option}: {text!r} is not of the form {form}")
        yield name, value


@contextmanager
def _progress(bundle: Bundle) -> Iterator[Callable[[int], None]]:
    """Show bytes and time left, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=sum(capture.size for capture in bundle.captures))
        yield lambda count: progress.advance(task, count)
