"""`lostsyn probe`."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from analyzer.field.probe import Probe
from analyzer.field.slowlog import read


def test_percentiles_and_the_log(lostsyn: Callable[..., Any], tmp_path: Path) -> None:
    """What was slow is in the log, which is read as a slow log; what was there before is kept."""
    log = tmp_path / "slow.jsonl"
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as server:
        port = server.getsockname()[1]
        asked = (f"127.0.0.1:{port}", "--count", 3, "--delay", 1, "--log", log)
        first = lostsyn("probe", *asked, "--slow", 0)
        second = lostsyn("probe", *asked, "--slow", 5000)
    requests, caveats = read(log.read_text(), "slow.jsonl")

    assert (0, 0) == (first.code, second.code)
    assert first.out.startswith("3 requests, 3 answered\nduration: p50 ")
    assert "slow, 0 ms or more: 3 (1e+02 %)" in first.out
    assert f"slow and failed requests are in {log}" in first.err
    assert "slow" not in second.out + second.err
    assert [] == caveats
    assert [("127.0.0.1", port)] * 3 == [(request.dst, request.dport) for request in requests]
    assert {"time_ns", "sport", "error"} < json.loads(log.read_text().splitlines()[0]).keys()


def test_ctrl_c_tells_what_there_is(
    lostsyn: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is how a probe without an end is ended."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Probe, "run", interrupt)
    ran = lostsyn("probe", "127.0.0.1:1", "--log", tmp_path / "x")

    assert (0, "0 requests, 0 answered\n", "") == ran


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("nowhere",),
            "'nowhere' is not an endpoint; write HOST:PORT, http://HOST:PORT/PATH or dns://SERVER/NAME",
        ),
        (
            ("127.0.0.1:1", "--source-ports", "5-4"),
            "--source-ports: '5-4' is not a port range; write 20000-29999",
        ),
        (
            ("127.0.0.1:1", "--source-ports", "x"),
            "--source-ports: 'x' is not a port range; write 20000-29999",
        ),
        (
            ("127.0.0.1:1", "--log", "/nonexistent/x"),
            "/nonexistent/x: cannot be written: No such file or directory",
        ),
    ],
)
def test_bad_use(lostsyn: Callable[..., Any], arguments: tuple[str, ...], says: str) -> None:
    """One sentence and exit status 2."""
    assert (2, "", f"lostsyn: {says}\n") == lostsyn("probe", *arguments)
