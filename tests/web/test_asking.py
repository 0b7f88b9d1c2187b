"""What the pages and the API read from a request."""

from __future__ import annotations

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
    assert "eth0.pcap has not arrived whole" in partial.json()["error"]


@pytest.mark.parametrize("role", ["router", 7, ["pod"], "<script>"])
def test_what_is_no_role(server: Server, role: object) -> None:
    """A role that is none is refused, and nothing is queued."""
    upload, url = server.begin("uname.txt", 1)
    server.client.patch(url, content=b"6", headers={"Upload-Offset": "0"})
    answer = server.client.post(f"/api/uploads/{upload}/analysis", json={"roles": {"eth0": role}})

    assert 400 == answer.status_code
    assert "'eth0' can be pod, bridge or uplink" in answer.json()["error"]
    assert "open" == server.get(upload)["state"]
