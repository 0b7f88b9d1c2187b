"""What the pages and the API read from a request."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse

from analyzer.capture import naming
from analyzer.node.topology import LAYERS
from analyzer.report.words import printable
from analyzer.web.desk import desk, who
from analyzer.web.folder import REDACTED, REPORT, RESULTS
from analyzer.web.guard import base, route
from analyzer.web.receiving import Body, upload_name
from analyzer.web.refusal import Refusal
from analyzer.web.store import File, Upload
from analyzer.web.titles import title

BODY = 1 << 18
"""Bytes of a body that is no file, at most."""
BODY_TIME = 30.0
"""Seconds that it may take, at most."""
PAGE, PAGES = 50, 200
"""Uploads on a page of their list, and how many may be asked for."""
WORDS = 200
"""Characters that can be searched for."""
NOTE, TAG, TAGS = 4000, 40, 20
"""Characters of a note and of a tag, and tags of an upload."""
_HEAD = 4096
_PIECE = 1 << 18
"""Bytes of a report at one time; its style, which is before its text, has a tenth of that."""
_MARK = b'<meta http-equiv="Content-Security-Policy" content="'


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A page of the list of uploads."""

    uploads: Sequence[Upload]
    count: int
    """How many uploads all pages have."""
    words: str
    """What was looked for."""
    following: str
    """The query of the next page; empty on the last one."""


def listed(request: Request) -> Listed:
    """Return the page of the list that a query asks for: words `q`, how many `limit`, behind which one `after`."""
    asked = request.query_params
    words, limit = asked.get("q", ""), asked.get("limit", str(PAGE))
    if len(words) > WORDS:
        raise Refusal(400, f"'q' may have {WORDS} characters.")
    if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit[:9]) <= PAGES):
        raise Refusal(400, f"'limit' must be a number from 1 to {PAGES}.")
    after = None
    if "after" in asked:
        place = re.fullmatch(r"([0-9]{1,12}\.[0-9]{1,12})-([0-9a-f]{1,64})", asked["after"])
        if not place:
            raise Refusal(400, "'after' must be what the page before gave.")
        after = float(place[1]), place[2]
    # One more than is shown tells whether anything follows.
    found, count = desk(request).store.search(words, int(limit) + 1, after)
    shown, following = found[: int(limit)], ""
    if len(found) > len(shown):
        behind = f"{shown[-1].created!r}-{shown[-1].id}"
        following = urlencode({**({"q": words} if words else {}), "limit": limit, "after": behind})
    return Listed(uploads=shown, count=count, words=words, following=following)


def last(request: Request) -> str:
    """Return the last part of a request's path."""
    return route(request).rpartition("/")[2]


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
    data = bytearray()
    try:
        async with asyncio.timeout(BODY_TIME):
            async for piece in Body(request.stream()):
                data += piece
                if len(data) > BODY:
                    raise Refusal(413, f"The request is longer than {BODY} bytes.")
    except TimeoutError:
        raise Refusal(408, f"The request did not arrive within {BODY_TIME:.0f} s.") from None
    return bytes(data)


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
        raise Refusal(409, f"{late[0]} is incomplete; send the rest, or remove it.")
    for point, role in roles.items():
        if not point:
            raise Refusal(400, "A role is given for a capture point without a name.")
        if role not in ("", *LAYERS):
            raise Refusal(
                400,
                f"{ascii(role)[:40]} is not a role; {ascii(point)[:40]} can be pod, bridge, tunnel or uplink.",
            )
    # Points' names are printable, so nothing else is one's; a half surrogate could not even be written into a report.
    called = {naming.printable(point[:500]): role for point, role in roles.items()}
    given = {point: str(role) for point, role in {**of.roles, **called}.items() if role}
    if len(given) > desk(request).settings.files:
        raise Refusal(413, "More roles are given than there can be capture points.")
    desk(request).store.queue(of, given)
    desk(request).jobs.queued()
    note(request, "started an analysis", of)


def note(request: Request, did: str, of: Upload) -> None:
    """Note for the operator what somebody did to an upload."""
    desk(request).store.note(who(request), did, title(of, desk(request).store.files(of)), of.id)


async def create(request: Request, name: str = "") -> Upload:
    """Begin an upload."""
    made = await run_in_threadpool(desk(request).receiver.create, name, who(request))
    await run_in_threadpool(note, request, "started an upload", made)
    return made


def sample() -> bytes:
    """Return a recorded incident as an archive, for who wants to see what happens."""
    return resources.files("analyzer.web").joinpath("sample.tar.gz").read_bytes()


async def create_sample(request: Request) -> Upload:
    """Begin an upload that holds the sample."""
    made = await create(request, "Sample: SNAT port race")
    await desk(request).receiver.put(made, "snat-race.tar.gz", sample())
    return made


def describe(
    request: Request, of: Upload, name: str | None, text: str | None, tags: Sequence[str] | None
) -> None:
    """Change name, note or tags of an upload; None leaves each as it is."""
    if text is not None:
        if len(text) > NOTE:
            raise Refusal(413, f"A note may have {NOTE:,} characters.")
        text = "\n".join(printable(line, NOTE) for line in text.strip().splitlines())
    if tags is not None:
        tags = list(dict.fromkeys(tag for each in tags if (tag := upload_name(each)[:TAG].strip())))
        if len(tags) > TAGS:
            raise Refusal(413, f"An upload may have {TAGS} tags.")
    desk(request).store.describe(of, None if name is None else upload_name(name), text, tags)
    note(request, "changed name, note or tags", of)


def share(request: Request, of: Upload, shared: bool, redacted: bool = False) -> None:
    """Make the link to the report, or to the redacted one, or withdraw it."""
    desk(request).store.share(of, shared, redacted)
    note(
        request, ("shared the redacted report" if redacted else "shared") if shared else "stopped sharing", of
    )


def roles_in(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the roles that a form gives: `role:eth0` is `uplink`."""
    return {name.removeprefix("role:"): role for name, role in fields.items() if name.startswith("role:")}


async def delete(request: Request, of: Upload) -> None:
    """Delete an upload; whatever is sent to it at this moment ends."""
    await run_in_threadpool(note, request, "deleted", of)
    await desk(request).receiver.stop(of)
    await desk(request).jobs.delete(of)
    await desk(request).receiver.stop(of)  # what began in between


async def take_out(request: Request, of: Upload) -> None:
    """Take a file out of an upload; its transfer ends."""
    number = (await run_in_threadpool(file, request, changeable(of))).number
    await run_in_threadpool(note, request, "removed a file", of)
    await run_in_threadpool(desk(request).store.remove, of, number)
    await desk(request).receiver.stop(of, number)
    await run_in_threadpool(desk(request).store.folder(of).file(number).unlink, True)
    desk(request).jobs.noticed(of.id)


def result(request: Request, of: Upload, name: str, *, shown: bool = False, back: bool = False) -> Response:
    """Return one of the results: a download, or a report *shown* in a sandbox of its own, with a way *back* to its upload."""
    path = desk(request).store.folder(of).results / name
    if name not in RESULTS or not path.is_file():
        raise Refusal(404, "There is no such result; the analysis has not made it.")
    if not shown or name not in (REPORT, REDACTED):
        return FileResponse(
            path,
            media_type=RESULTS[name],
            filename=f"lostsyn-{of.id[:6]}-{name}",
            headers={"Content-Security-Policy": "sandbox; default-src 'none'"},
        )
    headers = {"Content-Security-Policy": _sandbox(path)}
    if not back:
        return FileResponse(path, media_type="text/html", headers=headers)
    link = f'<p class="masthead"><a href="{base(request)}/uploads/{of.id}">Back to the upload</a></p>'
    return StreamingResponse(_with(path, link.encode()), media_type="text/html", headers=headers)


def _with(report: Path, link: bytes) -> Iterator[bytes]:
    """Read a report with *link* at its beginning, where it has one; a report of a confined process may be anything."""
    with report.open("rb") as opened:
        head, main, rest = opened.read(_PIECE).partition(b"<main>")
        yield head + main + (link if main else b"") + rest
        while piece := opened.read(_PIECE):
            yield piece


def _sandbox(report: Path) -> str:
    """Return the policy of a report: what it allows itself, in an origin of its own, without our cookies."""
    with report.open("rb") as opened:
        head = opened.read(_HEAD)
    own = head.partition(_MARK)[2].partition(b'"')[0].decode("latin-1").replace("&#39;", "'")
    # A confined process wrote it: what no header may hold is no policy. Of two directives of one name the first counts.
    fit = own and own.isascii() and own.isprintable()
    return "sandbox allow-scripts; " + (own if fit else "default-src 'none'")
