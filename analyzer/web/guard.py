"""Who may ask what: the access token, posts from other sites, and what a browser may do with an answer."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PUBLIC = frozenset({"/style.css", "/script.js", "/signin", "/api/openapi.json"})
"""Paths that are answered without the token; so are those under `/shared/`, which carry a secret of their own."""
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
SESSION = 12 * 3600
"""Seconds for which a browser is signed in."""


def access_token(data: Path) -> str:
    """Return the token of this data folder; it is made once, readable by its owner alone."""
    path = data / "token"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        token = path.read_text(encoding="ascii").strip()
        if len(token) >= 32:
            return token
        path.unlink()  # the server died between making and writing it
        return access_token(data)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token := secrets.token_urlsafe(32))
    return token


class Answer(JSONResponse):
    """JSON in ASCII: whatever a text holds, a half surrogate among it, it can be encoded."""

    def render(self, content: object) -> bytes:
        """Return the body."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class Token:
    """The access token, and the cookies of those who showed it.

    A cookie is not the token: it says until when it is good, and is signed with a key made of the token, for one port and
    path. So whoever gets hold of one has hours, and a new token ends them all.
    """

    def __init__(self, value: str) -> None:
        """Hold *value*."""
        self.value = value

    def matches(self, given: str) -> bool:
        """Compare in constant time, whatever the lengths."""
        digests = (hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in (given, self.value))
        return hmac.compare_digest(*digests)

    def shown_by(self, request: Request) -> bool:
        """Say whether a request carries it: as a bearer token, or in the cookie."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.matches(bearer.strip())
        name = _cookie(request)
        until, _, rest = request.cookies.get(name, "").partition(".")
        nonce, _, signature = rest.partition(".")
        return (
            hmac.compare_digest(self._signature(name, until, nonce), signature.encode("utf-8", "replace"))
            and time.time() < int(until)  # which is ours, since the signature is
        )

    def let_in(self, request: Request, response: Response) -> Response:
        """Sign the browser in: give it a cookie of its own, for the coming requests."""
        name, until, nonce = _cookie(request), str(int(time.time()) + SESSION), secrets.token_urlsafe(12)
        response.set_cookie(
            name,
            f"{until}.{nonce}.{self._signature(name, until, nonce).decode()}",
            max_age=SESSION,
            path=base(request) or "/",
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return response

    def _signature(self, name: str, until: str, nonce: str) -> bytes:
        told = f"cookie {name} {until} {nonce}".encode("utf-8", "replace")
        return hmac.digest(self.value.encode(), told, "sha256").hex().encode()


class Guard:
    """Stands before the application."""

    def __init__(self, app: ASGIApp, *, token: Token, refuse: Callable[[Request], Response]) -> None:
        """Let requests with *token* pass to *app*; *refuse* makes the page that asks for it."""
        self.app = app
        self._token = token
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on, one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._answer(Request(scope))
        await (answer or self.app)(scope, receive, guarded)

    def _answer(self, request: Request) -> Response | None:
        """Return the answer to a request that does not pass; None for one that does."""
        if request.method not in ("GET", "HEAD", "OPTIONS") and is_cross_site(request.headers):
            return Answer({"error": "Another site sent this request; it was refused."}, 403)
        path = route(request)
        given = request.query_params.get("token")
        if given is not None and request.method == "GET" and not path.startswith("/api/"):
            if not self._token.matches(given):
                return self._refuse(request)
            return self._token.let_in(request, RedirectResponse(_without_token(request), 303))
        if path in PUBLIC or path.startswith("/shared/"):
            return None
        if self._token.shown_by(request):
            return None
        if path.startswith("/api/"):
            return Answer(
                {"error": "The access token is missing or wrong: send 'Authorization: Bearer TOKEN'."},
                401,
                {"WWW-Authenticate": "Bearer"},
            )
        return self._refuse(request)


def is_cross_site(headers: Headers) -> bool:
    """Say whether a browser sends this on behalf of another site; programs send neither header."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def base(request: Request) -> str:
    """Return the path that stands before all of ours."""
    found: str = request.scope.get("root_path", "")
    return found


def route(request: Request) -> str:
    """Return the path of a request within ours."""
    path: str = request.scope["path"]
    return path.removeprefix(base(request)) or "/"


class Based:
    """Tells the application its base path, whether the server in front left it in a request's path or took it off."""

    def __init__(self, app: ASGIApp, *, base: str) -> None:
        """Put *base*, which may be empty, before the paths of *app*."""
        self.app = app
        self._base = base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on one request."""
        if scope["type"] == "http" and self._base:
            path = scope["path"]
            if path != self._base and not path.startswith(f"{self._base}/"):
                path = self._base + path
            scope = {**scope, "root_path": self._base, "path": path}
        await self.app(scope, receive, send)


def _cookie(request: Request) -> str:
    """Return the cookie's name: cookies are shared by all ports of a host, and several servers may run."""
    return f"lostsyn-{request.url.port or request.url.scheme}{base(request).replace('/', '-')}"


def _without_token(request: Request) -> str:
    query = request.url.remove_query_params("token").query
    # Never to another host: a path that begins with two slashes would name one.
    path = f"{base(request)}/{route(request).lstrip('/')}"
    return path + (f"?{query}" if query else "")
