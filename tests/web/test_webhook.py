"""Telling another program that an analysis has ended."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from analyzer.web import webhook
from analyzer.web.store import Store, Upload


class Listener:
    """A program that is told; it answers with the statuses given, one after the other."""

    def __init__(self, *statuses: int) -> None:
        """Listen on any free port."""
        self.told: list[tuple[str, Any]] = []
        told, left = self.told, list(statuses)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told.append((self.path, json.loads(body)))
                self.send_response(left.pop(0))
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?x=1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        """Stop."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upload]:
    """Return an upload; nothing is waited for."""
    monkeypatch.setattr(webhook, "WAITS", (0, 0, 0))
    store = Store(tmp_path)
    yield store.create("node7", "ann")
    store.close()


@pytest.mark.parametrize(
    ("statuses", "times"), [((204,), 1), ((500, 200), 2), ((302, 302, 302), 3), ((404, 404, 404), 3)]
)
def test_it_is_told_until_it_is_heard(upload: Upload, statuses: tuple[int, ...], times: int) -> None:
    """What is no success is tried again, a few times; a redirect is none, and is not followed."""
    listener = Listener(*statuses)
    try:
        asyncio.run(webhook.tell(listener.url, upload, "node7", "/base"))
    finally:
        listener.close()

    assert times == len(listener.told)
    path, told = listener.told[0]
    assert ("/hook?x=1", "node7", "ann", "open") == (path, told["name"], told["owner"], told["state"])
    assert f"/base/api/uploads/{upload.id}" == told["url"]


def test_nobody_listens(upload: Upload, caplog: pytest.LogCaptureFixture) -> None:
    """It is given up after a few attempts, and the log does not tell the address, which may be a secret."""
    asyncio.run(webhook.tell("http://127.0.0.1:1/a-secret", upload, "node7", ""))

    assert 3 == len(caplog.records)
    assert "a-secret" not in caplog.text


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://chat.example/x", True),
        ("http://[2001:db8::1]:80/", True),
        ("file:///etc/passwd", False),
        ("chat.example/x", False),
        ("http://", False),
        ("http://a:99999/", False),
        ("http://[x/", False),
    ],
)
def test_what_is_an_address(url: str, good: bool) -> None:
    """Http or https, with a host."""
    assert good == webhook.is_address(url)
