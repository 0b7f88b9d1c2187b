"""What the captures leave open is decided by counters and rules, where these leave no choice; and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from tests.conversation import Conversation, bystander, record
from tests.incident.evidence import connection, counters, vanishing

RULES = """table ip filter {{
	chain FORWARD {{
		type filter hook forward priority filter; policy accept;
		{rule}
	}}
}}
"""


def _silent(folder: Path, *talks: Conversation) -> Analysis:
    """Analyse what happened after the uplink's last packet."""
    early = bystander(-5)
    home = Conversation(pod="10.244.0.99:5000", server="10.244.0.1:22", way="veth-z cni0")
    home.syn(40)
    home.accept()
    return analyze(record(folder, early, home, *talks))


def _rules(folder: Path, rule: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nft.txt").write_text(RULES.format(rule=rule))


def _said(analysis: Analysis) -> tuple[list[str], int, int]:
    """The causes, what is of this node, what nobody can tell."""
    return [i.cause for i in analysis.incidents], analysis.account.node, analysis.account.open


def test_nothing_decides(tmp_path: Path) -> None:
    """Without counters and rules an outage is open: not clean, and no incident."""
    assert ([], 0, 1) == _said(_silent(tmp_path, vanishing(connection(), 0, 1, 3)))


@pytest.mark.parametrize(("drop", "decided"), [(5, True), (4, False), (6, False), (0, False)])
def test_counters(drop: int, decided: bool, tmp_path: Path) -> None:
    """Five packets of two connections: decided where `drop` rose by five, open where it did not."""
    counters(tmp_path, drop=drop)
    analysis = _silent(tmp_path, vanishing(connection(), 0, 1, 3), vanishing(connection(1), 5, 6))

    expected = (["conntrack-table-full"], 2, 0) if decided else ([], 0, 2)
    assert expected == _said(analysis)


def test_counters_and_a_rule(tmp_path: Path) -> None:
    """What a rule drops is not conntrack's: the counter is compared with the others."""
    counters(tmp_path, drop=2)
    _rules(tmp_path, "tcp dport 81 drop")
    ruled = vanishing(connection(server="192.0.2.100:81"), 0, 1, 3)
    analysis = _silent(tmp_path, ruled, vanishing(connection(1), 5, 6))

    assert {"policy-drop", "conntrack-table-full"} == {i.cause for i in analysis.incidents}
    assert (2, 0) == (analysis.account.node, analysis.account.open)


@pytest.mark.parametrize(
    ("rule", "cause"),
    [
        ("tcp dport 80 drop", "policy-drop"),
        ("ip saddr 10.244.0.0/24 tcp dport 80 counter reject", "policy-reject"),
        ("tcp dport 81 drop", None),
        ("tcp dport 80 accept", None),
        ("tcp dport 80 numgen random mod 2 0 drop", None),
    ],
)
def test_rules(rule: str, cause: str | None, tmp_path: Path) -> None:
    """A rule that matches for certain decides; another port, acceptance and chance leave it open."""
    _rules(tmp_path, rule)
    analysis = _silent(tmp_path, vanishing(connection(), 0, 1, 3))

    assert (([cause], 1, 0) if cause else ([], 0, 1)) == _said(analysis)


def test_what_was_answered_is_not_dropped(tmp_path: Path) -> None:
    """A rule that is listed now need not have been there then."""
    _rules(tmp_path, "tcp dport 80 drop")
    talk = connection()
    talk.syn(0)
    talk.accept()
    for sent in talk.sent:
        sent.missed_at("eth0")

    assert ([], 0, 0) == _said(_silent(tmp_path, talk))


def test_a_filter_on_one_port(tmp_path: Path) -> None:
    """An uplink that has one service's packets only, rules that accept, no drop counted: not a loss."""
    counters(tmp_path)
    _rules(tmp_path, "tcp dport 81 drop")
    analysis = analyze(record(tmp_path, bystander(-5), vanishing(connection(), 0, 1, 3), bystander(40)))

    assert ([], 0, 1) == _said(analysis)
    assert {"filtered": 1} == analysis.account.why_unknown
