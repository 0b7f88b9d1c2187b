"""Forms with files."""

from __future__ import annotations

import pytest

from tests.web.serving import Server

BOUNDARY = "--boundary\r\n"
FORM = {"Content-Type": "multipart/form-data; boundary=boundary"}


def _part(name: str, data: str, file: str | None = None) -> str:
    named = f'; filename="{file}"' if file is not None else ""
    return f'{BOUNDARY}Content-Disposition: form-data; name="{name}"{named}\r\n\r\n{data}\r\n'


def _upload(server: Server) -> str:
    return str(server.client.post("/api/uploads", json={}).json()["id"])


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_however_it_is_cut(server: Server, size: int) -> None:
    """Fields and files are the same in pieces of any size, and in any order."""
    form = (
        _part("files", "Linux\r\n--bound", "uname.txt")
        + _part("name", "x")
        + _part("files", "", "empty")
        + "--boundary--\r\n"
    )
    upload = _upload(server)
    pieces = (form[at : at + size].encode() for at in range(0, len(form), size))
    answer = server.client.post(f"/api/uploads/{upload}/files", content=pieces, headers=FORM)

    assert 201 == answer.status_code
    assert [("uname.txt", 14, True), ("empty", 0, True)] == [
        (file["name"], file["received"], file["complete"]) for file in answer.json()["files"]
    ]


@pytest.mark.parametrize(
    ("form", "status", "says"),
    [
        (_part("files", "abc", "a"), 400, "ends in the middle"),
        ("nonsense", 400, "cannot be read"),
        (_part("name", "a") + "--boundary--", 400, "has no file"),
        (_part("files", "{}") + "--boundary--", 400, "No file was chosen"),
        (_part("x" * 5000, "a") + "--boundary--", 400, "cannot be read"),
        (_part("name", "a" * 5000) + "--boundary--", 413, "longer than 4096 bytes"),
        ("".join(_part(f"f{n}", "") for n in range(101)) + "--boundary--", 413, "more than 100 fields"),
    ],
)
def test_what_is_no_form(server: Server, form: str, status: int, says: str) -> None:
    """A form that is cut short, broken or out of proportion is refused in a sentence."""
    answer = server.client.post(f"/api/uploads/{_upload(server)}/files", content=form.encode(), headers=FORM)

    assert status == answer.status_code
    assert says in answer.json()["error"]


def test_no_boundary(server: Server) -> None:
    """A form that does not say how its parts are divided cannot be read."""
    answer = server.client.post(
        f"/api/uploads/{_upload(server)}/files", content=b"a", headers={"Content-Type": "multipart/form-data"}
    )

    assert (400, "The form names no boundary between its parts.") == (
        answer.status_code,
        answer.json()["error"],
    )


def test_a_file_that_broke_off_is_replaced(server: Server) -> None:
    """Sending the form again puts the whole file in the place of the broken one."""
    upload = _upload(server)
    url = f"/api/uploads/{upload}/files"
    server.client.post(url, content=_part("files", "abc", "a").encode()[:-3], headers=FORM)
    (broken,) = server.get(upload)["files"]
    server.client.post(url, content=(_part("files", "abcd", "a") + "--boundary--").encode(), headers=FORM)
    (whole,) = server.get(upload)["files"]

    assert (False, None) == (broken["complete"], broken["size"])
    assert ("a", True, 4) == (whole["name"], whole["complete"], whole["size"])
