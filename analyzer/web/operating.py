"""For whoever runs the server: is it well, what does it do, who did what, whose tokens are good."""

from __future__ import annotations

import re
import secrets
import shutil
import sqlite3

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from analyzer import __version__
from analyzer.web import api, pages
from analyzer.web.desk import desk, operator
from analyzer.web.guard import Answer, digest_of
from analyzer.web.refusal import Refusal
from analyzer.web.store import Deed
from analyzer.web.view import utc

DEEDS = 200
"""Entries of the list of what was done, on one page."""
TOKENS = 200
_NAME = re.compile(r"[A-Za-z0-9_@-][A-Za-z0-9._@-]{0,63}")
_STATES = ("open", "queued", "running", "done", "failed")


def health(request: Request) -> Response:
    """GET /healthz: 200 where uploads can be taken in, without a token, and nothing more is told."""
    store, spare = desk(request).store, desk(request).settings.spare
    try:
        store.states()
        well = shutil.disk_usage(store.data).free > spare
    except (OSError, sqlite3.Error):
        well = False
    return Answer({"status": "ok" if well else "unavailable"}, 200 if well else 503)


def metrics(request: Request) -> Response:
    """GET /metrics, as Prometheus reads it."""
    store, states = desk(request).store, desk(request).store.states()
    disk = shutil.disk_usage(store.data)
    told: dict[tuple[str, str], dict[str, object]] = {
        ("lostsyn_build_info", "The version that runs."): {f'{{version="{__version__}"}}': 1},
        ("lostsyn_uploads", "Uploads by the state of their analysis."): {
            f'{{state="{state}"}}': states.get(state, 0) for state in _STATES
        },
        ("lostsyn_analyses_failed", "Analyses that failed since the server started."): {
            "": desk(request).jobs.failed
        },
        ("lostsyn_analyses_ended", "Analyses that ended since the server started."): {
            "": desk(request).jobs.ended
        },
        ("lostsyn_disk_free_bytes", "Room on the disk of the data folder."): {"": disk.free},
        ("lostsyn_disk_spare_bytes", "How much of it is left free."): {"": desk(request).settings.spare},
    }
    lines = []
    for (name, says), values in told.items():
        name, kind = (f"{name}_total", "counter") if "since" in says else (name, "gauge")
        lines += [f"# HELP {name} {says}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{labels} {value}" for labels, value in values.items()]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4; charset=utf-8")


def _deeds(request: Request) -> tuple[list[Deed], int | None]:
    """Return a page of what was done, and where the next one begins."""
    before = request.query_params.get("before")
    if before is not None and not re.fullmatch("[0-9]{1,18}", before):
        raise Refusal(400, "'before' must be what the page before gave.")
    found = desk(request).store.deeds(DEEDS + 1, None if before is None else int(before))
    return found[:DEEDS], found[DEEDS - 1].number if len(found) > DEEDS else None


def audit(request: Request) -> Response:
    """GET /api/audit: who did what, the latest first."""
    operator(request)
    deeds, following = _deeds(request)
    told = [
        {"at": utc(deed.at), "who": deed.who, "did": deed.did, "upload": deed.upload, "name": deed.name}
        for deed in deeds
    ]
    return Answer({"deeds": told, "next": following})


def tokens(request: Request) -> Response:
    """GET /api/tokens: whose tokens are good, not what they are."""
    operator(request)
    found = desk(request).store.tokens()
    return Answer({"tokens": [{"name": name, "created": utc(at)} for name, (_, at) in found.items()]})


def make_token(request: Request, name: str) -> str:
    """Make a token for a user; it is told once, and only its digest is kept."""
    operator(request)
    store = desk(request).store
    if not _NAME.fullmatch(name):
        raise Refusal(400, "A user's name has 1 to 64 letters, digits and '._@-'.")
    if len(store.tokens()) >= TOKENS:
        raise Refusal(413, f"There are {TOKENS} tokens, the limit; revoke one first.")
    token = secrets.token_urlsafe(32)
    if not store.add_token(name, digest_of(token)):
        raise Refusal(409, f"{name} has a token already; revoke it first.")
    store.note("", "created a token", name)
    return token


async def add_token(request: Request) -> Response:
    """POST /api/tokens."""
    name = api.word(await api.json_object(request), "name")
    token = await run_in_threadpool(make_token, request, name)
    return Answer({"name": name, "token": token}, 201)


def take_back(request: Request, name: str) -> None:
    """Take a user's token back: what was signed in with it is signed out."""
    operator(request)
    if not desk(request).store.remove_token(name):
        raise Refusal(404, "There is no token of that name.")
    desk(request).store.note("", "revoked a token", name)


def remove_token(request: Request) -> Response:
    """DELETE /api/tokens/{name}."""
    take_back(request, request.path_params["name"])
    return Response(status_code=204)


def page(request: Request, made: tuple[str, str] | None = None) -> Response:
    """Show the users' tokens and what was done; *made* is a new token with its user's name."""
    operator(request)
    deeds, following = _deeds(request)
    users = {name: at for name, (_, at) in desk(request).store.tokens().items()}
    return pages.page(request, "operating.html", users=users, deeds=deeds, following=following, made=made)


async def change(request: Request) -> Response:
    """POST /operating: make a token, or take one back."""
    fields = await pages.fields_of(request)
    if "remove" in fields:
        await run_in_threadpool(take_back, request, fields["remove"])
        return pages.to(request, "/operating")
    name = fields.get("name", "").strip()
    return await run_in_threadpool(page, request, (name, await run_in_threadpool(make_token, request, name)))


ROUTES = [
    Route("/healthz", health),
    Route("/metrics", metrics),
    Route("/operating", page),
    Route("/operating", change, methods=["POST"]),
    Route("/api/audit", audit),
    Route("/api/tokens", tokens),
    Route("/api/tokens", add_token, methods=["POST"]),
    Route("/api/tokens/{name}", remove_token, methods=["DELETE"]),
]
