"""What `lostsyn probe` asks: a connect, an HTTP GET, or the A and AAAA queries of one name."""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import dataclass

from analyzer.errors import UnusableInput

_FORM = re.compile(
    r"(?:(?P<scheme>http|dns)://)?(?:\[(?P<v6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:/\[\]]+))(?::(?P<port>\d{1,5}))?(?P<path>/\S*)?"
)
_USUAL = {"http": 80, "dns": 53}
_A, _AAAA, _IN = 1, 28, 1
_RECURSE = 0x0100


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One thing to ask for."""

    text: str
    """As the user wrote it."""
    scheme: str
    """`connect`, `http` or `dns`."""
    family: socket.AddressFamily
    address: str
    port: int
    host: str
    """As the user called it."""
    path: str
    """Of the GET; of `dns` the name to ask for."""

    @property
    def kind(self) -> socket.SocketKind:
        """Stream or datagram."""
        return socket.SOCK_DGRAM if self.scheme == "dns" else socket.SOCK_STREAM

    def messages(self, number: int) -> tuple[bytes, ...]:
        """What is sent once there is a connection.

        Args:
            number: Of the request; DNS answers are told by it.
        """
        if self.scheme == "http":
            host = f"[{self.host}]" if ":" in self.host else self.host
            return (
                f"GET {self.path} HTTP/1.1\r\nHost: {host}:{self.port}\r\nUser-Agent: lostsyn-probe\r\n"
                "Accept: */*\r\nConnection: close\r\n\r\n".encode(),
            )
        if self.scheme == "dns":
            return tuple(
                _query(self.path, kind, number + part & 0xFFFF) for part, kind in enumerate((_A, _AAAA))
            )
        return ()


def endpoint(text: str) -> Endpoint:
    """Read an endpoint: `HOST:PORT`, `http://HOST[:PORT]/PATH` or `dns://SERVER[:PORT]/NAME`.

    The name of the host is looked up once, so that a slow resolver is not taken for a slow server.

    Raises:
        UnusableInput: It is none of these, or the name is not known.
    """
    form = _FORM.fullmatch(text)
    scheme = (form["scheme"] or "connect") if form else ""
    port = int(form["port"] or _USUAL.get(scheme, 0)) if form else 0
    path = (form["path"] or "") if form else ""
    if form is None or not 0 < port < 65536 or (scheme == "connect" and path):
        raise UnusableInput(
            f"{text!r} is not an endpoint", "write HOST:PORT, http://HOST:PORT/PATH or dns://SERVER/NAME"
        )
    if scheme == "dns" and not re.fullmatch(r"/(?:[\w-]{1,63}\.){0,10}[\w-]{1,63}\.?", path):
        raise UnusableInput(f"{text!r} asks for no name", "write dns://SERVER/NAME")
    host = form["v6"] or form["host"]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UnusableInput(f"{host}: {error.strerror or error}") from None
    family, *_, address = found[0]
    return Endpoint(
        text=text,
        scheme=scheme,
        family=family,
        address=str(address[0]),
        port=port,
        host=host,
        path=path.strip("/") if scheme == "dns" else path or "/",
    )


def _query(name: str, kind: int, number: int) -> bytes:
    """A query of RFC 1035, section 4."""
    labels = b"".join(bytes([len(label)]) + label for label in name.rstrip(".").encode().split(b"."))
    return struct.pack("!6H", number, _RECURSE, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", kind, _IN)
