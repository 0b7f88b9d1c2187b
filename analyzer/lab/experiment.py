"""One run of a scenario: build, capture, provoke, collect, tear down."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from analyzer.errors import LostsynError, MissingTool
from analyzer.lab import machine, node, state, verdicts
from analyzer.lab.namespaces import Namespace, require
from analyzer.lab.ping import ping
from analyzer.lab.recording import recorded
from analyzer.lab.run import Run
from analyzer.lab.scenarios import SCENARIOS

RECORDERS = ("points", "any")
"""One capture for each interface, or one for all of them."""


def conduct(
    scenario: str, directory: Path, *, rounds: int | None = None, recorder: str = "points"
) -> dict[str, Any]:
    """Run a scenario and leave a bundle behind: captures, side evidence, `truth.json`.

    Args:
        scenario: A name in `SCENARIOS`.
        directory: Where to write; made if missing.
        rounds: How often the scenario repeats its traffic; None for its own default.
        recorder: One of `RECORDERS`.

    Returns:
        What is written to `truth.json`: scenario, rounds, kernel, `counters` (increase of each conntrack
        counter over all CPUs), `invalid` (packets that conntrack called INVALID, see `verdicts`) and
        `traffic` (what the traffic programs know; each scenario's docstring tells its keys).

    Raises:
        MissingTool: Not root, or a program or kernel module is missing.
        LostsynError: The directory is not empty, or something failed; the namespaces are removed.
    """
    require("ip", "nft", "conntrack", "tcpdump", "unshare", "tar")
    chosen = SCENARIOS[scenario]
    if recorder == "any" and chosen.apart:
        raise LostsynError(f"{scenario} needs a capture of {chosen.apart} alone: use the recorder 'points'")
    points = [recorder] if recorder == "any" else [point for point in node.POINTS if point != chosen.apart]
    rounds = chosen.rounds if rounds is None else rounds
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise LostsynError(
            f"{directory} is not empty, and captures of two runs must not mix; give another folder"
        )
    with (
        _termination_raised(),
        tempfile.TemporaryDirectory() as scratch,
        machine.alone(),
        _logging(),
        closing(machine.KernelLog()) as log,
        node.built() as net,
    ):
        before, invalid = state.counters(net.node), Path(scratch, "invalid.pcap")
        with (
            verdicts.logged(net.node, invalid),
            recorded(net.node, directory, points, "--drops", "--after", "86400") as recording,
        ):
            _log_to_dmesg(net.node)
            run = Run(net=net, rounds=rounds, recording=recording, directory=directory)
            with run.ends:
                _mark(net)
                traffic = chosen.provoke(run)
                _mark(net)
        after = state.counters(net.node)
        # The machine's log is that of all its namespaces, and of all former runs.
        for told in directory.glob("*/dmesg.txt"):
            told.unlink()
        if lines := log.lines():
            (directory / "dmesg.txt").write_text(lines)
        truth = {
            "scenario": scenario,
            "rounds": rounds,
            "kernel": state.kernel(),
            "counters": state.increase(before, after),
            "invalid": verdicts.read(invalid),
            "traffic": traffic,
        }
    (directory / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    return truth


def _mark(net: node.Node) -> None:
    """Send an echo of each pod through every point: what happens between two of them was recorded everywhere.

    Without it the first SYN of a race may be lost before eth0 has had any packet, and whether it was captured
    there by then is undecidable.
    """
    for number, pod in enumerate((net.a, net.b)):
        with pod.entered():
            ping(node.V4, number)


@contextmanager
def _logging() -> Iterator[None]:
    """Let nf_log write for all namespaces; where that cannot be had, the bundle has fewer lines of dmesg."""
    with ExitStack() as stack:
        with suppress(MissingTool):
            stack.enter_context(machine.setting("net.netfilter.nf_log_all_netns", 1))
        yield


def _log_to_dmesg(where: Namespace) -> None:
    """Lead what conntrack logs to dmesg again: tcpdump, recording the nflog group, has led it there."""
    for family, logger in ((2, "nf_log_ipv4"), (10, "nf_log_ipv6")):  # AF_INET, AF_INET6
        with suppress(OSError):  # a logger that is not loaded
            where.sysctl(f"net.netfilter.nf_log.{family}", logger)


@contextmanager
def _termination_raised() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into SystemExit, once: the clean-up that follows is not to be interrupted."""

    def leave(number: int, _: object) -> None:
        for each in previous:
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    previous = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
