"""The HTTP API: the same as the pages, for programs; described by `openapi.json`.

Uploads resume in the words of the IETF draft *Resumable Uploads for HTTP*: `HEAD` tells `Upload-Offset`, `PATCH` goes on there.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from analyzer.web import asking, view
from analyzer.web.desk import desk
from analyzer.web.folder import RESULTS
from analyzer.web.form import is_form, take_form
from analyzer.web.guard import Answer, base
from analyzer.web.receiving import Body
from analyzer.web.refusal import Refusal
from analyzer.web.store import File, Upload


def refusal(_: Request, refused: Refusal) -> Response:
    """Say why not."""
    return Answer({"error": str(refused)}, refused.status)


def _told(request: Request, upload: Upload, status: int = 200) -> Response:
    found = desk(request).store.get(upload.id) or upload
    told = view.as_json(view.build(found, desk(request).jobs), base(request))
    return Answer(told, status, {"Location": told["url"]} if status in (201, 202) else {})


async def json_object(request: Request) -> dict[str, Any]:
    """Return the JSON object of a body; an empty body is an empty object."""
    data = await asking.body(request)
    try:
        found = json.loads(data or b"{}")
    except (ValueError, RecursionError) as problem:
        raise Refusal(400, f"The body is not JSON: {problem}.") from None
    if not isinstance(found, dict):
        raise Refusal(400, "The body must be a JSON object.")
    return found


def word(found: dict[str, Any], key: str, default: str | None = None) -> str:
    """Return a string of a JSON object."""
    value = found.get(key, default)
    if not isinstance(value, str):
        raise Refusal(400, f"{key!r} must be a string.")
    return value


def _flag(found: dict[str, Any], key: str) -> bool:
    value = found.get(key, False)
    if not isinstance(value, bool):
        raise Refusal(400, f"{key!r} must be true or false.")
    return value


def search(request: Request) -> Response:
    """GET /api/uploads: a page of the list, and where the next one is."""
    found = asking.listed(request)
    told = [view.row_as_json(view.row(upload, desk(request).jobs), base(request)) for upload in found.uploads]
    following = f"{base(request)}/api/uploads?{found.following}" if found.following else None
    return Answer({"count": found.count, "uploads": told, "next": following})


async def create(request: Request) -> Response:
    """POST /api/uploads: a form with files is analysed at once; JSON begins an upload."""
    receiver = desk(request).receiver
    if not is_form(request):
        found = await json_object(request)
        if _flag(found, "sample"):
            return _told(request, await asking.create_sample(request), 201)
        return _told(request, await asking.create(request, word(found, "name", "")), 201)
    upload = await asking.create(request)
    try:
        _, fields = await take_form(request, receiver, upload)
        name, note, tags = map(fields.get, ("name", "note", "tags"))
        listed = None if tags is None else tags.split(",")
        await run_in_threadpool(asking.describe, request, upload, name, note, listed)
        await run_in_threadpool(asking.queue, request, upload, asking.roles_in(fields))
    except BaseException:
        # The client was told of no upload, so there is none.
        await asking.delete(request, upload)
        raise
    return _told(request, upload, 202)


def show(request: Request) -> Response:
    """GET /api/uploads/{id}."""
    return _told(request, asking.upload(request))


async def describe(request: Request) -> Response:
    """PATCH /api/uploads/{id}: name, note, tags."""
    upload = await run_in_threadpool(asking.upload, request)
    found = await json_object(request)
    name, text = (word(found, key) if key in found else None for key in ("name", "note"))
    tags = found.get("tags")
    if "tags" in found and not (isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)):
        raise Refusal(400, "'tags' must be a list of strings.")
    await run_in_threadpool(asking.describe, request, upload, name, text, tags)
    return _told(request, upload)


async def delete(request: Request) -> Response:
    """DELETE /api/uploads/{id}."""
    await asking.delete(request, await run_in_threadpool(asking.upload, request))
    return Response(status_code=204)


async def add(request: Request) -> Response:
    """POST /api/uploads/{id}/files: a form with files, or JSON that announces one."""
    upload = asking.changeable(await run_in_threadpool(asking.upload, request))
    receiver = desk(request).receiver
    if is_form(request):
        if not (await take_form(request, receiver, upload))[0]:
            raise Refusal(400, "The form has no file.")
        return _told(request, upload, 201)
    found = await json_object(request)
    size = found.get("size")
    if isinstance(size, float) and size.is_integer():
        size = int(size)  # to JSON, 5.0 is an integer
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise Refusal(400, "'size' must be the file's number of bytes.")
    file = await run_in_threadpool(receiver.declare, upload, word(found, "name"), size)
    if size == 0:
        transfer = await receiver.begin(upload, file, 0)
        try:
            await transfer.complete()
        finally:
            transfer.close()
    url = f"{base(request)}/api/uploads/{upload.id}/files/{file.number}"
    told = {
        "number": file.number,
        "name": file.name,
        "size": size,
        "received": 0,
        "complete": size == 0,
        "url": url,
    }
    return Answer(told, 201, {"Location": url})


async def offset(request: Request) -> Response:
    """HEAD /api/uploads/{id}/files/{number}: how much has arrived; a transfer that is under way ends."""
    upload = await run_in_threadpool(asking.upload, request)
    file = await run_in_threadpool(asking.file, request, upload)
    await desk(request).receiver.interrupt(upload, file)
    return Response(status_code=204, headers=_progress(request, upload, file))


def _progress(request: Request, upload: Upload, file: File) -> dict[str, str]:
    headers = {
        "Upload-Offset": str(desk(request).store.folder(upload).received(file.number)),
        "Upload-Complete": "?1" if file.complete else "?0",
    }
    if file.size is not None:
        headers["Upload-Length"] = str(file.size)
    return headers


async def append(request: Request) -> Response:
    """PATCH /api/uploads/{id}/files/{number}."""
    upload = asking.changeable(await run_in_threadpool(asking.upload, request))
    file = await run_in_threadpool(asking.file, request, upload)
    given = request.headers.get("upload-offset", "")
    if not (given.isascii() and given.isdecimal() and len(given) < 19):
        raise Refusal(
            400, "The header 'Upload-Offset' must say where the body goes; HEAD tells how much has arrived."
        )
    try:
        transfer = await desk(request).receiver.begin(upload, file, int(given), Body(request.stream()))
    except Refusal as refused:
        # The draft's answer to a wrong offset tells the right one.
        return Answer({"error": str(refused)}, refused.status, _progress(request, upload, file))
    try:
        await transfer.take()
    finally:
        transfer.close()
    file = await run_in_threadpool(asking.file, request, upload)
    return Response(status_code=204, headers=_progress(request, upload, file))


async def take_out(request: Request) -> Response:
    """DELETE /api/uploads/{id}/files/{number}."""
    await asking.take_out(request, await run_in_threadpool(asking.upload, request))
    return Response(status_code=204)


async def analyse(request: Request) -> Response:
    """POST /api/uploads/{id}/analysis."""
    upload = await run_in_threadpool(asking.upload, request)
    roles = (await json_object(request)).get("roles", {})
    if not isinstance(roles, dict):
        raise Refusal(400, "'roles' must map capture points to roles.")
    await run_in_threadpool(asking.queue, request, upload, roles)
    return _told(request, upload, 202)


async def share(request: Request) -> Response:
    """POST and DELETE /api/uploads/{id}/share."""
    upload = await run_in_threadpool(asking.upload, request)
    redacted = request.method == "POST" and _flag(await json_object(request), "redacted")
    await run_in_threadpool(asking.share, request, upload, request.method == "POST", redacted)
    return _told(request, upload)


def result(request: Request) -> Response:
    """GET /api/uploads/{id}/report.html and the other results."""
    return asking.result(request, asking.upload(request), asking.last(request))


def description(request: Request) -> Response:
    """GET /api/openapi.json."""
    found = json.loads(resources.files("analyzer.web").joinpath("openapi.json").read_bytes())
    return Answer({**found, "servers": [{"url": base(request)}]} if base(request) else found)


ROUTES = [
    Route("/api/openapi.json", description),
    Route("/api/uploads", search),
    Route("/api/uploads", create, methods=["POST"]),
    Route("/api/uploads/{id}", show),
    Route("/api/uploads/{id}", describe, methods=["PATCH"]),
    Route("/api/uploads/{id}", delete, methods=["DELETE"]),
    Route("/api/uploads/{id}/files", add, methods=["POST"]),
    Route("/api/uploads/{id}/files/{number:int}", offset, methods=["HEAD"]),
    Route("/api/uploads/{id}/files/{number:int}", append, methods=["PATCH"]),
    Route("/api/uploads/{id}/files/{number:int}", take_out, methods=["DELETE"]),
    Route("/api/uploads/{id}/analysis", analyse, methods=["POST"]),
    Route("/api/uploads/{id}/share", share, methods=["POST", "DELETE"]),
    *(Route(f"/api/uploads/{{id}}/{name}", result) for name in RESULTS),
]
