"""What the pages and the API read from a request."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer.web.asking import BODY, _sandbox, roles_in
from tests.conftest import ROOT
from tests.web.serving import Server


def test_roles_in_a_form() -> None:
    """Fields that begin with `role:` are roles, whatever the point is called."""
    assert {"eth0": "uplink", "a:b": "pod"} == roles_in(
        {"role:eth0": "uplink", "role:a:b": "pod", "name": "x"}
    )


def test_a_report_is_sandboxed_by_its_own_policy(tmp_path: Path) -> None:
    """It may run its own script, by hash, in an origin of its own; a file without a policy may do nothing."""
    policy = _sandbox(ROOT / "reports/snat-race/report.html")
    (tmp_path / "none.html").write_text("<!doctype html><script>1</script>")

    assert policy.startswith("sandbox allow-scripts; default-src 'none'; style-src 'sha256-")
    assert "allow-same-origin" not in policy
    assert "unsafe" not in policy
    assert "sandbox allow-scripts; default-src 'none'" == _sandbox(tmp_path / "none.html")
    for policy in (b"x\r\nSet-Cookie: a=b", b"\xff", b""):
        (tmp_path / "crafted.html").write_bytes(
            b'<meta http-equiv="Content-Security-Policy" content="' + policy + b'">'
        )
        assert "sandbox allow-scripts; default-src 'none'" == _sandbox(tmp_path / "crafted.html")


def test_requests_are_bounded(server: Server) -> None:
    """A body that carries no file has a limit."""
    answer = server.client.post("/api/uploads", content=b" " * (BODY + 1))

    assert (413, f"The request is longer than {BODY} bytes.") == (answer.status_code, answer.json()["error"])


def test_what_cannot_be_analysed_yet(server: Server) -> None:
    """An upload without files, or with one that has not arrived whole, is not queued; the sentence says which."""
    upload = server.client.post("/api/uploads", json={}).json()["id"]
    url = f"/api/uploads/{upload}/analysis"
    empty = server.client.post(url)
    server.begin("eth0.pcap", 10, upload)
    partial = server.client.post(url)

    assert 409 == empty.status_code == partial.status_code
    assert "nothing to analyse" in empty.json()["error"]
    assert "eth0.pcap is incomplete" in partial.json()["error"]


@pytest.mark.parametrize("role", ["router", 7, 0, None, [], ["pod"], "<script>"])
def test_what_is_no_role(server: Server, role: object) -> None:
    """A role that is none is refused, and nothing is queued."""
    upload, url = server.begin("uname.txt", 1)
    server.client.patch(url, content=b"6", headers={"Upload-Offset": "0"})
    answer = server.client.post(f"/api/uploads/{upload}/analysis", json={"roles": {"eth0": role}})

    assert 400 == answer.status_code
    assert "'eth0' can be pod, bridge, tunnel or uplink" in answer.json()["error"]
    assert "open" == server.get(upload)["state"]


def test_a_role_of_half_a_surrogate(serve: Callable[..., Server], bundle: dict[str, bytes]) -> None:
    """A point's name that no text can hold costs nobody the list, nor this upload its report."""
    server = serve()
    upload = server.post({name: bundle[name] for name in ("cni0.pcap", "eth0.pcap")})["id"]
    server.ended(upload)
    sent = b'{"roles": {"\\ud800\\u001b[2Jx": "uplink", "cni0": "bridge"}}'
    answer = server.client.post(f"/api/uploads/{upload}/analysis", content=sent)

    assert 202 == answer.status_code
    assert {"??[2Jx": "uplink", "cni0": "bridge"} == answer.json()["roles"]
    assert "done" == server.ended(upload)["state"]
    for path in ("/", "/api/uploads", f"/uploads/{upload}", f"/api/uploads/{upload}/report.json"):
        assert 200 == server.client.get(path).status_code
    refused = server.client.post(
        f"/api/uploads/{upload}/analysis", content=b'{"roles": {"\\ud800": "\\udfff"}}'
    )
    assert 400 == refused.status_code


def test_the_list_has_pages(serve: Callable[..., Server]) -> None:
    """Each upload is on one page, the latest first, also where one is deleted or begun in between."""
    server = serve()
    made = [
        server.client.post("/api/uploads", json={"name": f"n {number}"}).json()["id"] for number in range(7)
    ]
    page = server.client.get("/api/uploads", params={"limit": 3, "q": "n"}).json()
    seen = [page["uploads"]]
    server.client.post("/api/uploads", json={"name": "n late"})
    server.client.delete(f"/api/uploads/{page['uploads'][-1]['id']}")
    while page["next"]:
        page = server.client.get(page["next"]).json()
        seen.append(page["uploads"])

    assert [3, 3, 1] == [len(uploads) for uploads in seen]
    assert made[::-1] == [upload["id"] for uploads in seen for upload in uploads]
    html = server.client.get("/", params={"limit": 3}).text
    assert "3 of 7 uploads." in html
    assert "Older ones" in html


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=²",
        "after=",
        "after=1-a",
        "after=1.5-%27",
        "after=nan-a",
        "after=1.5",
        "q=" + "a" * 201,
    ],
)
def test_what_is_no_page(server: Server, query: str) -> None:
    """A page that cannot be is refused."""
    assert 400 == server.client.get(f"/api/uploads?{query}").status_code
