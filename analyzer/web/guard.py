"""Who may ask what: the access tokens, posts from other sites, and what a browser may do with an answer."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PUBLIC = frozenset({"/style.css", "/script.js", "/signin", "/api/openapi.json", "/healthz"})
"""Paths that are answered without the token; so are those under `/shared/`, which carry a secret of their own."""
_FOR_PROGRAMS = ("/api/", "/metrics")
"""What begins like this is asked by programs, which send their token in a header and read no page."""
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


def digest_of(token: str) -> str:
    """Return what is kept of a user's token: it is random, so that nobody finds it by trying."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


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

    def __init__(self, value: str, users: Callable[[], Mapping[str, tuple[str, float]]] = dict) -> None:
        """Hold *value*; *users* tells whose other tokens are good: name to digest, and when it was made."""
        self.value = value
        self._users = users

    def whose(self, given: str) -> str | None:
        """Return whose token that is: empty for the server's own; None if it is none. In constant time."""
        digest = digest_of(given)
        owners = {"": digest_of(self.value)} | {name: good for name, (good, _) in self._users().items()}
        found = [name for name, good in owners.items() if hmac.compare_digest(digest, good)]
        return found[0] if found else None

    def shown_by(self, request: Request) -> str | None:
        """Return whose token a request carries, as a bearer token or in the cookie; None if it carries none."""
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.whose(bearer.strip())
        name = _cookie(request)
        until, nonce, signature, user = (*request.cookies.get(name, "").split(".", 3), "", "", "", "")[:4]
        good = self._signature(name, until, nonce, user)
        if good and hmac.compare_digest(good, signature.encode("utf-8", "replace")):
            return user if time.time() < int(until) else None  # which is ours, since the signature is
        return None

    def let_in(self, request: Request, response: Response, user: str) -> Response:
        """Sign the browser in: give it a cookie of its own, for the coming requests."""
        name, until, nonce = _cookie(request), str(int(time.time()) + SESSION), secrets.token_urlsafe(12)
        signature = (self._signature(name, until, nonce, user) or b"").decode()
        response.set_cookie(
            name,
            f"{until}.{nonce}.{signature}.{user}",
            max_age=SESSION,
            path=base(request) or "/",
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return response

    def _signature(self, name: str, until: str, nonce: str, user: str) -> bytes | None:
        """Sign with a key made of the user's token as well: taken back, it ends that user's sign-ins."""
        digest = self._users().get(user, ("", 0))[0] if user else "-"
        if not digest:
            return None
        told = f"cookie {name} {until} {nonce} {user} {digest}".encode("utf-8", "replace")
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

        scope.setdefault("state", {})
        answer = self._answer(Request(scope))
        await (answer or self.app)(scope, receive, guarded)

    def _answer(self, request: Request) -> Response | None:
        """Return the answer to a request that does not pass; None for one that does."""
        if request.method not in ("GET", "HEAD", "OPTIONS") and is_cross_site(request.headers):
            return Answer({"error": "Another site sent this request; it was refused."}, 403)
        path = route(request)
        if path in PUBLIC or path.startswith("/shared/"):
            return None
        given = request.query_params.get("token")
        if given is not None and request.method == "GET" and not path.startswith(_FOR_PROGRAMS):
            if (user := self._token.whose(given)) is None:
                return self._refuse(request)
            return self._token.let_in(request, RedirectResponse(_without_token(request), 303), user)
        shown = self._token.shown_by(request)
        if shown is not None:
            request.state.shown = shown
            return None
        if path.startswith(_FOR_PROGRAMS):
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


def _cookie(request: Request) -> str:
    """Return the cookie's name: cookies are shared by all ports of a host, and several servers may run."""
    return f"lostsyn-{request.url.port or request.url.scheme}{base(request).replace('/', '-')}"


def _without_token(request: Request) -> str:
    query = request.url.remove_query_params("token").query
    # Never to another host: a path that begins with two slashes would name one.
    path = f"{base(request)}/{route(request).lstrip('/')}"
    return path + (f"?{query}" if query else "")
