"""What a probe may ask."""

from __future__ import annotations

import struct

import pytest

from analyzer.errors import UnusableInput
from analyzer.field.endpoints import endpoint


@pytest.mark.parametrize(
    ("text", "scheme", "address", "port", "path"),
    [
        ("127.0.0.1:80", "connect", "127.0.0.1", 80, "/"),
        ("[::1]:80", "connect", "::1", 80, "/"),
        ("http://127.0.0.1", "http", "127.0.0.1", 80, "/"),
        ("http://[::1]:8080/a/b?c=d", "http", "::1", 8080, "/a/b?c=d"),
        ("dns://127.0.0.1/example.com", "dns", "127.0.0.1", 53, "example.com"),
        ("dns://[::1]:5353/example.com.", "dns", "::1", 5353, "example.com."),
    ],
)
def test_forms(text: str, scheme: str, address: str, port: int, path: str) -> None:
    """Host and port alone, a URL, a name server and a name."""
    found = endpoint(text)

    assert (scheme, address, port, path) == (found.scheme, found.address, found.port, found.path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:80/x",
        "ftp://127.0.0.1",
        "::1:80",
        "http://",
        "a b:1",
    ],
)
def test_no_endpoint(text: str) -> None:
    """One sentence that says what to write."""
    with pytest.raises(UnusableInput, match="is not an endpoint; write HOST:PORT"):
        endpoint(text)


@pytest.mark.parametrize("name", ["", "/", "/a..b", "/" + "x" * 64, "/a/b"])
def test_no_name(name: str) -> None:
    """DNS needs a name that can be asked for."""
    with pytest.raises(UnusableInput, match="asks for no name"):
        endpoint(f"dns://127.0.0.1{name}")


def test_what_is_sent() -> None:
    """Nothing for a connect, a GET with the host as it was called, two queries with ids of their own."""
    assert () == endpoint("127.0.0.1:80").messages(1)
    (get,) = endpoint("http://[::1]:8080/a").messages(1)
    assert get.startswith(b"GET /a HTTP/1.1\r\nHost: [::1]:8080\r\n")
    assert get.endswith(b"\r\n\r\n")
    a, aaaa = endpoint("dns://127.0.0.1/example.com").messages(0xFFFF)
    assert b"\7example\3com\0" in a
    assert [(0xFFFF, 1), (0, 28)] == [
        (struct.unpack("!H", query[:2])[0], struct.unpack("!H", query[-4:-2])[0]) for query in (a, aaaa)
    ]
