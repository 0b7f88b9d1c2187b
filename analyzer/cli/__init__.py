"""The command line: one small file per sub-command, imported when it is called."""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import os
import shlex
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import click
from click.shell_completion import CompletionItem

from analyzer import __version__
from analyzer.errors import LostsynError

# Name -> what `lostsyn --help` says of it. The module `analyzer.cli.NAME` holds the command, `-` being `_`.
COMMANDS = {
    "capture": "Record an incident on this node into one archive.",
    "check": "Analyse captures; print what was found; exit 1 if anything was.",
    "completion": "Print the completion script of bash, zsh or fish.",
    "explain": "Explain a cause: what it is, how it is recognised, what to do about it.",
    "fleet": "Analyse the bundles of many nodes on many machines; write one report.",
    "lab": "Reproduce an incident on this machine's kernel and capture it.",
    "probe": "Send requests to a server over and over, and log the slow ones.",
    "report": "Analyse captures and write one self-contained HTML report.",
    "serve": "Serve a web page for uploading captures and reading the reports.",
    "what-if": "Say which incidents another setting would have avoided.",
    "why": "Explain why a packet is, or is not, called lost.",
}


FAILURE = 2
"""Exit code of all that is no result: 1 says that incidents were found, and nothing else may say so."""


class _Lazy(click.Group):
    """A group that imports a sub-command only when it runs: pandas must not slow `--help` down."""

    debug = False
    """Whether an error is to be told with all its details."""

    def list_commands(self, _: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f"analyzer.cli.{name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        if not any(parameter.name == "debug" for parameter in command.params):
            command.params.append(_debug_option())
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Take a path for `report PATH`; ask whether another command was meant."""
        name = args[0]
        if name in COMMANDS or name.startswith("-"):
            return super().resolve_command(ctx, args)
        if os.path.lexists(name):
            return "report", self.get_command(ctx, "report"), args
        from analyzer.cli.saying import close

        asked = close(name, COMMANDS).capitalize()
        raise click.UsageError(f"No such command, and no file or folder: {name!r}. {asked}".rstrip(), ctx)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [
            CompletionItem(name, help=told) for name, told in COMMANDS.items() if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


def _debug_option() -> click.Option:
    def remember(_: click.Context, __: click.Parameter, wanted: bool) -> None:
        group.debug |= wanted

    return click.Option(
        ["--debug"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=remember,
        help="Show a traceback if it fails unexpectedly.",
    )


@click.command(cls=_Lazy, params=[_debug_option()], context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def group() -> None:
    """Find where packets die on a Linux node, and say why.

    Give it the captures taken at the same time on a pod's veth, on the bridge (cni0, docker0) and on eth0,
    with what else was collected (conntrack -S before and after, uname, ip -j link). It recognises each packet on
    both sides of the NAT boundary and names the kernel step that lost it.

    Results go to stdout or into a file; progress, notes and the one sentence of an error go to stderr.

    \b
    Exit status:
      0  nothing was found, or the command did what it should
      1  incidents were found (check)
      2  the command could not run, or the captures allow no conclusion

    \b
    Examples:
      lostsyn FOLDER                    # what happened: one HTML file (lostsyn report FOLDER)
      lostsyn check FOLDER              # the same on the terminal
      lostsyn explain snat-port-race    # what a cause is, and what to do
      lostsyn COMMAND --help            # all that a command takes
    """  # noqa: D301 - the backspaces keep click from joining the lines


def main() -> None:
    """Run; whatever goes wrong becomes one sentence on stderr and exit code 2."""
    # numpy's linear algebra, which nothing here uses, starts a thread per processor that spins for a while.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.stdout, sys.stderr = _stream(sys.stdout, 1), _stream(sys.stderr, 2)
    # Importing makes fifty thousand objects and no cycles: looking for them took 20 ms, and 20 ms again at the end.
    gc.set_threshold(200_000)
    atexit.register(gc.freeze)
    if "_LOSTSYN_COMPLETE" in os.environ:
        group(prog_name="lostsyn")
    group.debug = False
    try:
        code = _run()
        if sys.stdout:
            sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        code = error.exit_code if isinstance(error, LostsynError) else FAILURE
        with suppress(OSError):  # stderr may be what is full
            _tell(error)
        _drop_output()
    sys.exit(code)


def _stream(stream: TextIO | None, descriptor: int) -> TextIO:
    """Return a standard stream that can be printed to, and that notices what was not written."""
    if stream is None:  # closed: else the next file that is opened gets its number, and what is printed
        nothing = os.open(os.devnull, os.O_RDONLY if descriptor == 1 else os.O_WRONLY)
        if nothing != descriptor:
            os.dup2(nothing, descriptor)
            os.close(nothing)
        stream = io.TextIOWrapper(io.FileIO(descriptor, "w", closefd=False), encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    if isinstance(stream.buffer, io.RawIOBase):
        # PYTHONUNBUFFERED: what a write leaves over, as on a disk that gets full, would be dropped without a word.
        encoding = stream.encoding
        buffered = io.BufferedWriter(stream.detach())
        stream = io.TextIOWrapper(buffered, encoding=encoding, write_through=True)
    stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 shows a question mark
    return stream


def _run() -> int:
    """Run the command, and return its exit code; click's own way ends with 1 whenever it is interrupted or cannot write."""
    try:
        with group.make_context("lostsyn", sys.argv[1:]) as context:
            context.meta["lostsyn.command"] = shlex.join(["lostsyn", *sys.argv[1:]])
            group.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return 0


def _tell(error: BaseException) -> None:
    from analyzer.cli.saying import note, say

    if group.debug:
        say("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
    elif isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        if context is not None:
            click.echo(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n", err=True)
        say(f"Error: {error.format_message()}")
    else:
        note(_sentence(error))


def _sentence(error: BaseException) -> str:
    """Say in one sentence what went wrong."""
    if isinstance(error, LostsynError):
        return str(error)
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return "interrupted; unfinished output was not written"
    if isinstance(error, BrokenPipeError):
        return "stdout was closed before everything was written"
    if isinstance(error, MemoryError) or str(error) == "can't start new thread":
        return "not enough memory; with --memory SIZE, such as 2G, the analysis works in temporary files"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'stdout'}: {error.strerror}"
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f" in {Path(frame.filename).name} line {frame.lineno}" for frame in where)
    told = str(error)[:300]
    return (
        f"failed unexpectedly: {type(error).__name__}{place}{told and f': {told}'}; this is a bug in Lostsyn: "
        "please report it with the output of --debug"
    )


def _drop_output() -> None:
    """Let nothing more be written to a stream that cannot take it: Python would try again at its end, and exit 120."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            try:
                stream.flush()
            except OSError:
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, stream.fileno())
                os.close(nothing)
