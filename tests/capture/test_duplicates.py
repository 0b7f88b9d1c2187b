"""Packets that a point recorded twice are taken once; what merely repeats itself is not."""

from __future__ import annotations

from pathlib import Path

from analyzer import Analysis, analyze
from tests.conversation import Conversation, bystander, record


def _twice(path: Path, *, first: bool = True, every: int = 1) -> None:
    """Write each *every*-th record of a capture twice."""
    data = path.read_bytes()
    out, at, number = data[:24], 24, 0
    while at < len(data):
        end = at + 16 + int.from_bytes(data[at + 8 : at + 12], "little")
        out += data[at:end] * (2 if first and number % every == 0 else 1)
        at, number = end, number + 1
    path.write_bytes(out)


def _bundle(folder: Path) -> None:
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:20000")
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept()
    first = talk.data(500)
    talk.send("PA", first.payload, at=3, seq=first.seq)
    talk.send("A", by_pod=False)
    record(folder, talk, *(bystander(at) for at in (-5, 2, 20)))


def _told(analysis: Analysis) -> tuple[object, ...]:
    packets = {point.name: point.packets for point in analysis.capture_points}
    return analysis.counts, analysis.account, packets, [i.cause for i in analysis.incidents]


def test_each_packet_twice(tmp_path: Path) -> None:
    """A bond and its slave: everything is there twice, and all is as if it were there once."""
    _bundle(tmp_path / "once")
    _bundle(tmp_path / "twice")
    _twice(tmp_path / "twice" / "eth0.pcap")
    once, twice = analyze(tmp_path / "once"), analyze(tmp_path / "twice")

    assert _told(once) == _told(twice)
    assert ["eth0"] == [caveat.partition(":")[0] for caveat in twice.caveats if "recorded twice" in caveat]


def test_both_sides_of_the_gap(tmp_path: Path) -> None:
    """The same at the bridge as well."""
    _bundle(tmp_path / "once")
    _bundle(tmp_path / "twice")
    for point in ("eth0", "cni0"):
        _twice(tmp_path / "twice" / f"{point}.pcap")

    assert _told(analyze(tmp_path / "once")) == _told(analyze(tmp_path / "twice"))


def test_some_packets_twice(tmp_path: Path) -> None:
    """The near miss: a third of them is no mirror; nothing is left out."""
    _bundle(tmp_path)
    _twice(tmp_path / "eth0.pcap", every=3)

    assert not [caveat for caveat in analyze(tmp_path).caveats if "recorded twice" in caveat]


def test_a_retransmission_is_no_twin(tmp_path: Path) -> None:
    """Sent again, it has another IP ID: in a capture of retransmissions alone all of them are kept."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:20000")
    for at in range(8):
        talk.syn(at / 4)
    analysis = analyze(record(tmp_path, talk, points=("cni0", "eth0")))

    assert [8, 8] == [point.packets for point in analysis.capture_points]
    assert not [caveat for caveat in analysis.caveats if "recorded twice" in caveat]


def test_an_empty_capture(tmp_path: Path) -> None:
    """Nothing, or one packet, has no twins."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:20000")
    talk.syn(0).lost_after("cni0")
    analysis = analyze(record(tmp_path, talk, points=("cni0", "eth0")))

    assert not [caveat for caveat in analysis.caveats if "twice" in caveat]
