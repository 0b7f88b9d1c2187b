"""Forms as browsers and `curl -F` send them (multipart/form-data), straight to disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from analyzer.web.receiving import Body, Receiver, Transfer, client_name
from analyzer.web.refusal import Refusal
from analyzer.web.store import File, Upload

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks  # not there at run time

FIELD = 4096
"""Bytes of a field that is no file, at most."""
FIELDS = 100


class _Events:
    """What the parser saw, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, bytes]] = []
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_header_field": self._field,
            "on_header_value": self._content,
            "on_header_end": self._header,
            "on_headers_finished": self._begin,
            "on_part_data": lambda data, start, end: self.seen.append(("data", bytes(data[start:end]))),
            "on_part_end": lambda: self.seen.append(("end", b"")),
            "on_end": lambda: self.seen.append(("whole", b"")),
        }

    def take(self) -> list[tuple[str, bytes]]:
        seen, self.seen = self.seen, []
        return seen

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _content(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _begin(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._headers = {}
        if b"filename" in options:
            self.seen.append(("file", options[b"filename"]))
        else:
            self.seen.append(("field", options.get(b"name", b"")))


def is_form(request: Request) -> bool:
    """Say whether a request carries a form with files."""
    return request.headers.get("content-type", "").startswith("multipart/form-data")


async def take_form(request: Request, receiver: Receiver, upload: Upload) -> tuple[int, dict[str, str]]:
    """Take the files of a form into *upload*.

    Returns: How many files there were, and the other fields.
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary")
    if not boundary or len(boundary) > 200:
        raise Refusal(400, "The form names no boundary between its parts.")
    events = _Events()
    parser = MultipartParser(boundary, events.callbacks())
    fields: dict[str, str] = {}
    files, field, whole = 0, "", False
    transfer: Transfer | None = None
    body = Body(request.stream())
    try:
        async for data in body:
            parser.write(data)
            for event, value in events.take():
                if event == "file":
                    # A browser sends an empty name where no file was chosen.
                    name, field = value.decode("utf-8", "replace"), ""
                    transfer = await _begin(receiver, upload, name, body) if name else None
                elif event == "field":
                    field = value.decode("utf-8", "replace")[:FIELD]
                    if field == "files":
                        raise Refusal(400, "No file was chosen: a part called 'files' has no file name.")
                    if len(fields) == FIELDS:
                        raise Refusal(413, f"The form has more than {FIELDS} fields.")
                    fields[field] = ""
                elif event == "data" and transfer:
                    await transfer.write(value)
                elif event == "data" and field:
                    fields[field] += value.decode("utf-8", "replace")
                    if len(fields[field]) > FIELD:
                        raise Refusal(413, f"A field of the form is longer than {FIELD} bytes.")
                elif event == "end" and transfer:
                    await transfer.flush()
                    await transfer.complete()
                    transfer.close()
                    files, transfer = files + 1, None
                elif event == "whole":
                    whole = True
    except FormParserError as problem:
        raise Refusal(400, f"The form cannot be read: {problem}.") from None
    finally:
        if transfer:
            transfer.close()
    if not whole:
        raise Refusal(400, "The form ends in the middle; send it again.")
    return files, fields


async def _begin(receiver: Receiver, upload: Upload, name: str, body: Body) -> Transfer:
    file = await run_in_threadpool(_declare, receiver, upload, name)
    return await receiver.begin(upload, file, 0, body)


def _declare(receiver: Receiver, upload: Upload, name: str) -> File:
    """Add a file; what is left of an earlier form that broke off gives way to it."""
    for file in receiver.store.files(upload):
        if file.name == client_name(name) and file.size is None:
            receiver.store.folder(upload).file(file.number).unlink(missing_ok=True)
            receiver.store.remove(upload, file.number)
    return receiver.declare(upload, name, None)
