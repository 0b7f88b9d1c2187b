"""The application as a whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
from starlette.applications import Starlette

from analyzer.web.app import build
from analyzer.web.settings import Settings
from tests.web.serving import Server


def test_parts_are_put_together(tmp_path: Path) -> None:
    """It keeps everything in its folder: the token, the database, the uploads; it starts and stops."""
    app = build(Settings(data=tmp_path))
    asyncio.run(_start_and_stop(app))

    assert {"token", "uploads", "lostsyn.sqlite3"} <= {path.name for path in tmp_path.iterdir()}


async def _start_and_stop(app: Starlette) -> None:
    async with app.router.lifespan_context(app):
        pass


def test_pages_and_api_refuse_in_their_own_way(server: Server) -> None:
    """What is not there is a page for people and JSON for programs, in one sentence."""
    page, told = server.client.get("/nowhere"), server.client.get("/api/nowhere")

    assert 404 == page.status_code == told.status_code
    assert "There is no such page." in page.text
    assert {"error": "There is no such page."} == told.json()
    refused = server.client.put("/uploads")
    assert (405, "POST") == (refused.status_code, refused.headers["allow"])
    assert "GET, HEAD, POST" == server.client.put("/api/uploads").headers["allow"]


def test_a_mistake_of_the_server(tmp_path: Path) -> None:
    """What nobody foresaw is a sentence with status 500, for people and for programs."""
    app = build(Settings(data=tmp_path))
    token = app.state.desk.token.value
    app.state.desk.store.close()

    async def ask(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get(path, headers={"Authorization": f"Bearer {token}"})

    for path in ("/", "/api/uploads"):
        answer = asyncio.run(ask(path))

        assert 500 == answer.status_code
        assert "Nothing that arrived is lost." in answer.text
        assert "Traceback" not in answer.text


def test_a_broken_folder(server: Server) -> None:
    """An upload whose folder is damaged is refused in a sentence, and costs the others nothing."""
    upload = server.client.post("/api/uploads", json={}).json()["id"]
    folder = server.data / "uploads" / upload
    server.begin("a", 1, upload)
    files = folder / "files"
    files.rmdir()
    files.write_text("no folder")
    answer = server.client.post(f"/api/uploads/{upload}/files", json={"name": "a", "size": 0})

    assert 404 == answer.status_code
    assert 200 == server.client.get("/api/uploads").status_code
    assert 204 == server.client.delete(f"/api/uploads/{upload}").status_code
