"""Conntrack's own log tells what a connection became outside, where no point there recorded it."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from analyzer.incident import logged
from analyzer.incident.model import Untold
from analyzer.report import html, text
from tests.conversation import Conversation, bystander, record
from tests.evidence.test_collecting import collected

LOG = """\
[1796003647.349952]\t    [NEW] udp      17 30 src=10.244.0.11 dst=192.0.2.77 sport=40000 dport=5000 [UNREPLIED] src=192.0.2.77 dst=192.0.2.10 sport=5000 dport=1031 id=2894806555
[1796003647.653627]\t    [NEW] udp      17 30 src=10.244.0.11 dst=192.0.2.77 sport=40001 dport=5000 [UNREPLIED] src=192.0.2.77 dst=192.0.2.10 sport=5000 dport=40001 id=3021099834
[1796003648.346887]\t[DESTROY] udp      17 29 src=10.244.0.11 dst=192.0.2.77 sport=40001 dport=5000 [UNREPLIED] src=192.0.2.77 dst=192.0.2.10 sport=5000 dport=40001 id=3021099834 [USERSPACE] portid=2572419274
[1796003697.209099]\t[DESTROY] udp      17 28 src=10.244.0.11 dst=192.0.2.77 sport=40002 dport=5000 [UNREPLIED] src=192.0.2.77 dst=192.0.2.10 sport=5000 dport=40002 id=3255043975
[1796003699.209099]\t[DESTROY] udp      17 src=10.244.0.11 dst=192.0.2.77 sport=40003 dport=5000 src=192.0.2.77 dst=192.0.2.10 sport=5000 dport=40003 [ASSURED] id=3255043976
"""  # noqa: E501 - as the tool prints it
BEGAN = 1796003647_000_000_000


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        (40000, "conntrack's log: its entry was made, so its first packet passed every rule; it left as "
                "192.0.2.10:1031 > 192.0.2.77:5000/udp and was never answered"),
        (40001, "conntrack's log: its entry was made, so its first packet passed every rule; it left as "
                "192.0.2.10:40001 > 192.0.2.77:5000/udp and was never answered; a program deleted it 0.7 s later"),
        (40002, "conntrack's log: it had an entry; it left as 192.0.2.10:40002 > 192.0.2.77:5000/udp and was never answered; "
                "the kernel ended it with 28 s left"),
        (40003, "conntrack's log: it had an entry; it left as 192.0.2.10:40003 > 192.0.2.77:5000/udp and was answered; "
                "it expired"),
        (40004, ""),
    ],
)  # fmt: skip
def test_what_is_said(port: int, expected: str) -> None:
    """Translation, whether an answer came, who ended the entry and when; nothing of a connection that is not logged."""
    logs = collected(log=LOG).events
    one = Untold(
        connection=f"10.244.0.11:{port} > 192.0.2.77:5000/udp",
        time=BEGAN,
        outcome="unanswered",
        why="filtered",
    )
    assert [expected] == [told.logged for told in logged.untold([one], logs)]
    assert "" == logged.untold([one], ())[0].logged


def test_an_entry_of_before_is_not_taken(tmp_path: Path) -> None:
    """An entry that was gone when the connection began was another connection's."""
    logs = collected(log=LOG).events
    late = Untold(
        connection="10.244.0.11:40001 > 192.0.2.77:5000/udp",
        time=BEGAN + 10**10,
        outcome="unanswered",
        why="filtered",
    )
    assert "" == logged.untold([late], logs)[0].logged
    assert [""] == [
        told.logged for told in logged.untold([Untold(connection="?", time=0, outcome="", why="")], logs)
    ]


@pytest.fixture
def silent(tmp_path: Path) -> Analysis:
    """SYNs of which the uplink, which stops recording before, shows nothing; conntrack's log has its entry."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    for when in (10, 11, 13):
        talk.syn(at=when).lost_after("cni0")
    record(tmp_path, talk, bystander(0))
    first = analyze(tmp_path).untold[0].time
    (tmp_path / "conntrack-E.txt").write_text(
        f"[{first // 10**9}.500000]\t    [NEW] tcp      6 120 SYN_SENT src=10.244.0.11 dst=192.0.2.100 sport=20000 dport=80 "
        "[UNREPLIED] src=192.0.2.100 dst=192.0.2.10 sport=80 dport=1024 id=7\n"
    )
    return analyze(tmp_path)


def test_a_silent_uplink(silent: Analysis) -> None:
    """The report says what the connection became outside, beside that nobody saw it there."""
    told = "it left as 192.0.2.10:1024 > 192.0.2.100:80/tcp and was never answered"
    assert told in silent.untold[0].logged
    assert told in " ".join(text.render(silent).split())
    assert told.replace(">", "&gt;") in html.render(silent)
