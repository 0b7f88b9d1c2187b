"""Who may ask what: the access token, posts from other sites, and what a browser may do with an answer."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import URL, Headers, MutableHeaders
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
_YEAR = 365 * 24 * 3600


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


class Token:
    """The access token, and the cookie in which a browser keeps it."""

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
        return self.matches(
            bearer.strip() if scheme.lower() == "bearer" else request.cookies.get(_cookie(request), "")
        )

    def let_in(self, request: Request, response: Response) -> Response:
        """Give the browser the token, for the coming requests."""
        response.set_cookie(
            _cookie(request),
            self.value,
            max_age=_YEAR,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return response


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
            return JSONResponse({"error": "Another site sent this request; it was refused."}, 403)
        path = request.url.path
        given = request.query_params.get("token")
        if given is not None and request.method == "GET" and not path.startswith("/api/"):
            if not self._token.matches(given):
                return self._refuse(request)
            return self._token.let_in(request, RedirectResponse(_without_token(request.url), 303))
        if path in PUBLIC or path.startswith("/shared/"):
            return None
        if self._token.shown_by(request):
            return None
        if path.startswith("/api/"):
            return JSONResponse(
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


def _cookie(request: Request) -> str:
    """Return the cookie's name: cookies are shared by all ports of a host, and several servers may run."""
    return f"lostsyn-{request.url.port or request.url.scheme}"


def _without_token(url: URL) -> str:
    rest = url.remove_query_params("token")
    # Never to another host: a path that begins with two slashes would name one.
    return "/" + rest.path.lstrip("/") + (f"?{rest.query}" if rest.query else "")
