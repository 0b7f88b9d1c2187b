"""The work behind the pages."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer.web.jobs import _again_and_again, _worth
from analyzer.web.preview import Preview
from analyzer.web.store import File
from tests.web.serving import Server, until


@pytest.mark.parametrize(
    ("complete", "received", "known", "due"),
    [
        (False, 0, None, False),
        (True, 0, None, True),
        (False, 1, None, True),
        (False, 150, Preview(bytes=100, complete=False, texts={}), False),
        (False, 200, Preview(bytes=100, complete=False, texts={}), True),
        (True, 110, Preview(bytes=100, complete=False, texts={}), True),
        (True, 110, Preview(bytes=110, complete=True, texts={}), False),
    ],
)
def test_when_a_file_is_looked_at(complete: bool, received: int, known: Preview | None, due: bool) -> None:
    """Again when it has doubled, so that all previews together cost little more than one; and when it is whole."""
    assert due == _worth(File(number=1, name="a", size=None, complete=complete), received, known)


def test_recognised_while_it_is_coming(server: Server, bundle: dict[str, bytes]) -> None:
    """Point, role and packets are known before the file is whole, and right when it is."""
    data = bundle["eth0.pcap"]
    upload, url = server.begin("eth0.pcap", len(data))
    server.client.patch(url, content=data[: len(data) // 2], headers={"Upload-Offset": "0"})
    early = until(lambda: server.get(upload)["points"], "a point")
    server.client.patch(url, content=data[len(data) // 2 :], headers={"Upload-Offset": str(len(data) // 2)})
    (late,) = server.recognised(upload)["points"]

    assert [("eth0", "uplink")] == [(point["name"], point["role"]) for point in early]
    assert 0 < early[0]["packets"] < late["packets"] == 408


def test_a_file_that_breaks_the_look_costs_only_itself(
    serve: Callable[..., Server], bundle: dict[str, bytes]
) -> None:
    """When a preview crashes on one file, the page says so of that file, and the others are recognised."""
    server = serve()
    upload, url = server.begin("bad.pcap", 200)
    server.client.patch(url, content=b"\xd4\xc3\xb2\xa1" + bytes(96), headers={"Upload-Offset": "0"})
    (child,) = until(lambda: server.children("recognise"), "the preview")
    os.kill(child, signal.SIGSEGV)
    told = until(lambda: found if (found := server.get(upload))["notes"] else None, "the note")
    data = bundle["eth0.pcap"]
    _, url = server.begin("eth0.pcap", len(data), upload)
    server.client.patch(url, content=data, headers={"Upload-Offset": "0"})

    assert [note for note in told["notes"] if note.startswith("bad.pcap: The process crashed (SIGSEGV)")]
    assert [408] == [point["packets"] for point in until(lambda: server.get(upload)["points"], "the points")]


def test_what_cannot_be_analysed_fails_alone(server: Server, bundle: dict[str, bytes]) -> None:
    """A bundle without a capture ends in the reason that the command line gives; the next one is analysed."""
    failed = server.post({"uname.txt": bundle["uname.txt"]}, name="none")["id"]
    good = server.post({name: bundle[name] for name in ("cni0.pcap", "eth0.pcap")})["id"]

    told = server.ended(failed)
    assert ("failed", None) == (told["state"], told["incidents"])
    sentence = "uname.txt: no capture (pcap or pcapng) found among 1 text file. The files are kept."
    assert sentence == told["says"]
    assert "done" == server.ended(good)["state"]


def test_limits_reach_the_analysis(serve: Callable[..., Server], bundle: dict[str, bytes]) -> None:
    """What the server was told of time is what an analysis is stopped by, in a sentence."""
    server = serve("--time", "0.0005")
    told = server.ended(server.post(bundle)["id"])

    assert "It took more than 0.03 s, the limit, and was stopped. The files are kept." == told["says"]


def test_retention(serve: Callable[..., Server], bundle: dict[str, bytes]) -> None:
    """What was kept long enough is gone, with its folder."""
    server = serve("--keep", "0.00001")
    upload = server.client.post("/api/uploads", json={}).json()["id"]
    until(lambda: server.client.get(f"/api/uploads/{upload}").status_code == 404, "the end of the upload")
    until(lambda: not (server.data / "uploads" / upload).exists(), "the end of its folder")


def test_folders_without_an_upload_are_swept(serve: Callable[..., Server], tmp_path: Path) -> None:
    """What a killed server was deleting, or had not yet promised, is removed by the next one."""
    (tmp_path / "data" / "uploads" / "left" / "files").mkdir(parents=True)
    server = serve()
    assert not (server.data / "uploads" / "left").exists()
    kept = server.client.post("/api/uploads", json={}).json()["id"]

    assert (server.data / "uploads" / kept).exists()


def test_a_step_that_fails_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk, say, costs a moment and a line of the log; the work goes on."""
    done: list[int] = []

    async def step() -> None:
        done.append(len(done))
        if len(done) == 1:
            raise OSError("no space left")
        raise asyncio.CancelledError

    async def at_once(_: float) -> None: ...

    monkeypatch.setattr(asyncio, "sleep", at_once)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(_again_and_again(step))

    assert [0, 1] == done
    assert "a job failed" in caplog.text
