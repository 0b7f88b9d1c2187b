"""Replies that come when their entry is over: by the pause and the lifetime."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.incident.lost_entry import longer
from tests.incident.evidence import connection, findings, judged


def late(folder: Path, at: float, settings: str = "", *, lasted: float = 4) -> list[tuple[str, str]]:
    """Cause and confidence where a further UDP answer comes at *at* and is not seen inside."""
    if settings:
        (folder / "sysctl.txt").write_text(settings)
    talk = connection(0, server="192.0.2.53:53", proto="udp")
    talk.data(b"question", -3 - lasted)
    talk.reply(b"answer", -3)
    talk.reply(b"another", at).only_at("eth0")
    return [(f.cause, f.confidence) for f in findings(judged(folder, talk))]


def test_the_nodes_own_lifetime(tmp_path: Path) -> None:
    """Longer than the node's setting: proven, and that very setting is the one to raise."""
    assert [("entry-expired", "proven")] == late(
        tmp_path, 20, "net.netfilter.nf_conntrack_udp_timeout_stream = 15\n"
    )


@pytest.mark.parametrize(
    ("lasted", "expected"), [(1.5, ("entry-expired", "proven")), (2.5, ("unknown", "likely"))]
)
def test_an_answered_entry_is_no_stream_yet(lasted: float, expected: tuple[str, str], tmp_path: Path) -> None:
    """Within two seconds of its first packet an answered entry lives as long as an unanswered one (nf_conntrack_udp_packet)."""
    assert [expected] == late(tmp_path, 20, "net.netfilter.nf_conntrack_udp_timeout = 15\n", lasted=lasted)


@pytest.mark.parametrize("settings", ["net.netfilter.nf_conntrack_udp_timeout_stream = 60\n", ""])
def test_within_its_lifetime(settings: str, tmp_path: Path) -> None:
    """The near miss: it was there still, by the node's setting or the kernel's default, so something else lost the answer."""
    assert "entry-expired" not in [cause for cause, _ in late(tmp_path, 20, settings)]


def test_the_fix_is_for_its_own_timeout() -> None:
    """Of UDP there are no keepalives; a timeout becomes longer than it is, and than the pause was."""
    (udp,) = longer("net.netfilter.nf_conntrack_udp_timeout_stream", 120, 500.5, tcp=False)
    alive, tcp = longer("net.netfilter.nf_conntrack_tcp_timeout_established", 432_000, 431_999.5, tcp=True)

    assert "sysctl -w net.netfilter.nf_conntrack_udp_timeout_stream=1002" == udp.command
    assert "sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=864000" == tcp.command
    assert "net.ipv4.tcp_keepalive_time=300 " in alive.command
