"""`lostsyn probe`: ask a server again and again, as the pods in question do."""

from __future__ import annotations

import json
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from analyzer.cli.saying import note
from analyzer.errors import LostsynError, UnusableInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analyzer.field.probe import Answer

_SHOW_S = 0.5


def _ports(_: click.Context, __: click.Parameter, text: str | None) -> range | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text)
    low, high = (int(found[1]), int(found[2])) if found else (1, 0)
    if not 0 < low < high < 65536:
        raise UnusableInput(f"--source-ports: {text!r} is not a port range; write 20000-29999")
    return range(low, high + 1)


@click.command()
@click.argument("endpoints", nargs=-1, required=True, metavar="ENDPOINT...")
@click.option(
    "--delay",
    type=click.FloatRange(min=0.1, max=3.6e6),
    default=10,
    show_default=True,
    help="Milliseconds from one request to the next.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="Most requests in flight.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.01, max=3600),
    default=20,
    show_default=True,
    help="Seconds after which a request is given up.",
)
@click.option(
    "--slow",
    type=click.FloatRange(min=0),
    default=500,
    show_default=True,
    help="Log requests that take this many milliseconds or more.",
)
@click.option("--count", type=click.IntRange(min=1), help="Stop after this many requests.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Stop after this many seconds.")
@click.option(
    "--source-ports",
    "ports",
    metavar="LOW-HIGH",
    callback=_ports,
    help="Source ports, chosen by the clock: instances with the same options use the same port at the same instant.",
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("lostsyn-probe.jsonl"),
    show_default=True,
    help="Log of slow and failed requests, as JSON Lines; appended to.",
)
def command(
    endpoints: Sequence[str], delay: float, concurrency: int, timeout: float, slow: float, count: int | None,
    seconds: float | None, ports: range | None, log: Path,
) -> None:  # fmt: skip
    """Send requests to servers over and over, and log the slow ones.

    ENDPOINT is HOST:PORT (connect only), http://HOST:PORT/PATH (GET), or dns://SERVER/NAME (A and AAAA from one
    socket); of several each gets its turn. Run in two pods with --source-ports, it provokes the SNAT port race. Ends on
    Ctrl-C, after --count or --seconds, and then tells percentiles. The log has local port and time of each slow
    request, by which it is found in captures.

    \b
    Exit status:
      0  it ended as it should, however slow the answers were
      2  it could not run: a name is not known, the log cannot be written

    \b
    Examples:
      lostsyn probe 192.0.2.100:80
      lostsyn probe --source-ports 20000-29999 --seconds 60 192.0.2.100:80
      lostsyn probe dns://10.96.0.10/example.com http://shop.example:8080/health
    """  # noqa: D301 - the backspaces keep click from joining the lines
    from analyzer.field.endpoints import endpoint
    from analyzer.field.probe import Plan, Probe
    from analyzer.field.timing import Timing

    plan = Plan(
        endpoints=[endpoint(text) for text in endpoints],
        delay_ns=int(delay * 1e6),
        concurrency=concurrency,
        timeout_ns=int(timeout * 1e9),
        count=count,
        seconds=seconds,
        ports=ports,
    )
    timing, probe = Timing(int(slow * 1e6)), Probe(plan)
    shown = 0.0
    try:
        with log.open("a", encoding="utf-8") as lines:

            def tell(answer: Answer) -> None:
                nonlocal shown
                if timing.add(answer):
                    lines.write(json.dumps(_record(answer)) + "\n")
                    lines.flush()
                if sys.stderr.isatty() and (now := time.monotonic()) - shown > _SHOW_S:
                    shown = now
                    told = f"{probe.begun} requests, {len(timing.slow)} slow, {timing.errors.total()} not answered"
                    click.echo(f"\r\033[K{told} (Ctrl-C ends)", err=True, nl=False)

            with suppress(KeyboardInterrupt):
                probe.run(tell)
    except OSError as error:
        raise LostsynError(f"{log}: cannot be written: {error.strerror}") from None
    if shown:
        click.echo("\r\033[K", err=True, nl=False)
    click.echo(timing.text(), nl=False)
    if timing.slow or timing.errors:
        note(f"slow and failed requests are in {log}")


def _record(answer: Answer) -> dict[str, object]:
    return {
        "time_ns": answer.time_ns,
        "duration_s": answer.duration_ns / 1e9,
        "connect_s": None if answer.connect_ns is None else answer.connect_ns / 1e9,
        "src": answer.src,
        "sport": answer.sport,
        "dst": answer.endpoint.address,
        "dport": answer.endpoint.port,
        "proto": "udp" if answer.endpoint.scheme == "dns" else "tcp",
        "endpoint": answer.endpoint.text,
        "error": answer.error or None,
    }
