"""A flow's sequence numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import Analysis, analyze
from analyzer.plot import sequence
from analyzer.plot.segments import _unwrapped
from tests.conversation import Conversation, bystander, record


def flow(analysis: Analysis, point: str = "veth-a") -> dict[str, object]:
    """The lossy connection's flow."""
    flows = analysis.flows
    return dict(flows[flows["point"] == point].iloc[0])


def segments(ax: object) -> list[tuple[float, float]]:
    """First byte and end of each bar."""
    (bars,) = ax.collections  # type: ignore[attr-defined]
    return [(path[0][1], path[1][1]) for path in bars.get_segments()]


def test_the_side_that_sent_more(lossy: Analysis) -> None:
    """By default the one with more bytes; SYN and data lie end to end."""
    ax = sequence(lossy, flow(lossy))

    assert "bytes of the answering side" == ax.get_ylabel()
    assert [(0, 1), (1, 1001), (1001, 1501)] == [s for s in segments(ax) if s[0] != s[1]]
    assert "bytes of the opening side" == sequence(lossy, flow(lossy), reply=False).get_ylabel()


def test_sent_again(tmp_path: Path) -> None:
    """What the point has seen before is another colour; three SYNs are no data sent again."""
    talk = Conversation(
        pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024", isn=2**32 - 60
    )
    talk.syn(0)
    talk.accept()
    again = talk.data(100)
    talk.reply(50)
    analysis = analyze(record(tmp_path / "once", talk, bystander(-1), bystander(5)))
    once = sequence(analysis, flow(analysis), reply=False)
    talk.send(again.flags, again.payload, seq=again.seq, at=3.0)
    analysis = analyze(record(tmp_path / "twice", talk, bystander(-1), bystander(5)))
    twice = sequence(analysis, flow(analysis), reply=False)

    assert ["sent", "acknowledged"] == [t.get_text() for t in once.get_legend().get_texts()]
    assert ["sent", "sent again", "acknowledged"] == [t.get_text() for t in twice.get_legend().get_texts()]


def test_a_side_that_sent_nothing(tmp_path: Path) -> None:
    """Nothing of it is drawn, and nothing fails."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    talk.syn(0)
    analysis = analyze(record(tmp_path, talk, bystander(-1), bystander(5)))
    ax = sequence(analysis, flow(analysis), reply=True)

    assert (0, None) == (len(ax.collections), ax.get_legend())


def test_udp(tmp_path: Path) -> None:
    """What has no sequence numbers is told so."""
    talk = Conversation(pod="10.244.0.11:53000", server="192.0.2.100:53", nat="192.0.2.10:53000", proto="udp")
    talk.data(45, 2)
    analysis = analyze(record(tmp_path, talk))
    (text,) = sequence(analysis, flow(analysis)).texts

    assert "Only TCP has sequence numbers." == text.get_text()


def test_no_such_flow(lossy: Analysis) -> None:
    """A row of nothing is a KeyError."""
    with pytest.raises(KeyError):
        sequence(lossy, {"point": "veth-a", "flow": 99})


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(-(2**31), 2**31 - 1)))
def test_unwrapped(first: int, steps: list[int]) -> None:
    """However often 2**32 is passed, the distance from packet to packet is what it was."""
    numbers = np.cumsum([0, *steps]) + first
    found = _unwrapped((numbers % 2**32).astype(np.uint32), first)

    assert [0, *np.cumsum(steps)] == found.tolist()
