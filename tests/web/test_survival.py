"""What was accepted is never lost: broken connections, killed servers, killed analyses, many at once, large files."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.capture.test_reader import pcap
from tests.web.serving import Server, gone, until


def _half(server: Server, url: str, data: bytes) -> socket.socket:
    """Begin to send a file, and stop in the middle of it with the connection open."""
    host, port = server.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(
        f"PATCH {url} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {server.token}\r\nUpload-Offset: 0\r\n"
        f"Content-Length: {len(data)}\r\n\r\n".encode()
        + data[: len(data) // 2]
    )
    return connection


def _resume(server: Server, url: str, data: bytes) -> None:
    offset = server.offset(url)
    assert 0 < offset < len(data)
    answer = server.client.patch(url, content=data[offset:], headers={"Upload-Offset": str(offset)})

    assert answer.status_code == 204
    assert answer.headers["upload-complete"] == "?1"


def test_a_broken_connection_resumes(server: Server, bundle: dict[str, bytes]) -> None:
    """What came before the connection broke need not come again, and the file is the one that was sent."""
    data = bundle["eth0.pcap"] * 160
    upload, url = server.begin("eth0.pcap", len(data))
    _half(server, url, data).close()
    until(lambda: server.received(url) >= len(data) // 2, "the first half")
    _resume(server, url, data)

    assert data == next((server.data / "uploads" / upload / "files").iterdir()).read_bytes()


def test_a_later_transfer_takes_over(server: Server, bundle: dict[str, bytes]) -> None:
    """A connection that broke without the server noticing does not keep the file from being resumed."""
    data = bundle["eth0.pcap"] * 160
    _, url = server.begin("eth0.pcap", len(data))
    with _half(server, url, data):
        until(lambda: server.received(url) > 0, "some of the first half")
        _resume(server, url, data)


def test_killed_in_mid_upload(serve: Callable[..., Server], bundle: dict[str, bytes]) -> None:
    """A server that is killed in the middle of an upload knows all of it when it is started again, and it resumes."""
    data = bundle["eth0.pcap"] * 160
    first = serve()
    upload, url = first.begin("eth0.pcap", len(data))
    first.begin("later.pcap", 1000, upload)
    with _half(first, url, data):
        until(lambda: first.received(url) > 0, "some of the first half")
        first.kill()
    second = serve()

    assert ["eth0.pcap", "later.pcap"] == [file["name"] for file in second.get(upload)["files"]]
    _resume(second, url, data)
    assert data == sorted((second.data / "uploads" / upload / "files").iterdir())[0].read_bytes()


def test_killed_in_mid_analysis(serve: Callable[..., Server], bundle: dict[str, bytes]) -> None:
    """A server that is killed in the middle of an analysis takes its processes along; the next one begins it anew."""
    first = serve()
    upload = first.post(bundle, name="killed")["id"]
    (child,) = until(lambda: first.children("analyse"), "the analysis to begin")
    os.kill(child, signal.SIGSTOP)
    assert "running" == first.get(upload)["state"]
    first.kill()
    until(lambda: gone(child), "the analysis to end with its server")
    second = serve()
    told = second.ended(upload)

    assert ("done", 1) == (told["state"], told["incidents"])
    assert second.client.get(told["results"]["report.json"]).json()["bundle"] == "killed"


def test_interrupted_in_mid_analysis(serve: Callable[..., Server], bundle: dict[str, bytes]) -> None:
    """An orderly stop ends the analysis as well, and leaves it to the next server."""
    first = serve()
    upload = first.post(bundle)["id"]
    (child,) = until(lambda: first.children("analyse"), "the analysis to begin")
    os.kill(child, signal.SIGSTOP)
    first.stop()

    assert gone(child)
    assert "done" == serve().ended(upload)["state"]


def test_a_crash_ends_that_analysis_alone(serve: Callable[..., Server], bundle: dict[str, bytes]) -> None:
    """An analysis that crashes becomes one sentence; the one beside it and the server go on."""
    server = serve("--jobs", "2")
    crashed = server.post(bundle)["id"]
    (child,) = until(lambda: server.children("analyse"), "the analysis to begin")
    os.kill(child, signal.SIGSTOP)
    beside = server.post(bundle)["id"]
    os.kill(child, signal.SIGSEGV)
    os.kill(child, signal.SIGCONT)
    told = server.ended(crashed)

    assert "failed" == told["state"]
    assert "crashed (SIGSEGV)" in told["says"]
    assert "The files are kept." in told["says"]
    assert "done" == server.ended(beside)["state"]
    assert server.client.post(f"/api/uploads/{crashed}/analysis").status_code == 202
    assert "done" == server.ended(crashed)["state"]


def test_killed_from_outside_it_is_tried_once_more(
    serve: Callable[..., Server], bundle: dict[str, bytes]
) -> None:
    """An analysis that the kernel, short of memory, killed is begun anew; one that is killed again is told as such."""
    server = serve()
    upload = server.post(bundle)["id"]
    killed: list[int] = []
    for _ in range(2):
        (child,) = until(
            lambda: [pid for pid in server.children("analyse") if pid not in killed], "the analysis to begin"
        )
        os.kill(child, signal.SIGKILL)
        killed.append(child)
    told = server.ended(upload)

    assert "failed" == told["state"]
    assert told["says"].startswith("Something outside killed its process (SIGKILL), also when")
    again = server.post(bundle)["id"]
    (child,) = until(lambda: server.children("analyse"), "the analysis to begin")
    os.kill(child, signal.SIGKILL)
    assert "done" == server.ended(again)["state"]


def test_deleting_stops_the_analysis(serve: Callable[..., Server], bundle: dict[str, bytes]) -> None:
    """An upload that is deleted while it is analysed is gone, its process and its files as well."""
    server = serve()
    upload = server.post(bundle)["id"]
    (child,) = until(lambda: server.children("analyse"), "the analysis to begin")
    os.kill(child, signal.SIGSTOP)

    assert server.client.delete(f"/api/uploads/{upload}").status_code == 204
    assert gone(child)
    assert server.client.get(f"/api/uploads/{upload}").status_code == 404
    until(lambda: not (server.data / "uploads" / upload).exists(), "the folder to go")
    assert "done" == server.ended(server.post(bundle)["id"])["state"]


def test_deleting_stops_transfers(serve: Callable[..., Server], bundle: dict[str, bytes]) -> None:
    """What is still being sent to a deleted upload, or to a file that was taken out, ends at once, also in silence."""
    server = serve()
    data = bundle["eth0.pcap"] * 160
    upload, url = server.begin("eth0.pcap", len(data))
    _, other = server.begin("cni0.pcap", len(data), upload)
    with _half(server, url, data) as first, _half(server, other, data) as second:
        until(lambda: server.received(url) > 0 and server.received(other) > 0, "some of both")
        assert 204 == server.client.delete(url).status_code
        first.settimeout(10)
        assert b"404" in first.recv(1000).partition(b"\r\n")[0]
        assert server.received(other) > 0
        assert 204 == server.client.delete(f"/api/uploads/{upload}").status_code
        second.settimeout(10)
        assert b"404" in second.recv(1000).partition(b"\r\n")[0]
    assert not (server.data / "uploads" / upload).exists()


def test_below_a_base_path(serve: Callable[..., Server], bundle: dict[str, bytes]) -> None:
    """Every link, redirect and cookie is below the path that a server in front puts before ours."""
    server = serve("--base-path", "/tools/lostsyn/")
    assert server.url.endswith("/tools/lostsyn")
    upload = server.post({name: bundle[name] for name in ("cni0.pcap", "eth0.pcap")})["id"]
    told = server.ended(upload)
    with httpx.Client(trust_env=False) as browser:
        page = browser.get(f"{server.url}/?token={server.token}", follow_redirects=True)
        assert 200 == page.status_code
        links = re.findall(r'(?:href|action|src)="(/[^"]*)"', page.text)
        assert len(links) > 3
        for link in {*links, told["url"], *told["results"].values(), f"/tools/lostsyn/uploads/{upload}"}:
            assert link.startswith("/tools/lostsyn/")
            assert browser.request("GET", httpx.URL(server.url).join(link)).status_code in (200, 405)
        assert {"/tools/lostsyn"} == {cookie.path for cookie in browser.cookies.jar}
        shared = browser.post(
            f"{server.url}/uploads/{upload}/share", data={"share": "yes"}, follow_redirects=True
        )
        assert "/tools/lostsyn/shared/" in shared.text


def test_many_interfaces_cost_the_server_little(serve: Callable[..., Server]) -> None:
    """A capture with another interface number in each packet: whoever looks at it, the server's memory stays what it was."""
    frames = [b"\x08\0\0\0" + number.to_bytes(4, "big") + bytes(12) for number in range(1, 30_000)]
    data = pcap([(n, len(frame), frame) for n, frame in enumerate(frames)], link=276)
    server = serve()
    before = server.peak()
    upload, url = server.begin("any.pcap", len(data))
    server.client.patch(url, content=data, headers={"Upload-Offset": "0"})
    told = server.recognised(upload)
    for _ in range(6):
        for path in (f"/uploads/{upload}", "/", "/api/uploads"):
            assert 200 == server.client.get(path).status_code

    assert 1000 == len(told["points"])
    assert any("more than 4095 interfaces are named" in note for note in told["notes"])
    assert server.peak() - before < 64 << 20


def test_twenty_at_once(serve: Callable[..., Server], bundle: dict[str, bytes]) -> None:
    """Twenty uploads at one time all arrive, are analysed, and none gets another's files."""
    server = serve("--jobs", "2")
    small = {name: bundle[name] for name in ("cni0.pcap", "eth0.pcap", "uname.txt")}

    def send(number: int) -> str:
        with httpx.Client(
            base_url=server.url, headers=server.client.headers, timeout=60, trust_env=False
        ) as client:
            upload = client.post("/api/uploads", json={"name": f"upload {number}"}).json()["id"]
            for name, data in {**small, f"note-{number}.txt": b"Linux 6.1.0\n" * (number + 1)}.items():
                url = client.post(
                    f"/api/uploads/{upload}/files", json={"name": name, "size": len(data)}
                ).json()["url"]
                for at in range(0, len(data), 50_000):
                    piece = data[at : at + 50_000]
                    answer = client.patch(url, content=piece, headers={"Upload-Offset": str(at)})
                    assert answer.status_code == 204
            return str(upload)

    with ThreadPoolExecutor(20) as pool:
        uploads = list(pool.map(send, range(20)))
    assert server.client.get("/api/uploads").json()["count"] == 20
    for number, upload in enumerate(uploads):
        files = {file["name"]: file["received"] for file in server.get(upload)["files"]}
        assert files == {
            **{name: len(data) for name, data in small.items()},
            f"note-{number}.txt": 12 * (number + 1),
        }
    for upload in uploads[:2]:
        assert server.client.post(f"/api/uploads/{upload}/analysis").status_code == 202
    assert [1] * 2 == [server.ended(upload)["incidents"] for upload in uploads[:2]]


def test_memory_stays_flat(serve: Callable[..., Server], tmp_path: Path) -> None:
    """A body of 64 MB costs the server a few MB of memory, resumable or as a form."""
    server = serve()
    piece, pieces = bytes(1 << 20), 64

    def body() -> Iterator[bytes]:
        for _ in range(pieces):
            yield piece

    _, url = server.begin("large.pcap", pieces << 20)
    before = server.peak()
    assert server.client.patch(url, content=body(), headers={"Upload-Offset": "0"}).status_code == 204
    (tmp_path / "large").write_bytes(piece * pieces)
    with (tmp_path / "large").open("rb") as large:
        upload = server.client.post("/api/uploads", json={}).json()["id"]
        assert server.client.post(f"/api/uploads/{upload}/files", files={"files": large}).status_code == 201
    assert server.peak() - before < 24 << 20
