"""`lostsyn serve`: the upload application."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import click

from analyzer.cli.saying import note
from analyzer.errors import LostsynError, MissingTool

_LOOPBACK = ("127.", "localhost", "::1")
_GIB = 1 << 30
_DAY = 24 * 3600


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8480,
    show_default=True,
    help="The port to listen on; 0 for any free one.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The folder that holds everything.  [default: ~/.local/share/lostsyn]",
)
@click.option(
    "--keep",
    type=click.FloatRange(min=0, min_open=True),
    default=30,
    show_default=True,
    metavar="DAYS",
    help="Delete an upload that was not changed for this long.",
)
@click.option(
    "--max-size",
    type=click.FloatRange(min=0, min_open=True),
    default=20,
    show_default=True,
    metavar="GIB",
    help="Largest upload.",
)
@click.option(
    "--spare",
    type=click.FloatRange(min=0),
    default=2,
    show_default=True,
    metavar="GIB",
    help="Disk space to leave free.",
)
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Concurrent analyses.")
@click.option(
    "--memory",
    type=click.FloatRange(min=0.5),
    metavar="GIB",
    help="Memory limit of one analysis.  [default: half of the machine's]",
)
@click.option(
    "--time",
    "minutes",
    type=click.FloatRange(min=0, min_open=True),
    default=60,
    show_default=True,
    metavar="MINUTES",
    help="Time limit of one analysis.",
)
@click.option(
    "--base-path",
    "base",
    default="",
    metavar="PATH",
    help="Path under which a reverse proxy serves this page, such as /lostsyn.",
)
@click.option(
    "--proxy",
    "proxies",
    multiple=True,
    metavar="NETWORK",
    help="Address or network of a trusted reverse proxy: its headers for scheme and user are believed. May be repeated.  "
    "[default: this machine]",
)
@click.option(
    "--user-header",
    default="",
    metavar="NAME",
    help="Header in which the proxy names the user, such as X-Forwarded-User.",
)
@click.option(
    "--webhook",
    default="",
    envvar="LOSTSYN_WEBHOOK",
    metavar="URL",
    help="POST JSON to this URL when an analysis ends.  [env: LOSTSYN_WEBHOOK]",
)
def command(
    host: str,
    port: int,
    data: Path | None,
    keep: float,
    max_size: float,
    spare: float,
    jobs: int,
    memory: float | None,
    minutes: float,
    base: str,
    proxies: tuple[str, ...],
    user_header: str,
    webhook: str,
) -> None:
    """Serve a web page for uploading captures and reading the reports.

    Prints the address with its access token, and serves until it is interrupted. Everything stays in --data; what is
    under way continues after a restart. Needs the extra: pip install 'lostsyn[web]'

    \b
    Exit status:
      0  it was interrupted
      2  it could not run

    \b
    Examples:
      lostsyn serve
      lostsyn serve --port 0 --data /var/lib/lostsyn --keep 7
    """  # noqa: D301 - the backspaces keep click from joining the lines
    try:
        import uvicorn

        from analyzer.web import app, connections, folder, logs, sandbox
        from analyzer.web.settings import LOCAL, Settings
        from analyzer.web.webhook import is_address
    except ModuleNotFoundError as missing:
        raise MissingTool(
            f"serve needs {missing.name}, which is not installed: pip install 'lostsyn[web]'"
        ) from None
    data = data or Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "lostsyn"
    base = base.rstrip("/")
    if not re.fullmatch(r"(?:/(?!\.{1,2}(?:/|$))[\w.~-]+)*", base, re.ASCII):
        raise LostsynError(f"--base-path: {base!r} is not a path such as /lostsyn")
    for network in proxies:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise LostsynError(
                f"--proxy: {network!r} is not an address or network such as 10.0.0.0/24"
            ) from None
    if not re.fullmatch(r"[A-Za-z0-9-]{0,100}", user_header):
        raise LostsynError(f"--user-header: {user_header!r} is not a header name")
    if webhook and not is_address(webhook):
        raise LostsynError("--webhook: an address begins with http:// or https:// and has a host")
    with _owned(data):
        _private(folder.private, data)
        settings = Settings(
            data=data,
            keep=keep * _DAY,
            size=int(max_size * _GIB),
            spare=int(spare * _GIB),
            jobs=jobs,
            time=minutes * 60,
            base=base,
            user_header=user_header,
            webhook=webhook,
            proxies=proxies or LOCAL,
            **({"memory": int(memory * _GIB)} if memory else {}),
        )
        application = app.build(settings)
        config = uvicorn.Config(
            application,
            host=host,
            port=port,
            http=connections.limited(),
            ws="none",
            backlog=connections.BACKLOG,
            log_config=None,
            proxy_headers=False,  # analyzer.web.front takes the word of those in front
            access_log=False,  # the first address has the token in it
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        listening = _listen(host, port)
        shown = f"[{host}]" if ":" in host else host
        address = (
            f"http://{shown}:{listening.getsockname()[1]}{base}/?token={application.state.desk.token.value}"
        )
        click.echo(f"Lostsyn listens: {address}")
        if not host.startswith(_LOOPBACK):
            note("others can reach this address, and it is not encrypted: put a TLS proxy in front of it")
        if left := sandbox.missing(data.resolve()):
            note(
                f"what reads uploads can reach {' and '.join(left)}: neither Landlock nor a namespace is available to confine it"
            )
        logs.begin()
        with suppress(KeyboardInterrupt):  # which uvicorn raises again when it has stopped
            uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as problem:
        raise LostsynError(
            f"{host} port {port}: cannot be listened on: {problem.strerror or problem}"
        ) from None


def _private(restrict: Callable[[Path], None], data: Path) -> None:
    try:
        restrict(data)
    except OSError as problem:
        raise LostsynError(f"{data}: cannot be made private: {problem.strerror}") from None


@contextmanager
def _owned(data: Path) -> Iterator[None]:
    """Make the data folder, for our eyes only as all that is made in it, and keep other servers off it."""
    before = os.umask(0o077)
    try:
        try:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (data / "lock").open("wb")
        except OSError as problem:
            raise LostsynError(f"{data}: cannot be used: {problem.strerror}") from None
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise LostsynError(
                    f"{data}: in use by another lostsyn serve; give --data another folder"
                ) from None
            yield
    finally:
        os.umask(before)
