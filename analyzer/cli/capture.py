"""`lostsyn capture`: record on this node, or print the script that does so on another."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator

import click

from analyzer.errors import MissingTool


def _option(name: str, metavar: str, help_: str, *, multiple: bool = False) -> click.Option:
    """An option that is handed to the script as it is."""
    return click.Option([name], metavar=metavar, help=help_, multiple=multiple)


OPTIONS = [
    _option("--pod", "NAMESPACE/NAME", "Record this pod's interface, its bridge and the uplinks; crictl or docker finds it."),
    _option("--container", "ID", "The same for a container of docker, podman, nerdctl or crictl."),
    _option("--pid", "PID", "The same for the network namespace of a process."),
    _option("--address", "IP", "The same for the network namespace that has this address."),
    _option("-i", "INTERFACE", "Record only this interface; 'any' is all of them. May be repeated.", multiple=True),
    _option("-o", "FILE", "The archive (.tar.gz, .tar.zst), a folder for it, or - for stdout.  [default: this folder]"),
    _option("--seconds", "S", "Stop after this many seconds."),
    _option(
        "--until",
        "EVENT",
        "End after insert_failed, drop, invalid, table-full, syn-retransmit, or once a command succeeds. May be repeated.",
        multiple=True,
    ),
    _option("--after", "S", "Keep recording for this many seconds after the event.  [default: 5]"),
    _option("--size", "MB", "Size of the ring: the newest packets of all interfaces together.  [default: 512]"),
    _option("--keep", "MB", "Start over after each event; keep the newest archives, up to this many MB."),
    _option("--snaplen", "BYTES", "Bytes to record of each packet; 0 for all of it.  [default: 256]"),
    _option("--filter", "EXPRESSION", "Record only what matches this tcpdump filter; behind NAT, addresses differ."),
]  # fmt: skip
"""The script's options; `tests/cli/test_capture.py` holds them against what it parses."""
SWITCHES = [
    click.Option(
        ["--drops"], is_flag=True, help="Also record which packets the kernel drops, where and why."
    ),
    click.Option(["--dry-run"], is_flag=True, help="Print what would be run, and stop."),
]


@click.command(params=[*OPTIONS, *SWITCHES])
@click.option("--print-script", is_flag=True, help="Print the script instead: POSIX sh, which needs tcpdump.")
@click.pass_context
def command(context: click.Context, /, print_script: bool, **_: object) -> None:
    """Record an incident on this node into one archive, for `lostsyn report`.

    Finds the interfaces of pods, bridge and uplinks, records them to a bounded ring on disk, headers only, and
    collects what the node says of itself before and after. Ends on Ctrl-C, after a time, or some seconds after an
    event. Whatever ends it, what was recorded is kept, and nothing else stays behind. Needs root and tcpdump.

    \b
    Exit status:
      0  the archive was written
      1  it was written, but the recording ended early: the disk was full, or a recorder died
      2  nothing was recorded: a right, a program, an interface or room is missing

    \b
    Examples:
      lostsyn capture --pod default/web-0
      lostsyn capture --until insert_failed --until table-full
      lostsyn capture -i cni0 -i eth0 --seconds 60 -o race.tar.gz
      lostsyn capture --print-script > capture.sh    # for a node without Python
    """  # noqa: D301 - the backspaces keep click from joining the lines
    from analyzer.field.script import script

    if print_script:
        click.echo(script(), nl=False)
        return
    if shutil.which("sh") is None or not hasattr(os, "memfd_create"):
        raise MissingTool("recording needs Linux and a shell")
    file = os.memfd_create("capture.sh", 0)
    os.write(file, script().encode())
    os.lseek(file, 0, os.SEEK_SET)
    os.dup2(file, 0)
    signal.signal(
        signal.SIGPIPE, signal.SIG_DFL
    )  # Python ignores it, and the script's programs would inherit that
    # In this process's place, so that signals reach the script as they are sent.
    os.execvp("sh", ["sh", "-s", "--", *_given(context)])  # noqa: S606 - a list of arguments, no shell in between


def _given(context: click.Context) -> Iterator[str]:
    for option in (*OPTIONS, *SWITCHES):
        assert option.name is not None
        value = context.params[option.name]
        if option.is_flag:
            yield from option.opts[:1] if value else ()
        else:
            for word in value if option.multiple else () if value is None else (value,):
                yield from (option.opts[0], word)
