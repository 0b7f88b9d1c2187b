"""What the pages and the API read from a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import FileResponse, Response

from analyzer.nat.topology import LAYERS
from analyzer.web.folder import REPORT, RESULTS
from analyzer.web.receiving import patient
from analyzer.web.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from starlette.requests import Request

    from analyzer.web.app import Desk
    from analyzer.web.store import File, Upload

BODY = 1 << 18
"""Bytes of a body that is no file, at most."""
_HEAD = 4096
_MARK = b'<meta http-equiv="Content-Security-Policy" content="'


def desk(request: Request) -> Desk:
    """Return what the application works with."""
    found: Desk = request.app.state.desk
    return found


def upload(request: Request) -> Upload:
    """Return the upload that the path names."""
    found = desk(request).store.get(request.path_params["id"])
    if found is None:
        raise Refusal(404, "There is no such upload; it may have been deleted.")
    return found


def file(request: Request, of: Upload) -> File:
    """Return the file that the path names."""
    for found in desk(request).store.files(of):
        if found.number == request.path_params["number"]:
            return found
    raise Refusal(404, "There is no such file in this upload; it may have been deleted.")


async def body(request: Request) -> bytes:
    """Return a small body."""
    data = b""
    async for piece in patient(request.stream()):
        data += piece
        if len(data) > BODY:
            raise Refusal(413, f"The request is longer than {BODY} bytes.")
    return data


def changeable(of: Upload) -> Upload:
    """Return the upload, unless it is being analysed."""
    if of.state in ("queued", "running"):
        raise Refusal(409, "This upload is being analysed; wait until that is done.")
    return of


def queue(request: Request, of: Upload, roles: Mapping[str, object]) -> None:
    """Ask for an analysis; *roles* change those that were given before, an empty one takes one back."""
    changeable(of)
    files = desk(request).store.files(of)
    if not files:
        raise Refusal(409, "There is nothing to analyse yet; add the captures.")
    late = [each.name for each in files if not each.complete]
    if late:
        raise Refusal(409, f"{late[0]} has not arrived whole; send the rest, or take it out.")
    for point, role in roles.items():
        if role and role not in tuple(LAYERS):
            raise Refusal(400, f"{role!r} is no role; {point} can be pod, bridge or uplink.")
    given = {point[:500]: str(role) for point, role in {**of.roles, **roles}.items() if role}
    if len(given) > desk(request).settings.files:
        raise Refusal(413, "More roles are given than there can be capture points.")
    desk(request).store.queue(of, given)
    desk(request).jobs.queued()


def roles_in(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the roles that a form gives: `role:eth0` is `uplink`."""
    return {name.removeprefix("role:"): role for name, role in fields.items() if name.startswith("role:")}


def take_out(request: Request, of: Upload) -> None:
    """Take a file out of an upload."""
    number = file(request, changeable(of)).number
    desk(request).store.remove(of, number)
    desk(request).store.folder(of).file(number).unlink(missing_ok=True)
    desk(request).jobs.noticed(of.id)


def result(request: Request, of: Upload, name: str, *, shown: bool = False) -> Response:
    """Return one of the results: a download, or the report *shown* in a sandbox of its own."""
    path = desk(request).store.folder(of).results / name
    if name not in RESULTS or not path.is_file():
        raise Refusal(404, "There is no such result; the analysis has not made it.")
    if shown and name == REPORT:
        return FileResponse(path, media_type="text/html", headers={"Content-Security-Policy": _sandbox(path)})
    return FileResponse(
        path,
        media_type=RESULTS[name],
        filename=f"lostsyn-{of.id[:6]}-{name}",
        headers={"Content-Security-Policy": "sandbox; default-src 'none'"},
    )


def _sandbox(report: Path) -> str:
    """Return the policy of a report: what it allows itself, in an origin of its own, without our cookies."""
    with report.open("rb") as opened:
        head = opened.read(_HEAD)
    own = head.partition(_MARK)[2].partition(b'"')[0].decode("ascii", "replace").replace("&#39;", "'")
    return "sandbox allow-scripts; " + (own or "default-src 'none'")
