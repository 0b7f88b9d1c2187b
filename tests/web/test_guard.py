"""Who may ask what, and what browsers are told."""

from __future__ import annotations

import stat
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from analyzer.web import guard
from analyzer.web.guard import Answer, Token, access_token, digest_of, is_cross_site
from tests.web.serving import Server


def _ask(server: Server, method: str, path: str, **how: object) -> httpx.Response:
    """Ask without the token."""
    return httpx.request(method, server.url + path, trust_env=False, **how)  # type: ignore[arg-type]


def test_the_token_is_kept(tmp_path: Path) -> None:
    """It is made once, long and random, readable by its owner alone; one that was cut short is made anew."""
    token = access_token(tmp_path)

    assert token == access_token(tmp_path)
    assert 43 == len(token)
    assert 0o600 == stat.S_IMODE((tmp_path / "token").stat().st_mode)
    (tmp_path / "token").write_text("")
    assert access_token(tmp_path) not in ("", token)


def test_the_token_is_compared_whole() -> None:
    """Only all of it is it, whatever its length or letters."""
    token = Token("a" * 43)

    assert "" == token.whose("a" * 43)
    assert [None] * 4 == [token.whose(given) for given in ("", "a" * 42, "a" * 44, "é\ud800" * 20)]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Cookie": "lostsyn-1=x"}, {"Authorization": "Basic YTpi"}],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("GET", "/uploads/a"), ("POST", "/uploads"), ("GET", "/nowhere"), ("GET", "/api/uploads"),
        ("POST", "/api/uploads"), ("DELETE", "/api/uploads/a"), ("PATCH", "/api/uploads/a/files/1"), ("GET", "/signin/../"),
    ],
)  # fmt: skip
def test_nothing_without_the_token(server: Server, method: str, path: str, headers: dict[str, str]) -> None:
    """Every page and every call asks for it, those that are not there as well."""
    answer = _ask(server, method, path, headers=headers)

    assert 401 == answer.status_code
    assert server.token not in answer.text


@pytest.mark.parametrize(
    "path", ["/style.css", "/signin", "/api/openapi.json", "/healthz", "/healthz?token="]
)
def test_what_everybody_may_see(server: Server, path: str) -> None:
    """The page that asks for the token has its style, and the API its description."""
    assert 200 == _ask(server, "GET", path).status_code


def test_the_printed_address_signs_in(server: Server) -> None:
    """The token moves from the address to a cookie that no script can read, and leaves the address."""
    answer = _ask(server, "GET", f"/?token={server.token}&q=x")
    cookie = answer.headers["set-cookie"].lower()

    assert (303, "/?q=x") == (answer.status_code, answer.headers["location"])
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    name, _, value = answer.headers["set-cookie"].partition(";")[0].partition("=")
    assert 200 == _ask(server, "GET", "/", headers={"Cookie": f"{name}={value}"}).status_code
    assert server.token not in answer.headers["set-cookie"]
    assert 403 == _ask(server, "GET", "/?token=wrong").status_code


def test_signing_in_stays_here(server: Server) -> None:
    """Whatever address was asked for, signing in never leads to another host."""
    addressed = _ask(server, "GET", f"//elsewhere.example/?token={server.token}")
    typed = _ask(server, "POST", "/signin", data={"token": server.token, "after": "//elsewhere.example"})

    assert "/elsewhere.example/" == addressed.headers["location"]
    assert "/elsewhere.example" == typed.headers["location"]
    assert 403 == _ask(server, "POST", "/signin", data={"token": "wrong"}).status_code


@pytest.mark.parametrize(
    ("headers", "cross"),
    [
        ({}, False),
        ({"sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "cross-site"}, True),
        ({"sec-fetch-site": "same-site"}, True),
        ({"origin": "http://127.0.0.1:8480", "host": "127.0.0.1:8480"}, False),
        ({"origin": "http://127.0.0.1:9000", "host": "127.0.0.1:8480"}, True),
        ({"origin": "null", "host": "127.0.0.1:8480"}, True),
    ],
)
def test_cross_site(headers: dict[str, str], cross: bool) -> None:
    """A browser says where a request comes from; another port of this host is another site, too."""
    assert cross == is_cross_site(Headers(headers))


@pytest.mark.parametrize("path", ["/uploads", "/api/uploads", "/signin", "/uploads/a/delete"])
def test_cross_site_posts_are_refused(server: Server, path: str) -> None:
    """Another site can do nothing, though the browser would add the cookie."""
    answer = server.client.post(path, headers={"Sec-Fetch-Site": "cross-site"})

    assert 403 == answer.status_code
    assert "Another site" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/", "/signin", "/uploads/none", "/api/uploads", "/style.css"])
def test_what_browsers_are_told(server: Server, path: str) -> None:
    """Every answer forbids foreign content, frames, guessing of types, referrers and caches."""
    headers = server.client.get(path).headers

    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert ("nosniff", "no-referrer", "no-store") == (
        headers["x-content-type-options"], headers["referrer-policy"], headers["cache-control"],
    )  # fmt: skip
    assert "server" not in headers


def _request(cookie: str = "", *, port: int = 8480, base: str = "") -> Request:
    return Request(
        {
            "type": "http", "method": "GET", "scheme": "http", "path": f"{base}/", "root_path": base, "query_string": b"",
            "server": ("127.0.0.1", port), "headers": [(b"cookie", cookie.encode())],
        }
    )  # fmt: skip


def _signed_in(token: Token, user: str = "", **where: Any) -> str:
    """Sign in, and return the cookie as the browser sends it."""
    answer = token.let_in(_request(**where), Response(), user)
    return str(answer.headers["set-cookie"].partition(";")[0])


def test_a_cookie_per_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sign-in gives a cookie of its own, good for hours, on this port and path, and with this token."""
    token = Token("a" * 43)
    cookie, other = _signed_in(token), _signed_in(token)

    assert cookie != other
    assert "a" * 43 not in cookie
    assert "" == token.shown_by(_request(cookie))
    assert None is token.shown_by(_request(cookie.replace("8480", "9000"), port=9000))
    assert None is token.shown_by(_request(cookie.replace("8480", "8480-x"), base="/x"))
    assert None is Token("b" * 43).shown_by(_request(cookie))
    later = time.time() + guard.SESSION + 1
    monkeypatch.setattr(guard.time, "time", lambda: later)
    assert None is token.shown_by(_request(cookie))


def test_a_users_token() -> None:
    """It signs its user in, by name; taken back, or made anew, it ends the sign-ins as well."""
    users = {"ann.b": (digest_of("her token"), 0.0)}
    token = Token("a" * 43, lambda: users)
    cookie = _signed_in(token, "ann.b")

    assert "ann.b" == token.whose("her token") == token.shown_by(_request(cookie))
    assert None is token.shown_by(_request(cookie.replace("ann.b", "")))
    assert None is token.shown_by(_request(cookie.replace("ann.b", "bob")))
    users["ann.b"] = (digest_of("another"), 0.0)
    assert None is token.shown_by(_request(cookie))
    users.clear()
    assert (None, None) == (token.whose("her token"), token.shown_by(_request(cookie)))


@pytest.mark.parametrize(
    "value", ["", ".", "..", "9999999999.x.", "9999999999.x.00", "\u00e9.\u00e9.\u00e9", "a" * 43]
)
def test_no_other_cookie(value: str) -> None:
    """The token itself, a signature of nothing and what is none sign nobody in."""
    token = Token("a" * 43)
    until, nonce, signature, _ = _signed_in(token).partition("=")[2].split(".")

    assert None is token.shown_by(_request(f"lostsyn-8480={value}"))
    assert None is token.shown_by(_request(f"lostsyn-8480={int(until) + 1}.{nonce}.{signature}."))
    assert None is token.shown_by(_request(f"lostsyn-8480={until}.{nonce}x.{signature}."))


def test_answers_can_be_encoded() -> None:
    """Half a surrogate pair, which JSON can carry and UTF-8 cannot, breaks no answer."""
    assert b'{"a":"\\ud800"}' == Answer({"a": "\ud800"}).body
