"""Packets that waited in a queue: they are themselves, not lost, however long it took."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from tests.conversation import Conversation, Sent, bystander, record

ENDS = {"tcp": "192.0.2.100:80", "udp": "192.0.2.53:53", "icmp": "192.0.2.100:0"}


def talk(n: int = 0, *, timestamps: bool = True, proto: str = "tcp", v6: bool = False) -> Conversation:
    """A connection out of the node."""
    if v6:
        return Conversation(
            pod=f"[2001:db8:1::11]:{20000 + n}",
            server="[2001:db8:2::100]:80",
            nat=f"[2001:db8::10]:{30000 + n}",
            isn=n * 99_991 + 5,
            timestamps=timestamps,
            proto=proto,
        )
    return Conversation(
        pod=f"10.244.0.11:{20000 + n}",
        server=ENDS[proto],
        nat=f"192.0.2.10:{30000 + n}",
        isn=n * 99_991 + 5,
        timestamps=timestamps,
        proto=proto,
    )


def analysed(folder: Path, *talks: Conversation) -> Analysis:
    """Analyse them among others."""
    return analyze(record(folder, bystander(-1), *talks, bystander(0.5), bystander(9)))


def pairs(analysis: Analysis) -> Iterator[tuple[int, int]]:
    """IP IDs at cni0 and eth0 of what was paired there."""
    gap = next(gap for gap in analysis.scene.gaps if gap.names == ("cni0", "eth0"))  # type: ignore[union-attr]
    partner = gap.in_outer.whole()
    for row, other in enumerate(partner.tolist()):
        if other >= 0:
            yield int(gap.inner.packets.ip_id[row]), int(gap.outer.packets.ip_id[other])


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("wait", [0.6, 1.3, 1.6, 4.0])
def test_a_syn_that_waited(wait: float, timestamps: bool, tmp_path: Path) -> None:
    """While a SYN waits in a queue the client sends it again: both got out, each at its own time, and nothing is lost."""
    one = talk(timestamps=timestamps)
    one.syn(0).queued("eth0", wait)
    if wait > 1:
        one.syn(1).queued("eth0", wait - 0.99)
    one.accept(wait + 0.05)
    analysis = analysed(tmp_path, one)

    assert 0 == analysis.counts.syn_vanished
    assert () == analysis.incidents
    assert all(here == there for here, there in pairs(analysis))


@pytest.mark.parametrize("timestamps", [True, False])
def test_one_of_two_is_lost(timestamps: bool, tmp_path: Path) -> None:
    """Of two SYNs of which one got out late, the other one was lost: each is told by its IP ID."""
    one = talk(timestamps=timestamps)
    one.syn(0).queued("eth0", 1.6)
    one.syn(1).lost_after("cni0")
    one.accept(1.7)
    analysis = analysed(tmp_path, one)

    assert all(here == there for here, there in pairs(analysis))
    assert 3 * 3 + 1 + 2 == len(list(pairs(analysis)))


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_never_answered(proto: str, v6: bool, tmp_path: Path) -> None:
    """A single request that waited and that nobody answered is the same at both points."""
    one = talk(proto=proto, v6=v6)
    send(one, 0).queued("eth0", 1.6)
    analysis = analysed(tmp_path, one)

    assert 0 == analysis.counts.syn_vanished + analysis.counts.udp_vanished


def test_really_lost(tmp_path: Path) -> None:
    """Beside others that waited, what was lost is lost."""
    late, lost = talk(1), talk(2)
    late.syn(0).queued("eth0", 1.6)
    late.accept(1.7)
    lost.syn(0.2).lost_after("cni0")
    lost.syn(1.2)
    lost.accept()
    analysis = analysed(tmp_path, late, lost)

    assert 1 == analysis.counts.syn_vanished


def test_the_capture_ended_while_it_waited(tmp_path: Path) -> None:
    """Where packets wait for 1.6 s, what came less than that before the end of the capture may be waiting still."""
    late, last = talk(1), talk(2)
    late.syn(0).queued("eth0", 1.6)
    late.accept(1.7)
    last.syn(8.0).lost_after("cni0")
    analysis = analysed(tmp_path, late, last)

    assert 0 == analysis.counts.syn_vanished
    assert 1 == analysed_lost(tmp_path / "quick", talk(1), 8.0).counts.syn_vanished


def analysed_lost(folder: Path, one: Conversation, at: float) -> Analysis:
    """Analyse one that loses its SYN then, where nothing waits."""
    one.syn(at).lost_after("cni0")
    return analysed(folder, one)


def send(one: Conversation, at: float) -> Sent:
    """Send a request."""
    return one.syn(at) if one.proto == "tcp" else one.data(b"where is it?", at)


def test_data_in_a_slow_queue_in_pieces(tmp_path: Path) -> None:
    """Segments that a shaper takes apart and that wait for 0.4 s are covered by their pieces."""
    one = talk()
    one.syn(0)
    one.accept()
    for _ in range(4):
        one.data(2800).in_pieces("eth0", 2).queued("eth0", 0.4)
    one.data(10, at=0.1).queued("eth0", 0.4)
    one.reply(10, at=0.6)
    gap = next(g for g in analysed(tmp_path, one).scene.gaps if g.names == ("cni0", "eth0"))  # type: ignore[union-attr]

    assert (gap.in_outer.whole() >= 0).all()
