"""Handshakes, gap by gap."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from analyzer.plot.handshakes import LINES, handshakes, latency
from tests.conversation import TRANSIT, Conversation, bystander, record


def test_lost_attempts_and_the_far_side_do_not_count(lossy: Analysis) -> None:
    """Each gap takes one transit each way; a retry three seconds later changes nothing."""
    table = handshakes(lossy)
    gaps = table.groupby("gap")["latency_s"]

    assert {"veth-a - cni0", "veth-z - cni0", "cni0 - eth0", "beyond eth0"} == set(gaps.groups)
    assert 3 == gaps.size()["cni0 - eth0"]
    for gap in ("veth-a - cni0", "veth-z - cni0", "cni0 - eth0"):
        assert gaps.get_group(gap).tolist() == pytest.approx([2 * TRANSIT / 1e9] * gaps.size()[gap])
    assert gaps.get_group("beyond eth0").max() < 1


def test_rows_name_their_flow(lossy: Analysis) -> None:
    """A row can be joined with the other tables."""
    flows = lossy.flows.set_index(["point", "flow"])
    for _, row in handshakes(lossy).iterrows():
        assert 6 == flows.loc[(row["point"], row["flow"]), "proto"]


def test_unanswered_is_no_handshake(tmp_path: Path) -> None:
    """A SYN without an answer has no latency."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    talk.syn(0)
    analysis = analyze(record(tmp_path, talk, bystander(5)))

    assert 1 == len(handshakes(analysis).query("gap == 'cni0 - eth0'"))


def test_a_line_for_each_gap(lossy: Analysis) -> None:
    """The legend says how many handshakes each line is of."""
    ax = latency(lossy)
    names = [text.get_text() for text in ax.get_legend().get_texts()]

    assert "cni0 - eth0: 3" in names
    assert len(names) == len(ax.lines)


def test_of_many_gaps_some_are_drawn(tmp_path: Path) -> None:
    """What is not drawn is counted."""
    talks = []
    for number in range(LINES + 2):
        pod = f"10.244.0.{20 + number}:20000"
        talks.append(
            Conversation(
                pod=pod,
                server="192.0.2.100:80",
                nat=f"192.0.2.10:{2000 + number}",
                way=f"veth-{'abcdefg'[number]} cni0 | eth0",
                isn=number * 10_000,
            )
        )
        talks[-1].syn(number)
        talks[-1].accept()
    ax = latency(analyze(record(tmp_path, *talks)))

    assert LINES == len(ax.lines)
    assert "4 further gaps not drawn" == ax.get_legend().get_title().get_text()


def test_of_many_handshakes_the_line_is_thinned(lossy: Analysis, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has no more steps than a screen shows, and begins and ends where the handshakes do."""
    whole = latency(lossy).lines
    monkeypatch.setattr("analyzer.plot.handshakes.STEPS", 2)
    for line, thin in zip(whole, latency(lossy).lines, strict=True):
        assert len(thin.get_xdata()) <= 3
        assert line.get_xdata()[-1] == pytest.approx(thin.get_xdata()[-1])
