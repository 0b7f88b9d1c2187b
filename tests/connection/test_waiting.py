"""A connection that waited in a queue of this node was delayed by it, and nothing of it was lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.connection.told import connections, judged, one, out
from tests.conversation import Conversation


def _repeated(point: str, seconds: float) -> Conversation:
    """A SYN, its repetition after a second, and the answer; the first one waits before a point."""
    talk = out()
    talk.syn(0).queued(point, seconds)
    talk.syn(1).queued(point, max(0.0, seconds - 0.9))
    talk.accept(at=seconds + 0.2)
    return talk


def test_a_queue_of_this_node(tmp_path: Path) -> None:
    """The SYN left so late that it had been repeated by then: without the wait the answer had come before."""
    analysis = judged(tmp_path, _repeated("eth0", 1.5))

    assert ("delayed", "node") == (one(analysis), one(analysis, "class"))
    assert () == analysis.incidents
    (waited,) = analysis.account.waited
    assert (("cni0", "eth0"), True, 1) == (waited.gap, waited.outward, waited.connections)
    assert 1.5 <= waited.longest / 1e9 < 1.6
    (wait,) = connections(analysis).waited.values()
    assert waited.gap == wait.gap


def test_the_answer_was_late_elsewhere(tmp_path: Path) -> None:
    """The near miss: the node took a tenth of a second, and the answer took longer all the same."""
    talk = out()
    talk.syn(0).queued("eth0", 0.1)
    talk.syn(1).queued("eth0", 0.1)
    talk.accept(at=1.5)
    analysis = judged(tmp_path, talk)

    assert ("delayed", "outside") == (one(analysis), one(analysis, "class"))
    assert () == analysis.account.waited


def test_without_the_point_beyond(tmp_path: Path) -> None:
    """Nobody can tell where it waited when only one point was captured."""
    talk = out(way="cni0")
    talk.syn(0)
    talk.syn(1)
    talk.accept()
    analysis = judged(tmp_path, talk)

    assert () == analysis.account.waited


@pytest.mark.parametrize(("second", "answer", "expected"), [(0.0, 1.02, "outside"), (0.9, 1.3, "node")])
def test_whose_answer_it_is(second: float, answer: float, expected: str, tmp_path: Path) -> None:
    """The first SYN left before it was repeated: an answer after the second one had left may be that one's."""
    talk = out()
    talk.syn(0).queued("eth0", 0.4)
    talk.syn(1).queued("eth0", second)
    talk.accept(at=answer)
    analysis = judged(tmp_path, talk)

    assert ("delayed", expected) == (one(analysis), one(analysis, "class"))
