"""What a server in front says of a request: the path before ours, the scheme, the user."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from analyzer.report.words import printable

NAME = 100
"""Characters of a user's name, at most."""


class Front:
    """Tells the application its base path, whether the server in front left it in a request's path or took it off.

    Scheme and user are believed where the connection comes from an address of *proxies*: anybody can send a header.
    """

    def __init__(self, app: ASGIApp, *, base: str, proxies: Sequence[str], user_header: str) -> None:
        """Put *base*, which may be empty, before the paths of *app*; *user_header*, if any, names the user."""
        self.app = app
        self._base = base
        self._proxies = [ipaddress.ip_network(each) for each in proxies]
        self._user_header = user_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request."""
        if scope["type"] == "http":
            scope = {**scope, "user": ""}
            if self._base:
                path = scope["path"]
                if path != self._base and not path.startswith(f"{self._base}/"):
                    path = self._base + path
                scope |= {"root_path": self._base, "path": path}
            if self._trusts(scope.get("client")):
                headers = Headers(scope=scope)
                if headers.get("x-forwarded-proto") in ("http", "https"):
                    scope["scheme"] = headers["x-forwarded-proto"]
                named = headers.getlist(self._user_header) if self._user_header else []
                # Twice, and one of them is the client's own: nobody is named.
                scope["user"] = user_name(named[0]) if len(named) == 1 else ""
        await self.app(scope, receive, send)

    def _trusts(self, client: tuple[str, int] | None) -> bool:
        try:
            address = ipaddress.ip_address((client or ("", 0))[0].partition("%")[0])
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._proxies)


def user_name(text: str) -> str:
    """Return a user's name, fit to be shown on one line."""
    return printable(" ".join(text.split()), NAME)
