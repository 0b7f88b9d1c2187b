"""What the commands that analyse captures share: arguments, progress, output."""

from __future__ import annotations

import os
import re
import shutil
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analyzer.capture.naming import ROLES as ROLES
from analyzer.cli.saying import note, say, shown
from analyzer.errors import LostsynError, UnusableInput
from analyzer.result.saving import inode, saving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from analyzer.capture.bundle import Bundle
    from analyzer.result.analysis import Result

COMMAND, SHA256 = "lostsyn.command", "lostsyn.sha256"
"""Keys of click's `meta`: the command line, and whether all inputs are to be hashed."""
LINE = "\r\x1b[2K"
"""Begin and erase a terminal's line (ECMA-48)."""
_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1  # malloc.h


def _bytes(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """Bytes, from `2G`, `500M`, `1.5G`."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([KMGT])i?B?", text, re.IGNORECASE)
    size = int(float(found[1]) * 1024 ** (1 + "KMGT".index(found[2].upper()))) if found else 0
    if not size:
        raise UnusableInput(f"--memory: {text!r} is not a size; write 2G or 500M")
    return size


memory_option = click.option(
    "--memory",
    metavar="SIZE",
    callback=_bytes,
    help="Use at most this much memory, such as 2G or 500M: the columns lie in temporary files (TMPDIR or /var/tmp).",
)


sha256_option = click.option(
    "--sha256",
    is_flag=True,
    expose_value=False,
    callback=lambda context, _, wanted: context.meta.update({SHA256: wanted}),
    help="Also compute the SHA-256 of large inputs; up to 50 % slower.",
)


slow_log_option = click.option(
    "--slow-log",
    "slow_logs",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Say which connection each slow request of FILE waited for: the log of `lostsyn probe`, or an application's own "
    "as JSON, JSON Lines or CSV with time, duration and address. May be repeated.",
)


def bundle_options(function: Callable[..., Any], *, required: bool = True) -> Callable[..., Any]:
    """Give a command the arguments that make a bundle; *required* says whether it cannot do without a path."""
    for decorate in (
        sha256_option,
        memory_option,
        click.option(
            "--role",
            "roles",
            multiple=True,
            metavar="NAME=ROLE",
            help="The role of a capture point: pod, bridge or uplink. May be repeated.",
        ),
        click.option(
            "--point",
            "points",
            multiple=True,
            metavar="NAME=FILE",
            help="Name the capture point of a file. May be repeated.",
        ),
        click.argument("paths", nargs=-1, required=required, metavar="PATH..."),
    ):
        function = decorate(function)
    return function


def run(
    paths: Sequence[str],
    points: Sequence[str],
    roles: Sequence[str],
    memory: int | None = None,
    outputs: Iterable[Path | None] = (),
    slow_logs: Sequence[Path] = (),
    *,
    quiet: bool = False,
    asked: Mapping[str, Any] | None = None,
) -> Result:
    """Analyse, with progress on a terminal, and say on stderr what limits the result.

    Args:
        paths: The bundle.
        points: As the option gives them.
        roles: As the option gives them.
        memory: Bytes to get along with.
        outputs: Files that will be written: none of them may be one that the bundle is made of.
        slow_logs: Logs of slow requests, to be joined.
        quiet: Whether to show no progress.
        asked: The command line and whether all inputs are hashed, where no command runs in this process.
    """
    from analyzer.api import analyze
    from analyzer.capture import scan
    from analyzer.capture.bundle import Bundle
    from analyzer.capture.hashing import LIMIT
    from analyzer.capture.storage import is_memory, temporary_folder

    _share_one_heap()
    by_file = {file: name for name, file in pairs(points, "--point", "NAME=FILE")}
    by_name = dict(pairs(roles, "--role", "NAME=ROLE"))
    if not scan.COMPILED:
        note(
            "running uncompiled, about 40 times slower or more: there was no C compiler, or no Python headers, at installation"
        )
    if memory and is_memory(folder := temporary_folder()):
        note(f"--memory: {folder} is itself in memory (tmpfs); set TMPDIR to a folder on a disk")
    bundle = Bundle.open(paths, points=by_file)
    for output in outputs:
        keep_apart(output, bundle)
    asked = click.get_current_context().meta if asked is None else asked
    hash_limit = None if asked.get(SHA256) else LIMIT
    with meter("reading", sum(capture.size for capture in bundle.captures), shown=not quiet) as advance:
        try:
            analysis = analyze(bundle, roles=by_name, memory=memory, progress=advance, hash_limit=hash_limit)
            analysis = replace(analysis, command=asked.get(COMMAND, ""))
        except UnusableInput as problem:
            if problem.reason.startswith("roles: "):
                raise UnusableInput(f"--role{problem.reason.removeprefix('roles')}") from None
            raise
    return analysis.with_slow_log(*slow_logs) if slow_logs else analysis


def keep_apart(output: Path | None, bundle: Bundle) -> None:
    """Refuse to write over what the bundle is made of, or another could be; reports, and the evidence that we wrote, are not."""
    from analyzer.capture.archive import is_tar, is_zip
    from analyzer.capture.files import EvidenceFile, is_text
    from analyzer.capture.listing.recognising import form
    from analyzer.capture.reader import is_capture
    from analyzer.evidence.sources import sources

    found = inode(output) if output else None
    if output is None or found is None:
        return
    label = bundle.inputs.get(found)
    file = EvidenceFile(label=str(output), source=lambda: output.open("rb", buffering=0), size=0)
    head, _ = file.stored(1 << 16)
    if label is not None:
        read, said = not is_text(head), f"is {label} of the bundle"
    else:
        ours = b"lostsyn " in head  # the program that a pcapng file names
        read, said = (
            (is_capture(head) and not ours) or is_tar(head) or is_zip(head),
            "holds captures or side evidence",
        )
    text, _ = file.read(1 << 16)
    if read or form(head) or any(source.recognises(text) for source in sources()):
        raise UnusableInput(f"{output}: {said}, and would be overwritten; give another file")


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


def make_folder(folder: Path) -> None:
    """Make a folder for what is written; an error says which one could not be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LostsynError(f"{folder}: cannot be created: {error.strerror}") from None


def write(text: str, output: Path | None, printed: Callable[[str], str] = shown) -> None:
    """Write a result to a file, or to stdout.

    Args:
        text: The result.
        output: The file; None or `-` for stdout.
        printed: Makes of it what may go into the log of a CI job: of `analyzer.cli.saying`.
    """
    if output is None or str(output) == "-":
        click.echo(printed(text), nl=False)
        return
    with saving(output) as file:
        file.write(text.encode(errors="replace"))


def text_or_json(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option that says what it prints, as its argument `form`."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="What to print: text for people, json (format_version 1) for programs.",
    )(function)


def terminal() -> dict[str, Any]:
    """How wide and whether coloured a text is to be on stdout: a terminal as it is, anything else 80 columns and plain."""
    if not sys.stdout.isatty():
        return {}
    colour = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"  # https://no-color.org
    return {"width": min(max(shutil.get_terminal_size().columns, 40), 132), "colour": colour}


def advise(analysis: Result) -> None:
    """Say on stderr what the captures lack, and how to take the next one."""
    for advice in analysis.advice:
        note(f"{advice.situation} {advice.next}")
        for line in advice.command.splitlines():
            say(f"    {line}")


def pairs(given: Sequence[str], option: str, form: str) -> Iterator[tuple[str, str]]:
    """Split what an option was given, `NAME=FILE` and the like."""
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise UnusableInput(f"{option}: {text!r} is not of the form {form}")
        yield name, value


@contextmanager
def meter(label: str, total: int, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far something is; nothing is left of it afterwards, and elsewhere nothing is shown."""
    if not (shown and sys.stderr.isatty()):
        yield lambda _: None
        return
    with click.progressbar(length=total, label=label, file=sys.stderr, width=0) as bar:
        yield bar.update
    click.echo(f"\x1b[A{LINE}", err=True, nl=False)
