"""Attempts and losses over time."""

from __future__ import annotations

from pathlib import Path

from analyzer import Analysis, analyze
from analyzer.plot import attempts
from analyzer.plot.losses import BINS
from tests.conftest import Case, analysed
from tests.conversation import Conversation, bystander, record


def heights(ax: object) -> tuple[list[float], list[float]]:
    """The bars of what was sent, and of what vanished."""
    found = [bar.get_height() for bar in ax.patches]  # type: ignore[attr-defined]
    return found[:BINS], found[BINS:]


def test_bars_add_up(lossy: Analysis) -> None:
    """Every SYN is in one bar, however many points saw it; what vanished is never more than what was sent."""
    ax = attempts(lossy)
    sent, gone = heights(ax)

    assert (lossy.counts.syn_attempts, lossy.counts.syn_vanished) == (sum(sent), sum(gone)) == (5, 2)
    assert ["5 sent", "2 vanished"] == [text.get_text() for text in ax.get_legend().get_texts()]
    assert "SYNs per 100 ms" == ax.get_ylabel()


def test_real_captures(cases: dict[str, Case]) -> None:
    """Of a real incident the bars add up to what was counted."""
    analysis = analysed("table-full")
    for udp in (False, True):
        sent, gone = heights(attempts(analysis, udp=udp))
        counts = analysis.counts

        assert (counts.udp_requests if udp else counts.syn_attempts) == sum(sent)
        assert (counts.udp_vanished if udp else counts.syn_vanished) == sum(gone)


def test_requests_of_udp(tmp_path: Path) -> None:
    """UDP requests are asked for by name."""
    talk = Conversation(pod="10.244.0.11:53000", server="192.0.2.100:53", nat="192.0.2.10:53000", proto="udp")
    talk.data(45, 2)
    analysis = analyze(record(tmp_path, talk, bystander(-1), bystander(5)))

    assert [1, 0] == [sum(bars) for bars in heights(attempts(analysis, udp=True))]
    assert [2, 0] == [sum(bars) for bars in heights(attempts(analysis))]
