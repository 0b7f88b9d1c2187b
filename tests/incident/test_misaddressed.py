"""Frames to a station that nobody heard: the far end's silence proves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.packet import Packet

from analyzer import Analysis
from tests.conversation import GATEWAY, UPLINK, Conversation, Sent
from tests.incident.evidence import Frames, connection, judged, whole
from tests.incident.node import LINKS, told

NOBODY = "02:de:ad:00:00:01"


class Astray(Conversation):
    """What its sender's neighbour table takes to nobody."""

    __slots__ = ()

    def _macs(self, place: int, routed: bool) -> tuple[str, str]:
        near, far = super()._macs(place, routed)
        if self.points[place] == "eth0" and routed:
            return near, NOBODY
        return (NOBODY, far) if not self.nat else (near, far)


def silent(folder: Path, talk: Conversation, entry: str = "") -> Analysis:
    """Nobody answers, with this line of `ip neigh` in the bundle."""
    folder.mkdir(exist_ok=True)
    (folder / "ip-neigh.txt").write_text(f"198.51.100.9 dev eth0 lladdr 02:00:00:00:00:09 REACHABLE\n{entry}")
    for at in (0, 1, 3):
        talk.send("S", by_pod=bool(talk.nat), at=at, seq=talk.isn)
    return judged(folder, talk)


def astray(**changes: str) -> Conversation:
    """A connection out of the node whose frames on eth0 are for nobody."""
    plain = connection()
    return Astray(
        **{"pod": plain.pod, "server": plain.server, "nat": plain.nat, "way": plain.way, "isn": 7_000}
        | changes
    )


def test_an_entry_set_by_hand(tmp_path: Path) -> None:
    """The node's table has that station by hand, and it never sent a frame: nobody can tell whether it exists."""
    account = silent(tmp_path, astray(), f"192.0.2.1 dev eth0 lladdr {NOBODY} PERMANENT\n").account

    assert (0, {"station": 1}) == (account.outside, account.why_unknown)


@pytest.mark.parametrize(
    ("talk", "entry"),
    [
        (astray(), f"192.0.2.1 dev eth0 lladdr {NOBODY} REACHABLE\n"),
        (astray(), f"192.0.2.1 dev eth1 lladdr {NOBODY} PERMANENT\n"),
        (connection(), f"192.0.2.1 dev eth0 lladdr {GATEWAY} PERMANENT\n"),
    ],
    ids=["it answered ARP", "of another interface", "it sends frames"],
)
def test_near_misses(talk: Conversation, entry: str, tmp_path: Path) -> None:
    """A router with a virtual address never sends from it; an entry by hand may be right."""
    account = silent(tmp_path, talk, entry).account

    assert (1, {}) == (account.outside, account.why_unknown)


@pytest.mark.parametrize(("answered", "expected"), [(False, (0, {"station": 1})), (True, (1, {}))])
def test_a_sender_that_is_asked_for(
    answered: bool, expected: tuple[int, dict[str, int]], tmp_path: Path
) -> None:
    """A pod's own address, untranslated, that nobody answers for: the far end, which asks for it, cannot answer either."""
    talk = connection()
    talk.nat = talk.pod
    for at in (0, 1, 3):
        talk.syn(at)
    asks = Frames().asks(
        talk.pod.split(":")[0], 0.0001, 1.1, 2.1, by="192.0.2.100", mac=GATEWAY, answered=answered
    )
    account = judged(tmp_path, talk, asks).account

    assert expected == (account.outside, account.why_unknown)


def test_a_pod_that_sends_from_another(tmp_path: Path) -> None:
    """Frames for a pod are for another station than its own packets come from: it never got them."""
    known = connection(0, pod="10.244.0.11:30000", nat="192.0.2.10:30000", isn=900)
    known.syn(-3)
    known.accept()
    talk = astray(pod="10.244.0.11:80", server="198.51.100.7:4000", nat=None)  # type: ignore[arg-type]
    for at in (0, 1, 3):
        talk.send("S", by_pod=False, at=at, seq=50)
    account = judged(tmp_path, talk, known).account

    assert (0, {"station": 1}) == (account.outside, account.why_unknown)


@pytest.mark.parametrize(
    ("whom", "answered", "expected"),
    [
        ("192.0.2.10", False, (0, {"station": 1})),
        ("192.0.2.10", True, (1, {})),
        ("192.0.2.55", False, (1, {})),
    ],
    ids=["the node is deaf", "it answers", "somebody else's address"],
)
def test_an_uplinks_own_address(
    whom: str, answered: bool, expected: tuple[int, dict[str, int]], tmp_path: Path
) -> None:
    """The router asks for the uplink's address, and a strict rp_filter drops the request: answers may wait for it."""
    told(tmp_path, **{"ip-addr": LINKS})
    talk = connection(nat="192.0.2.20:20000")
    for at in (0, 1, 3):
        talk.syn(at)
    asks = Frames().asks(whom, 0.0001, 1.1, 2.1, by="192.0.2.1", mac=GATEWAY, answered=answered)
    account = judged(tmp_path, talk, asks).account

    assert expected == (account.outside, account.why_unknown)


def asks(
    way: str, *, taken: bool, source: str = "10.244.0.11", server: str = "198.51.100.7:53"
) -> Conversation:
    """A pod's lookups leave, and are answered; whether its own interface sees the answers."""
    talk = Conversation(
        pod=f"{source}:20001", server=server, nat="192.0.2.10:20001", way=f"{way} cni0 | eth0", proto="udp"
    )
    for at in (0, 1, 2):
        talk.data(b"asks", at)
        reply = talk.reply(b"told", at + 0.01)
        if not taken:
            reply.missed_at(way)
    return talk


class Twin(Conversation):
    """A pod's, whose interface has a station of its own although its address is another's."""

    __slots__ = ()

    def _macs(self, place: int, routed: bool) -> tuple[str, str]:
        near, far = super()._macs(place, routed)
        return (near if routed else NOBODY), far


@pytest.mark.parametrize(
    ("source", "expected"),
    [("10.244.0.11", (0, {"station": 1})), ("10.244.0.12", (1, {}))],
    ids=["one address", "two addresses"],
)
def test_two_pods_with_one_address(source: str, expected: tuple[int, dict[str, int]], tmp_path: Path) -> None:
    """What is sent to the address gets to one of them: what the other asked for in vain did not fail at the peer."""
    first = connection(0, pod="10.244.0.11:30000", nat="192.0.2.10:30000", isn=900)
    first.syn(-3)
    first.accept()
    second = Twin(
        pod=f"{source}:20001", server="198.51.100.7:80", nat="192.0.2.10:20001", way="veth-b cni0 | eth0"
    )
    for at in (0, 1, 3):
        second.syn(at)
    account = judged(tmp_path, first, second).account

    assert expected == (account.outside, account.why_unknown)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (f"10.244.0.11 dev cni0 lladdr {NOBODY} PERMANENT\n", (0, {"station": 1})),
        (f"10.244.0.12 dev cni0 lladdr {NOBODY} PERMANENT\n", (1, {})),
        ("10.244.0.11 dev cni0 FAILED\n", (1, {})),
        ("", (1, {})),
    ],
    ids=["another's", "another address", "none", "no table"],
)
def test_a_pod_whose_entry_has_another_station(
    entry: str, expected: tuple[int, dict[str, int]], tmp_path: Path
) -> None:
    """The bridge floods answers for a station that nobody has: the pod's interface shows them, and the pod does not take them."""
    told(tmp_path, **{"ip-neigh": f"192.0.2.1 dev eth0 lladdr {GATEWAY} REACHABLE\n{entry}"})
    account = judged(tmp_path, asks("veth-a", taken=True)).account

    assert expected == (account.worked - 2, account.why_unknown)


@pytest.mark.parametrize(
    ("station", "expected"),
    [(NOBODY, (0, 1)), ("00:00:5e:00:01:07", (1, 0)), (UPLINK, (1, 0))],
    ids=["another host's", "a virtual router's", "the node's own"],
)
def test_answers_for_another_station(station: str, expected: tuple[int, int], tmp_path: Path) -> None:
    """What an uplink saw in frames to another station never arrived: another host has the node's address."""

    class Away(Conversation):
        """Its answers are in frames to that station."""

        __slots__ = ()

        def _frame(self, packet: Sent, place: int, payload: bytes, skip: int) -> Packet:
            frame = super()._frame(packet, place, payload, skip)
            if not packet.outward and self.points[place] == "eth0":
                frame.dst = station
            return frame

    plain = connection()
    talk = Away(pod=plain.pod, server=plain.server, nat=plain.nat, way=plain.way, isn=plain.isn)
    for at in (0, 1, 3):
        talk.syn(at)
        talk.synack(at + 0.01).lost_after("eth0")
    analysis = judged(tmp_path, talk, whole(connection(1), 5))

    assert expected == (analysis.account.node, analysis.account.outside)
    told = [trait.code for trait in analysis.outside.traits] if analysis.outside else []
    assert (expected[1] == 1) == ("another-station" in told)
