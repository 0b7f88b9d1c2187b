"""The command line: one small file per sub-command, imported when it is called."""

from __future__ import annotations

import gc
import importlib
import io
import os
import sys

import click
from click.shell_completion import CompletionItem

from analyzer import __version__
from analyzer.errors import LostsynError

# Name -> what `lostsyn --help` says of it. The module `analyzer.cli.NAME` holds the command, `-` being `_`.
COMMANDS = {
    "capture": "Record an incident on this node into one archive.",
    "check": "Analyse captures; print what was found; exit 1 if anything was.",
    "completion": "Print the completion script of bash, zsh or fish.",
    "explain": "Tell what a cause is, how it is recognised, and what to do about it.",
    "fleet": "Analyse the bundles of many nodes on many machines; write one report.",
    "lab": "Reproduce an incident on this machine's kernel and capture it.",
    "probe": "Ask a server again and again, and log which requests were slow.",
    "report": "Analyse captures and write one self-contained HTML report.",
    "serve": "Let people upload captures to a page and read the report there.",
    "what-if": "Say which incidents another setting would have avoided.",
}


class _Lazy(click.Group):
    """A group that imports a sub-command only when it runs: pandas must not slow `--help` down."""

    def list_commands(self, _: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f"analyzer.cli.{name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        names = [
            CompletionItem(name, help=told) for name, told in COMMANDS.items() if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.command(cls=_Lazy)
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
      lostsyn report FOLDER             # what happened: one HTML file
      lostsyn check FOLDER              # the same on the terminal
      lostsyn explain snat-port-race    # what a cause is, and what to do
      lostsyn COMMAND --help            # all that a command takes
    """  # noqa: D301 - the backspaces keep click from joining the lines


def main() -> None:
    """Run; an error of ours becomes one sentence on stderr and exit code 2."""
    # numpy's linear algebra, which nothing here uses, starts a thread per processor that spins for a while.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 shows a question mark
    gc.set_threshold(50_000)  # importing makes many objects and no cycles: looking for them took 20 ms
    try:
        group(prog_name="lostsyn")
    except LostsynError as error:
        click.echo(f"lostsyn: {error}", err=True)
        sys.exit(error.exit_code)
