"""Tells another program that an analysis has ended.

Where to stands on the command line alone, so nobody who may upload can make the server ask an address of theirs. A redirect
is not followed, and of an answer only the status is read, for the same reason.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool

from analyzer.web.store import Upload

WAITS = (0, 2, 20)
"""Seconds before each attempt."""
TIME = 10.0
"""Seconds that connecting, and each part of the answer, may take."""
_LOG = logging.getLogger(__name__)


def is_address(url: str) -> bool:
    """Say whether *url* is one that can be told something: http or https, with a host."""
    try:
        found = urlsplit(url)
        return found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0
    except ValueError:
        return False


async def tell(url: str, upload: Upload, title: str, base: str) -> None:
    """Post how the analysis of *upload* ended, as JSON; a few times, if need be."""
    told = {
        "id": upload.id,
        "name": title,
        "owner": upload.owner,
        "tags": list(upload.tags),
        "state": upload.state,
        "says": upload.says,
        "incidents": upload.incidents,
        "inconclusive": upload.inconclusive,
        "url": f"{base}/api/uploads/{upload.id}",
        "page": f"{base}/uploads/{upload.id}",
    }
    body = json.dumps(told).encode("ascii")
    for attempt, wait in enumerate(WAITS, 1):
        await asyncio.sleep(wait)
        try:
            status = await run_in_threadpool(_post, url, body)
        except (OSError, http.client.HTTPException, ValueError) as problem:
            said = f"{type(problem).__name__}: {problem}"
        else:
            if 200 <= status < 300:
                return
            said = f"status {status}"
        # Not the address itself: those of chat services are secrets.
        _LOG.warning("webhook, upload %s, attempt %d of %d: %s", upload.id, attempt, len(WAITS), said)


def _post(url: str, body: bytes) -> int:
    to = urlsplit(url)
    kind = http.client.HTTPSConnection if to.scheme == "https" else http.client.HTTPConnection
    connection = kind(to.hostname or "", to.port, timeout=TIME)
    try:
        path = (to.path or "/") + (f"?{to.query}" if to.query else "")
        connection.request("POST", path, body, {"Content-Type": "application/json", "User-Agent": "lostsyn"})
        return connection.getresponse().status
    finally:
        connection.close()
