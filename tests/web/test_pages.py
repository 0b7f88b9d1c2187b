"""The pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from analyzer.web.pages import _after, moment, size
from tests.web.serving import Server

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\"'&.pcap"


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (5_120_000_000, "5.12 GB"),
        (2 * 10**13, "20,000 GB"),
    ],
)
def test_sizes(number: int, told: str) -> None:
    """Bytes are told in the unit that suits."""
    assert told == size(number)


def test_moments() -> None:
    """Times are UTC, to the minute."""
    assert "2026-11-20 10:58" == moment(1795172296.5)


@pytest.mark.parametrize(
    ("asked", "after"),
    [
        ("/uploads/a", "/uploads/a"),
        ("//b.example", "/b.example"),
        ("/\\b.example", "/b.example"),
        ("/signin", "/"),
        ("x", "/x"),
    ],
)
def test_after_signing_in(asked: str, after: str) -> None:
    """It goes on where it was, on this server."""
    assert after == _after(asked)


@pytest.fixture(scope="module")
def done(server: Server, bundle: dict[str, bytes]) -> dict[str, Any]:
    """Return an upload that was analysed, with names that play tricks."""
    files = {**bundle, HOSTILE: bundle["eth0.pcap"], "photo.jpg": b"\xff\xd8\xff\x00"}
    upload = server.post(files, name=f"at the till {HOSTILE}")["id"]
    server.ended(upload)
    return server.recognised(upload)


def test_an_upload(server: Server, done: dict[str, Any]) -> None:
    """The page tells points, roles, packets, times, files, the verdict, and offers what was made of them."""
    page = server.client.get(f"/uploads/{done['id']}").text

    for told in (
        "veth-a",
        "408",
        "conntrack -S",
        "photo.jpg",
        "Read the report",
        "report.json?download",
        "Analyse again",
    ):
        assert told in page
    assert re.search(
        r'<select name="role:cni0"[^>]*>\s*<option value="pod">pod</option><option value="" selected>bridge',
        page,
    )
    assert (
        "evidence.pcapng" in page if "evidence.pcapng" in done["results"] else "evidence.pcapng" not in page
    )


@pytest.mark.parametrize("path", ["/?q=till", "/uploads/{id}", "/uploads/{id}/report.html"])
def test_hostile_names_are_shown(server: Server, done: dict[str, Any], path: str) -> None:
    """Names from clients are text, in every page: nothing acts, and what would is spelt out."""
    page = server.client.get(path.format(id=done["id"])).text

    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_the_limit_is_told_as_the_refusal_tells_it(server: Server) -> None:
    """The list names the largest upload in the words of the sentence that refuses a larger one."""
    told = server.client.post("/api/uploads", json={"files": []}).json()
    refused = server.client.post(f"/api/uploads/{told['id']}/files", json={"name": "a", "size": 1 << 40})

    assert "larger than 0.1 GiB, the limit." in refused.text
    assert "0.1 GiB at the most for one upload." in server.client.get("/").text


def test_pages_carry_no_style_or_script_of_their_own(server: Server, done: dict[str, Any]) -> None:
    """The policy allows files only; an inline style or handler would be refused by the browser."""
    for path in ("/", f"/uploads/{done['id']}", "/uploads/none", "/signin"):
        page = server.client.get(path).text

        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src)|javascript:", page), path
    style = server.client.get("/style.css").text
    assert "--paper" in style
    assert "&#" not in style
    assert "http" not in server.client.get("/script.js").text


def test_the_report_is_shown_in_a_sandbox(server: Server, done: dict[str, Any]) -> None:
    """It runs in an origin of its own; as a download it is a file; so is all else."""
    base = f"/uploads/{done['id']}"
    shown, kept = server.client.get(f"{base}/report.html"), server.client.get(f"{base}/report.html?download")
    other = server.client.get(f"{base}/report.json")

    assert shown.headers["content-security-policy"].startswith("sandbox allow-scripts; default-src 'none'")
    assert "content-disposition" not in shown.headers
    assert "attachment" in kept.headers["content-disposition"]
    assert "attachment" in other.headers["content-disposition"]


def test_the_way_back(server: Server, done: dict[str, Any]) -> None:
    """The report that is shown leads back to its upload; one that is downloaded or shared has no such link."""
    way = f'<main><p class="masthead"><a href="/uploads/{done["id"]}">'
    shown = server.client.get(f"/uploads/{done['id']}/report.html")
    loaded = server.client.get(f"/uploads/{done['id']}/report.html?download")

    assert way in shown.text
    assert "sandbox allow-scripts" in shown.headers["content-security-policy"]
    assert (
        shown.text.replace(shown.text[shown.text.index(way) + 6 :].partition("</p>")[0] + "</p>", "", 1)
        == loaded.text
    )


def test_what_is_said_is_shown(server: Server, done: dict[str, Any]) -> None:
    """A form changes name, tags and note; they are shown, escaped, and a tag leads to all that have it."""
    said = {"name": done["name"], "tags": "prod, a&b", "note": "<b>first</b>\nsecond"}
    assert 303 == server.client.post(f"/uploads/{done['id']}/about", data=said).status_code
    page = server.client.get(f"/uploads/{done['id']}").text

    assert 'href="/?q=a%26b"' in page
    assert "&lt;b&gt;first&lt;/b&gt;" in page
    assert done["id"] in server.client.get("/?q=a%26b").text


def test_share_and_withdraw(server: Server, done: dict[str, Any]) -> None:
    """The button makes a link that needs no token, and another one withdraws it."""
    base = f"/uploads/{done['id']}"
    assert 303 == server.client.post(f"{base}/share", data={"share": "yes"}).status_code
    (link,) = set(re.findall(r"/shared/[\w-]+", server.client.get(base).text))
    assert "vanished" in server.client.get(link, headers={"Authorization": ""}).text
    server.client.post(f"{base}/share", data={"share": "no"})

    gone = server.client.get(link, headers={"Authorization": ""})
    assert 404 == gone.status_code
    assert "is no longer valid" in gone.text


def test_a_form_without_files(server: Server) -> None:
    """A form in which no file was chosen makes no upload, and says what to do."""
    before = server.client.get("/api/uploads").json()["count"]
    answer = server.client.post("/uploads", files={"files": ("", b"")})

    assert 400 == answer.status_code
    assert "No file was chosen" in answer.text
    assert before == server.client.get("/api/uploads").json()["count"]


def test_take_out_and_delete(server: Server, bundle: dict[str, bytes]) -> None:
    """Buttons take a file out and delete the upload; what is gone says so."""
    created = server.client.post(
        "/uploads", files=[("files", (name, bundle[name])) for name in ("eth0.pcap", "uname.txt")]
    )
    page = created.headers["location"]
    (first, _) = server.get(page.rpartition("/")[2])["files"]
    assert 303 == server.client.post(f"{page}/files/{first['number']}/delete").status_code
    assert "uname.txt" in server.client.get(page).text
    assert "eth0.pcap" not in server.client.get(page).text
    assert 303 == server.client.post(f"{page}/delete").status_code

    gone = server.client.get(page)
    assert 404 == gone.status_code
    assert "There is no such upload" in gone.text


def test_an_empty_list_and_a_search_without_result(server: Server) -> None:
    """What is not found is said with the words that were sought, as text."""
    page = server.client.get("/", params={"q": "<b>nothing"}).text

    assert "No upload has <b>&lt;b&gt;nothing</b>" in page


def test_the_first_page(serve: Callable[..., Server]) -> None:
    """Before anything was uploaded, the page says how to capture, and offers a sample."""
    server = serve()
    page = server.client.get("/").text
    begun = server.client.post("/sample")

    assert "lostsyn capture --pod NAMESPACE/POD" in page
    assert 'action="/sample"' in page
    assert 303 == begun.status_code
    assert ["snat-race.tar.gz"] == [
        file["name"] for file in server.get(begun.headers["location"][9:])["files"]
    ]
    assert "lostsyn capture" not in server.client.get("/").text


def test_a_bundle_of_nothing(server: Server) -> None:
    """What nothing was recognised in says so, on the page and to programs."""
    upload = server.client.post("/api/uploads", json={}).json()["id"]
    server.client.post(f"/api/uploads/{upload}/files", files={"files": ("cat.jpg", b"\xff\xd8\xff\0")})
    told = server.recognised(upload)

    assert told["missing"][0].startswith("Nothing was recognised")
    assert "Nothing was recognised" in server.client.get(f"/uploads/{upload}").text
