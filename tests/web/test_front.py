"""What a server in front says, and whether it is believed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.requests import Request

from analyzer.web.front import Front, user_name
from analyzer.web.guard import route
from analyzer.web.settings import LOCAL


def seen(path: str = "/", client: str = "127.0.0.1", **headers: str) -> Any:
    """What the application is told of a request."""
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    asked = {
        "type": "http", "path": path, "scheme": "http", "client": (client, 1),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    front = Front(app, base="/lostsyn", proxies=(*LOCAL, "192.0.2.0/24"), user_header="X-Forwarded-User")
    asyncio.run(front(asked, None, None))  # type: ignore[arg-type]
    return scopes[0]


@pytest.mark.parametrize(
    "path", ["/lostsyn", "/lostsyn/", "/", "/uploads/x", "/lostsyn/uploads/x", "/lostsynx/y"]
)
def test_the_base_path_is_there_once(path: str) -> None:
    """A server in front leaves it in the path, or takes it off; the application sees the same."""
    scope = seen(path)

    assert "/lostsyn" == scope["root_path"]
    within = (
        path.removeprefix("/lostsyn") if path in ("/lostsyn", "/lostsyn/", "/lostsyn/uploads/x") else path
    )
    assert (within or "/") == route(Request(scope))


@pytest.mark.parametrize(
    ("client", "believed"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("192.0.2.9", True),
        ("::ffff:192.0.2.9", True),
        ("198.51.100.1", False),
        ("2001:db8::1", False),
        ("", False),
        ("testclient", False),
    ],
)
def test_whose_word_is_taken(client: str, believed: bool) -> None:
    """Scheme and user are those of the server in front; anybody else can send the headers as well, to no effect."""
    scope = seen(client=client, x_forwarded_proto="https", x_forwarded_user="ann@b.example")

    expected = ("https", "ann@b.example") if believed else ("http", "")
    assert expected == (scope["scheme"], scope["user"])


def test_names_are_fit_to_be_shown() -> None:
    """A name is one line of bounded length; a scheme that is none is not taken."""
    assert "a b" == user_name(" a \n b ")
    assert 100 >= len(user_name("x" * 1000))
    assert "http" == seen(x_forwarded_proto="javascript")["scheme"]
