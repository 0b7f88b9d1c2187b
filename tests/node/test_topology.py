"""The order of the points: by their names, by the traffic, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from analyzer.node import topology
from tests.conversation import Conversation, bystander, record
from tests.golden import ROOT


def roles(analysis: Analysis) -> dict[str, str]:
    """Point to role."""
    return {point.name: point.role for point in analysis.capture_points}


def gaps(analysis: Analysis) -> set[tuple[str, str]]:
    """The gaps that were looked at."""
    assert analysis.scene is not None
    return {gap.names for gap in analysis.scene.gaps}


def test_neighbours_by_name(tmp_path: Path) -> None:
    """Every veth with the bridge, the bridge with every uplink; nothing across."""
    talks = [bystander(0), bystander(1, "veth-b cni0 | eth1")]

    assert {("veth-z", "cni0"), ("veth-b", "cni0"), ("cni0", "eth0"), ("cni0", "eth1")} == gaps(
        analyze(record(tmp_path, *talks))
    )


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (("veth-z", "eth0"), {("veth-z", "eth0")}),
        (("cni0", "eth0"), {("cni0", "eth0")}),
        (("veth-z", "cni0"), {("veth-z", "cni0"), ("cni0", "uplink")}),
        (("eth0",), {("inside", "eth0")}),
    ],
)
def test_a_layer_that_was_not_captured(
    points: tuple[str, ...], expected: set[tuple[str, str]], tmp_path: Path
) -> None:
    """The next layer that was captured is the neighbour."""
    assert expected == gaps(analyze(record(tmp_path, bystander(0), points=points)))


def test_two_points_without_names(tmp_path: Path) -> None:
    """Inside and outside of the NAT are told by TTL and translation."""
    names = {"cni0": "x", "eth0": "a"}
    analysis = analyze(record(tmp_path, bystander(0), bystander(1), points=("cni0", "eth0"), names=names))

    assert "uplink" == roles(analysis)["a"]
    assert roles(analysis)["x"] in ("pod", "bridge")


def renamed(fixture: str, folder: Path) -> Analysis:
    """Analyse a shipped bundle's captures alone, under names that tell nothing; `a` is that of the first in the alphabet."""
    folder.mkdir(exist_ok=True)
    for letter, path in zip("abcdefg", sorted((ROOT / "fixtures" / fixture).glob("*.pcap")), strict=False):
        (folder / f"{letter}.pcap").write_bytes(path.read_bytes())
    return analyze(folder)


@pytest.mark.parametrize(
    ("fixture", "expected", "gap"),
    [
        # cni0, eth0, flannel.1, veth1, veth2
        ("policy-drop-tunnel", ("bridge", "uplink", "tunnel", "pod", "pod"), ("c", "b")),
        # cni0, eth0, and two pods, the second of which never had an answer from outside
        ("policy-reject", ("bridge", "uplink", "pod", "pod"), ("a", "b")),
        # two pods without a bridge, and eth0
        ("policy-drop-local", ("pod", "pod", "uplink"), ("a", "b")),
    ],
)
def test_names_that_tell_nothing(
    fixture: str, expected: tuple[str, ...], gap: tuple[str, str], tmp_path: Path
) -> None:
    """Packets that nobody had before are a pod's, those in another point's tunnel a tunnel's; the place is as with names."""
    analysis = renamed(fixture, tmp_path / fixture)

    assert expected == tuple(role for _, role in sorted(roles(analysis).items()))
    assert {gap} == {incident.gap for incident in analysis.incidents}


def test_reply_direction_does_not_confuse(tmp_path: Path) -> None:
    """A node that is mostly called from outside has its points in the same order."""
    talks = []
    for n in range(5):
        talk = Conversation(
            pod="10.244.0.11:80", server=f"198.51.100.7:{1000 + n}", nat="192.0.2.10:30080", isn=n * 99_999
        )
        talk.send("S", by_pod=False, at=n, seq=n * 7)
        talk.send("SA")
        talks.append(talk)
    analysis = analyze(record(tmp_path, *talks, points=("cni0", "eth0"), names={"cni0": "x", "eth0": "a"}))

    assert "uplink" == roles(analysis)["a"]


def test_the_users_word(tmp_path: Path) -> None:
    """A role that the user gives is not questioned."""
    record(tmp_path, bystander(0), points=("cni0", "eth0"), names={"cni0": "x", "eth0": "a"})
    analysis = analyze(tmp_path, roles={"x": "uplink", "a": "bridge"})

    assert {"x": "uplink", "a": "bridge"} == roles(analysis)
    assert {("a", "x")} == gaps(analysis)


@pytest.mark.parametrize("exchanged", [("veth-a", "eth0"), ("cni0", "eth0"), ("veth-a", "cni0"), ()])
@pytest.mark.parametrize("named", [True, False])
def test_names_that_the_packets_contradict(exchanged: tuple[str, str], named: bool, tmp_path: Path) -> None:
    """Two captures have each other's name, or were given each other's role: the losses are where they are all the same."""
    talks = []
    for n, veth in enumerate(("veth-a", "veth-b", "veth-a", "veth-b")):
        ends = {"pod": f"10.244.0.{11 + n % 2}:{20000 + n}", "nat": f"192.0.2.10:{30000 + n}"}
        talk = Conversation(**ends, server="192.0.2.100:80", way=f"{veth} cni0 | eth0", isn=1000 * n)
        if n == 2:
            talk.syn(n).lost_after("cni0")
        talk.syn(n + 1)
        talk.accept()
        talks.append(talk)
    folder = record(tmp_path, bystander(-5), *talks, bystander(40))
    given = {}
    if exchanged and named:
        one, other = (folder / f"{name}.pcap" for name in exchanged)
        aside = other.rename(folder / "aside")
        one.rename(other)
        aside.rename(one)
    elif exchanged:
        usual = {"veth-a": "pod", "cni0": "bridge", "eth0": "uplink"}
        given = dict(zip(exchanged, [usual[name] for name in reversed(exchanged)], strict=True))
    analysis = analyze(folder, roles=given)

    assert [("cni0", "eth0")] == [incident.gap for incident in analysis.incidents]
    assert bool(exchanged) == any("it is taken for" in caveat for caveat in analysis.caveats)


def test_a_point_that_nothing_places(tmp_path: Path) -> None:
    """A capture that shares nothing with the others is left out, and that is said."""
    stranger = Conversation(pod="10.9.9.9:1", server="10.9.9.8:2", way="mystery", isn=5)
    stranger.syn(0)
    stranger.accept()
    analysis = analyze(record(tmp_path, bystander(0), stranger))

    assert "unknown" == roles(analysis)["mystery"]
    assert any(
        caveat.startswith("mystery: neither its name nor its traffic tells") for caveat in analysis.caveats
    )


@pytest.mark.parametrize(("most", "placed"), [(1, False), (2, True)])
def test_too_many_points_to_compare(
    most: int, placed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than so many without a name that tells are left out, each of them, which is said once; so many are guessed."""
    monkeypatch.setattr(topology, "MOST_GUESSED", most)
    names = {"cni0": "x", "eth0": "a"}
    analysis = analyze(record(tmp_path, bystander(0), bystander(1), points=("cni0", "eth0"), names=names))

    assert placed == (set(roles(analysis).values()) != {"unknown"})
    assert placed == bool(gaps(analysis))
    assert (not placed) == any("the names of 2 points do not tell" in says for says in analysis.caveats)
