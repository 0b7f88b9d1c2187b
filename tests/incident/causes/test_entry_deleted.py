"""Replies that find no entry because somebody deleted it: by conntrack's own log alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.incident.causes.entry_deleted import summary
from analyzer.incident.explanation import Loss
from tests.conversation import START
from tests.incident.evidence import connection, findings, judged

ENTRY = (
    "[{time}]\t[DESTROY] udp      17 src=10.244.0.11 dst=192.0.2.53 sport={port} dport=53 "
    "src=192.0.2.53 dst=192.0.2.10 sport=53 dport={port} [ASSURED]{by}\n"
)


def after(folder: Path, log: str) -> list[tuple[str, str]]:
    """Cause and confidence where an answer is lost seven seconds after the one before."""
    (folder / "conntrack-E.txt").write_text(log)
    talk = connection(0, server="192.0.2.53:53", proto="udp")
    talk.data(b"question", 1)
    talk.reply(b"answer", 2)
    talk.reply(b"another", 9).only_at("eth0")
    return [(f.cause, f.confidence) for f in findings(judged(folder, talk))]


def line(port: int = 20000, at: int = 5, by: str = "") -> str:
    """One line of the log."""
    return ENTRY.format(time=f"{START // 10**9 + at}.000000", port=port, by=by)


@pytest.mark.parametrize("by", ["", " [USERSPACE]"])
def test_destroyed_before_its_time(by: str, tmp_path: Path) -> None:
    """It had two minutes to live."""
    assert [("entry-deleted", "proven")] == after(tmp_path, line(by=by))


@pytest.mark.parametrize("log", [line(port=20001), line(at=30)], ids=["another entry", "later"])
def test_near_misses(log: str, tmp_path: Path) -> None:
    """Another connection's entry, or one that went later, explains nothing."""
    assert "entry-deleted" not in [cause for cause, _ in after(tmp_path, log)]


@pytest.mark.parametrize(("number", "which"), [(1, "its conntrack entry,"), (2, "their conntrack entries,")])
def test_how_many(number: int, which: str) -> None:
    """Each connection has an entry."""
    assert f"something deleted {which} so" in summary(
        Loss(connections=number, packets=9, gap=("cni0", "eth0"), delay_s=0)
    )
