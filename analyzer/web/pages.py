"""The pages: rendered here, with the report's own templates and style; whole without JavaScript."""

from __future__ import annotations

import functools
from urllib.parse import parse_qsl

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from analyzer.node.topology import LAYERS
from analyzer.report import html
from analyzer.report.words import iso
from analyzer.web import asking, points, view
from analyzer.web.desk import desk, who
from analyzer.web.folder import REDACTED, REPORT, RESULTS
from analyzer.web.form import take_form
from analyzer.web.guard import base, route
from analyzer.web.refusal import Refusal


@functools.cache
def _environment() -> jinja2.Environment:
    """Return the report's environment, which escapes and spells out everything, with our templates before its own."""
    report = html.environment()
    assert report.loader is not None
    made = report.overlay(loader=jinja2.ChoiceLoader([jinja2.PackageLoader("analyzer.web"), report.loader]))
    made.filters = {**report.filters, "size": size, "moment": moment, "since": iso}
    ours = {"strips": points.strips, "roles": tuple(LAYERS), "useless": view.USELESS}
    made.globals = {**report.globals, **ours}
    return made


def size(number: int) -> str:
    """Return a number of bytes for reading: `5.12 GB`."""
    for unit, divisor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= divisor:
            few = number < 1000 * divisor
            return f"{number / divisor:.3g} {unit}" if few else f"{number // divisor:,} {unit}"
    return f"{number} byte{'s' * (number != 1)}"


def moment(seconds: float) -> str:
    """Return a time as `2026-11-20 10:58`, UTC."""
    return iso(int(seconds) * 10**9)[:16].replace("T", " ")


def page(request: Request, name: str, status: int = 200, **shown: object) -> Response:
    """Render a page."""
    text = _environment().get_template(name).render(base=base(request), **shown)
    return HTMLResponse(text.encode("utf-8", "replace"), status)


def to(request: Request, path: str) -> Response:
    """Send the browser to another page of ours."""
    return RedirectResponse(base(request) + path, 303)


def refusal(request: Request, refused: Refusal) -> Response:
    """Say why not."""
    return page(request, "refusal.html", refused.status, sentence=str(refused))


def ask_for_token(request: Request) -> Response:
    """Return the page of those who have not shown the token."""
    tried = "token" in request.query_params
    status = 403 if tried else 200 if route(request) == "/signin" else 401
    return page(request, "signin.html", status, tried=tried, after=_after(route(request)))


def _after(path: str) -> str:
    """Return where to go after signing in: a page of ours, whatever was asked for."""
    return "/" + path.lstrip("/\\") if path != "/signin" else "/"


async def sign_in(request: Request) -> Response:
    """Take the token from its form."""
    fields = await fields_of(request)
    token, after = fields.get("token", "").strip(), _after(fields.get("after", "/"))
    if (user := desk(request).token.whose(token)) is None:
        return page(request, "signin.html", 403, tried=True, after=after)
    return desk(request).token.let_in(request, to(request, after), user)


async def fields_of(request: Request) -> dict[str, str]:
    """Return the fields of a small form."""
    body = await asking.body(request)
    try:
        return dict(
            parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=4 * 1000)
        )
    except ValueError as problem:
        raise Refusal(400, f"The form cannot be read: {problem}.") from None


def uploads(request: Request) -> Response:
    """List the uploads, those that a search finds."""
    found = asking.listed(request)
    rows = [view.row(upload, desk(request).jobs) for upload in found.uploads]
    limit, operates = desk(request).settings.largest, not who(request)
    return page(request, "uploads.html", rows=rows, found=found, limit=limit, operates=operates)


async def create(request: Request) -> Response:
    """Take a form with files."""
    upload = await asking.create(request)
    try:
        files, fields = await take_form(request, desk(request).receiver, upload)
        if not files:
            raise Refusal(400, "No file was chosen. Go back and choose the captures.")
    except Refusal:
        if not any(file.complete for file in await run_in_threadpool(desk(request).store.files, upload)):
            await asking.delete(request, upload)
        raise
    if fields.get("name"):
        await run_in_threadpool(asking.describe, request, upload, fields["name"], None, None)
    return to(request, f"/uploads/{upload.id}")


async def create_sample(request: Request) -> Response:
    """Begin an upload that holds a recorded incident."""
    return to(request, f"/uploads/{(await asking.create_sample(request)).id}")


async def describe(request: Request) -> Response:
    """Change name, note and tags."""
    upload, fields = await run_in_threadpool(asking.upload, request), await fields_of(request)
    tags = fields["tags"].split(",") if "tags" in fields else None
    await run_in_threadpool(asking.describe, request, upload, fields.get("name"), fields.get("note"), tags)
    return to(request, f"/uploads/{upload.id}")


def show(request: Request) -> Response:
    """Show one upload."""
    return page(request, "upload.html", view=view.build(asking.upload(request), desk(request).jobs))


async def add(request: Request) -> Response:
    """Take a form with further files."""
    upload = asking.changeable(await run_in_threadpool(asking.upload, request))
    files, _ = await take_form(request, desk(request).receiver, upload)
    if not files:
        raise Refusal(400, "No file was chosen. Go back and choose the captures.")
    return to(request, f"/uploads/{upload.id}")


async def take_out(request: Request) -> Response:
    """Take a file out."""
    upload = await run_in_threadpool(asking.upload, request)
    await asking.take_out(request, upload)
    return to(request, f"/uploads/{upload.id}")


async def analyse(request: Request) -> Response:
    """Ask for an analysis with the roles of the form."""
    upload = await run_in_threadpool(asking.upload, request)
    roles = asking.roles_in(await fields_of(request))
    await run_in_threadpool(asking.queue, request, upload, roles)
    return to(request, f"/uploads/{upload.id}")


async def share(request: Request) -> Response:
    """Make the link to the report, or withdraw it."""
    upload = await run_in_threadpool(asking.upload, request)
    wanted = (await fields_of(request)).get("share")
    await run_in_threadpool(
        asking.share, request, upload, wanted in ("yes", "redacted"), wanted == "redacted"
    )
    return to(request, f"/uploads/{upload.id}#share")


async def delete(request: Request) -> Response:
    """Delete an upload."""
    await asking.delete(request, await run_in_threadpool(asking.upload, request))
    return to(request, "/")


def result(request: Request) -> Response:
    """Show the report, or hand a result over."""
    shown = "download" not in request.query_params
    return asking.result(request, asking.upload(request), asking.last(request), shown=shown, back=True)


def shared(request: Request) -> Response:
    """Show a report to whoever has its link."""
    upload = desk(request).store.shared(request.path_params["secret"])
    if upload is None:
        raise Refusal(404, "This link is no longer valid: the report was deleted, or is no longer shared.")
    return asking.result(request, upload, REDACTED if upload.redacted else REPORT, shown=True)


def style(_: Request) -> Response:
    """The report's style, and what the pages add."""
    report = str(html.source("palette.css", "page.css", "drawing.css"))
    return Response(f"{report}\n{_own('web.css')}", media_type="text/css")


def script(_: Request) -> Response:
    """What JavaScript adds."""
    return Response(_own("web.js"), media_type="text/javascript")


def _own(name: str) -> str:
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


ROUTES = [
    Route("/", uploads),
    Route("/style.css", style),
    Route("/script.js", script),
    Route("/signin", ask_for_token),
    Route("/signin", sign_in, methods=["POST"]),
    Route("/shared/{secret}", shared),
    Route("/uploads", create, methods=["POST"]),
    Route("/sample", create_sample, methods=["POST"]),
    Route("/uploads/{id}", show),
    Route("/uploads/{id}/about", describe, methods=["POST"]),
    Route("/uploads/{id}/files", add, methods=["POST"]),
    Route("/uploads/{id}/files/{number:int}/delete", take_out, methods=["POST"]),
    Route("/uploads/{id}/analyse", analyse, methods=["POST"]),
    Route("/uploads/{id}/share", share, methods=["POST"]),
    Route("/uploads/{id}/delete", delete, methods=["POST"]),
    *(Route(f"/uploads/{{id}}/{name}", result) for name in RESULTS),
]
