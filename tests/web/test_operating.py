"""What whoever runs the server sees and does."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import httpx
import pytest

from tests.web.serving import Server, until
from tests.web.test_webhook import Listener


def _as(server: Server, token: str, method: str, path: str, **how: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.request(method, server.url + path, headers=headers, trust_env=False, **how)  # type: ignore[arg-type]


def test_health_is_for_everybody(server: Server) -> None:
    """It needs no token, and tells nothing else."""
    answer = httpx.get(f"{server.url}/healthz", trust_env=False)

    assert (200, {"status": "ok"}) == (answer.status_code, answer.json())


def test_no_room_is_no_health(serve: Callable[..., Server]) -> None:
    """A server whose disk is as full as it may be takes nothing in, and says so."""
    server = serve("--spare", "1000000000")
    answer = httpx.get(f"{server.url}/healthz", trust_env=False)

    assert (503, "unavailable") == (answer.status_code, answer.json()["status"])


def test_metrics(server: Server) -> None:
    """Uploads by state, analyses, the disk; for who has a token."""
    server.client.post("/api/uploads", json={"name": "x"})
    answer = server.client.get("/metrics")
    told = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert int(told['lostsyn_uploads{state="open"}']) >= 1
    assert int(told["lostsyn_disk_free_bytes"]) > 0
    assert {"lostsyn_analyses_ended_total", "lostsyn_analyses_failed_total"} <= told.keys()
    assert 401 == httpx.get(f"{server.url}/metrics", trust_env=False).status_code


@pytest.mark.field
def test_prometheus_reads_them(server: Server) -> None:
    """Its own checker finds nothing to say."""
    promtool = shutil.which("promtool")
    assert promtool
    text = server.client.get("/metrics").text
    done = subprocess.run(
        [promtool, "check", "metrics"], input=text, text=True, capture_output=True, check=False
    )

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_a_users_token(serve: Callable[..., Server]) -> None:
    """It does what the server's own does but operating; what its user began is theirs; taken back, it is none."""
    server = serve()
    made = server.client.post("/api/tokens", json={"name": "ann"})
    token = made.json()["token"]
    upload = _as(server, token, "POST", "/api/uploads", json={"name": "hers"}).json()

    assert (201, "ann") == (made.status_code, upload["owner"])
    assert ["ann"] == [each["name"] for each in server.client.get("/api/tokens").json()["tokens"]]
    assert 409 == server.client.post("/api/tokens", json={"name": "ann"}).status_code
    assert 400 == server.client.post("/api/tokens", json={"name": "a b"}).status_code
    for method, path in (("GET", "/api/tokens"), ("GET", "/api/audit"), ("DELETE", "/api/tokens/ann")):
        assert 403 == _as(server, token, method, path).status_code
    assert [upload["id"]] == [
        each["id"] for each in server.client.get("/api/uploads?q=ann").json()["uploads"]
    ]
    assert 204 == server.client.delete("/api/tokens/ann").status_code
    assert 404 == server.client.delete("/api/tokens/ann").status_code
    assert 401 == _as(server, token, "GET", "/api/uploads").status_code


def test_who_did_what(serve: Callable[..., Server]) -> None:
    """The latest first, with the user that the server in front names; such a user is no operator."""
    server = serve("--user-header", "X-Forwarded-User")
    named = {"X-Forwarded-User": "bob"}
    upload = server.client.post("/api/uploads", json={"name": "x"}, headers=named).json()
    server.client.patch(f"/api/uploads/{upload['id']}", json={"name": "y"})
    server.client.delete(f"/api/uploads/{upload['id']}", headers=named)
    deeds = server.client.get("/api/audit").json()["deeds"]

    assert [
        ("bob", "deleted", "y"),
        ("", "changed name, note or tags", "x"),
        ("bob", "started an upload", "x"),
    ] == [(deed["who"], deed["did"], deed["name"]) for deed in deeds]
    assert 403 == server.client.get("/api/audit", headers=named).status_code
    assert 400 == server.client.get("/api/audit?before=x").status_code
    assert [] == server.client.get("/api/audit?before=1").json()["deeds"]


def test_the_page(serve: Callable[..., Server]) -> None:
    """A token is made, shown once, and taken back; everything that was done is listed."""
    server = serve()
    made = server.client.post("/operating", data={"name": "ann"})
    token = made.text.partition("<code>")[2].partition("</code>")[0]

    assert 200 == _as(server, token, "GET", "/").status_code
    assert 403 == _as(server, token, "GET", "/operating").status_code
    assert token not in server.client.get("/operating").text
    assert "/operating" not in _as(server, token, "GET", "/").text
    assert "created a token" in server.client.get("/operating").text
    assert 303 == server.client.post("/operating", data={"remove": "ann"}).status_code
    assert 401 == _as(server, token, "GET", "/").status_code


def test_the_end_of_an_analysis_is_told(serve: Callable[..., Server]) -> None:
    """To the operator's address, also where there is no result."""
    listener = Listener(200)
    try:
        server = serve("--webhook", listener.url)
        upload = server.post({"a.txt": b"nothing"})["id"]
        server.ended(upload)
        until(lambda: listener.told, "the webhook")
    finally:
        listener.close()
    ((_, told),) = listener.told

    assert (upload, "failed", "a.txt") == (told["id"], told["state"], told["name"])
