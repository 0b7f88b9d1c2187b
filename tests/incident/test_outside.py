"""What failed outside the node, and what the unanswered have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analyzer import analyze
from analyzer.incident.model import Outside
from tests.conversation import Conversation, bystander, encapsulated, record

FAR = "198.51.100.61:443"


def talk(
    port: int, server: str = FAR, *, answered: bool = False, at: float = 0.0, **given: Any
) -> Conversation:
    """A connection that leaves the node, answered or not."""
    port_outside = given.pop("outside", port)
    tsval = given.pop("tsval", None)
    ends = {"pod": f"10.244.0.11:{port}", "nat": f"192.0.2.10:{port_outside}"}
    made = Conversation(server=server, **{**ends, **given})
    for wait in (0.0, 1.0, 3.0) if not answered else (0.0,):
        if tsval:
            made.send("S", at=at + wait, seq=made.isn, options=[("MSS", 1460), ("Timestamp", (tsval, 0))])
        else:
            made.syn(at + wait)
    if answered:
        made.accept()
        made.data(100)
        made.reply(100)
    return made


def told(folder: Path, *talks: Conversation) -> Outside | None:
    """What is told of these, between others that worked."""
    return analyze(record(folder, *talks, bystander(-1), bystander(30))).outside


def codes(outside: Outside | None) -> dict[str, int]:
    """The traits, each with its connections."""
    assert outside is not None
    return {trait.code: trait.connections for trait in outside.traits}


def test_nothing_failed(tmp_path: Path) -> None:
    """Where everything worked nothing is told."""
    assert told(tmp_path, talk(40_000, answered=True)) is None


def test_who_and_when(tmp_path: Path) -> None:
    """Destinations with what failed and what worked, the pods, the times, a ladder, and where to record next."""
    outside = told(tmp_path, talk(40_000), talk(40_001, at=0.5), talk(40_002, answered=True, at=9))

    assert outside is not None
    (one,) = outside.destinations
    assert (FAR, 2, 1, {"timed-out": 2}) == (one.name, one.connections, one.worked, one.outcomes)
    assert (("10.244.0.11", 2),) == outside.sources
    assert outside.first == one.first < one.last
    assert outside.example is not None
    assert outside.example.passages
    assert outside.advice is not None
    assert "198.51.100.61" in outside.advice.next
    assert "host 192.0.2.10 and port 443" in outside.advice.command


def test_one_destination(tmp_path: Path) -> None:
    """All go to one address while others work; a single connection is no pattern."""
    outside = told(tmp_path / "two", talk(40_000), talk(40_001, at=0.1))

    assert ["all go to 198.51.100.61, while connections to other destinations worked"] == [
        one.says
        for one in outside.traits
        if one.code == "one-destination"  # type: ignore[union-attr]
    ]
    assert "one-destination" not in codes(told(tmp_path / "one", talk(40_000)))


def test_the_only_destination(tmp_path: Path) -> None:
    """Where nobody asked another address, that all go to this one says nothing; another port of it is the same address."""
    talks = [talk(40_000), talk(40_001, at=0.1), talk(40_002, "198.51.100.61:80", answered=True, at=5)]

    assert "one-destination" not in codes(analyze(record(tmp_path, *talks)).outside)


def test_two_destinations(tmp_path: Path) -> None:
    """Two addresses that do not answer are not one."""
    assert "one-destination" not in codes(
        told(tmp_path, talk(40_000), talk(40_001, "198.51.100.62:443", at=0.1))
    )


def test_low_source_ports(tmp_path: Path) -> None:
    """The unanswered left from ports that Linux does not pick by itself, those that worked did not."""
    talks = [talk(40_000 + n, outside=1_024 + n, at=0.1 * n) for n in range(3)]
    talks += [talk(41_000 + n, answered=True, at=8 + 0.1 * n) for n in range(3)]

    assert {"low-source-port": 3, "one-destination": 3} == codes(told(tmp_path, *talks))


def test_low_source_ports_that_work(tmp_path: Path) -> None:
    """Where others with such ports are answered, the port is no trait."""
    talks = [talk(40_000 + n, outside=1_024 + n, at=0.1 * n) for n in range(3)]
    talks += [talk(41_000 + n, outside=2_024 + n, answered=True, at=8 + 0.1 * n) for n in range(9)]

    assert "low-source-port" not in codes(told(tmp_path, *talks))


@pytest.mark.parametrize(("setting", "first", "expected"), [("", 32_768, False), ("", 32_763, True),
    ("1024\t60999", 1_024, False), ("1025\t60999", 1_020, True), ("40000 60999", 39_000, True)])  # fmt: skip
def test_the_nodes_own_range_of_ports(setting: str, first: int, expected: bool, tmp_path: Path) -> None:
    """It begins where the node's setting says; the lowest port is no low one."""
    (tmp_path / "sysctl.txt").write_text(f"net.ipv4.ip_local_port_range = {setting}\n" if setting else "\n")
    talks = [
        talk(40_000 + n, f"198.51.100.{n}:443", outside=first + n * expected, at=0.1 * n) for n in range(5)
    ]
    talks += [talk(61_000 + n, answered=True, at=8 + 0.1 * n) for n in range(3)]
    found = [one.says for one in told(tmp_path, *talks).traits if one.code == "low-source-port"]  # type: ignore[union-attr]

    assert expected == bool(found)
    assert all(one.startswith("5 of 5 unanswered (and 0 of 5 that worked) left with") for one in found)
    assert all(("ip_local_port_range" if setting else "Linux' usual range") in one for one in found)


@pytest.mark.parametrize(("server", "expected"), [("2001:db8:9::1", True), ("fd00:9::1", False)])
def test_unique_local_sources(server: str, expected: bool, tmp_path: Path) -> None:
    """An fd00::/8 source finds no way back from outside, but may from another such network (RFC 4193)."""
    talks = [
        talk(40_000 + n, f"[{server}]:443", pod=f"[fd00:1::11]:{40_000 + n}", nat=f"[fd00:2::10]:{40_000 + n}", at=0.1 * n)
        for n in range(4)
    ]  # fmt: skip

    assert expected == ("unroutable-source" in codes(told(tmp_path, *talks)))


def test_low_source_ports_by_chance(tmp_path: Path) -> None:
    """Of two unanswered both have what a third of the others has: that happens; of five it does not."""
    worked = [
        talk(41_000 + n, outside=(2_024, 45_000, 50_000)[n % 3] + n, answered=True, at=8 + 0.1 * n)
        for n in range(9)
    ]
    for count, expected in ((2, False), (5, True)):
        talks = [talk(40_000 + n, outside=1_024 + n, at=0.1 * n) for n in range(count)]

        assert expected == ("low-source-port" in codes(told(tmp_path / str(count), *talks, *worked)))


def test_older_timestamps(tmp_path: Path) -> None:
    """Behind one address two pods' clocks alternate: the server drops the lower ones (PAWS)."""
    talks = []
    for n in range(3):
        talks.append(talk(40_000 + n, answered=True, at=10.0 * n, tsval=900_000_000 + 1_000 * n))
        talks.append(talk(41_000 + n, at=10.0 * n + 2, tsval=5_000_000 + 1_000 * n))

    (trait,) = (one for one in told(tmp_path, *talks).traits if one.code == "older-timestamp")  # type: ignore[union-attr]
    assert 3 == trait.connections
    assert trait.says.startswith("3 of 3 unanswered SYNs carry a lower")
    assert "0 of 3 that worked" in trait.says


@pytest.mark.parametrize(
    ("server", "told_"), [(FAR, {"older-timestamp": 3}), (FAR[:-1] + "4", {}), ("198.51.100.62:443", {})]
)
def test_an_older_timestamp_that_was_answered(server: str, told_: dict[str, int], tmp_path: Path) -> None:
    """It lowers nobody's mark; to another port or address none is compared."""
    given = enumerate((900_000_000, 900_001_000, 5_000_000))
    talks = [talk(40_000 + n, answered=True, at=3.0 * n, tsval=tsval) for n, tsval in given]
    talks += [talk(41_000 + n, server, at=12.0 + n, tsval=6_000_000 + n) for n in range(3)]

    assert {**told_, "one-destination": 3} == codes(told(tmp_path, *talks))


@pytest.mark.parametrize("later", [0, 2_000])
def test_newer_timestamps(later: int, tmp_path: Path) -> None:
    """Timestamps that grow, or are the same, are no reason."""
    talks = []
    for n in range(3):
        talks.append(talk(40_000 + n, answered=True, at=10.0 * n, tsval=900_000_000 + 10_000 * n))
        talks.append(talk(41_000 + n, at=10.0 * n + 2, tsval=900_000_000 + later + 10_000 * n))

    assert "older-timestamp" not in codes(told(tmp_path, *talks))


@pytest.mark.parametrize(
    ("answered", "says"),
    [
        (False, "no public network leads back to a private one"),
        (True, "perhaps nobody outside knows a way back"),
    ],
)
def test_untranslated_sources(answered: bool, says: str, tmp_path: Path) -> None:
    """What leaves with the pod's own address has no way back, where what is translated works; unless one of it did."""
    talks = [talk(40_000 + n, nat=None, at=0.1 * n) for n in range(5)]
    talks += [talk(41_000 + n, answered=True, at=8 + 0.1 * n) for n in range(3)]
    talks += [talk(42_000, nat=None, answered=True, at=9)] * answered
    outside = told(tmp_path, *talks)

    assert {"unroutable-source": 5, "one-destination": 5} == codes(outside)
    assert outside.traits[0].says.endswith(says)  # type: ignore[union-attr]


def test_older_timestamps_that_are_answered(tmp_path: Path) -> None:
    """Where most of the answered carry a lower one as well, the server does not mind."""
    tsvals = [900_000_000, 5_000_000, 4_000_000, 3_000_000]
    talks = [talk(40_000 + n, answered=True, at=3.0 * n, tsval=tsval) for n, tsval in enumerate(tsvals)]
    talks += [talk(41_000 + n, at=15.0 + n, tsval=2_000_000) for n in range(3)]

    assert "older-timestamp" not in codes(told(tmp_path, *talks))


def test_untranslated_in_a_tunnel(tmp_path: Path) -> None:
    """Another node's pod is asked through VXLAN: the tunnel's ends are what has to be routed."""
    folder = record(tmp_path, *(talk(40_000 + n, nat=None, at=0.1 * n) for n in range(4)))
    encapsulated(folder / "eth0.pcap")
    outside = analyze(folder).outside
    assert outside is not None
    assert 4 == outside.unanswered
    assert "unroutable-source" not in codes(outside)


def test_a_private_source_and_a_public_destination(tmp_path: Path) -> None:
    """Where nothing at all is translated nothing works beside it: that no way leads back is certain, and one is enough."""
    private = "10.96.7.140:443"

    outside = analyze(record(tmp_path / "a", talk(40_000, nat=None))).outside

    assert ": no public network leads back to a private one" == outside.traits[0].says[-47:]  # type: ignore[union-attr]
    assert "unroutable-source" not in codes(
        analyze(record(tmp_path / "b", talk(40_000, private, nat=None))).outside
    )
    outside = analyze(record(tmp_path / "c", talk(40_000))).outside
    assert "unroutable-source" not in codes(outside)
    assert "host 192.0.2.10 and port 443" in outside.advice.command  # type: ignore[operator, union-attr]


def test_what_never_left_is_not_asked_how_it_did(tmp_path: Path) -> None:
    """A pod of the node that does not answer: that the others' ports are low by the bridge says nothing of a firewall outside."""
    ends = {"server": "10.244.0.12:80", "way": "veth-a cni0 veth-b", "nat": None}
    talks = [talk(1_024 + n, at=0.1 * n, isn=n * 99_991, **ends) for n in range(5)]
    around = [
        Conversation(pod="10.244.0.12:9000", server=FAR, nat="192.0.2.10:50000", way="veth-b cni0 | eth0")
    ]
    around[0].syn(-3)
    around[0].accept()
    outside = told(tmp_path, *talks, *around)

    assert 5 == outside.unanswered  # type: ignore[union-attr]
    assert {"one-destination": 5} == codes(outside)


@pytest.mark.parametrize(
    ("large", "small", "expected"), [(1_400, 60, True), (600, 60, False), (1_300, 1_350, False)]
)
def test_only_large_ones(large: int, small: int, expected: bool, tmp_path: Path) -> None:
    """Large datagrams get no answer, small ones do; what every link passes is not large, nor what answered ones exceed."""
    talks = []
    for n in range(4):
        made = Conversation(
            pod=f"10.244.0.11:{40_000 + n}",
            server="198.51.100.53:53",
            nat=f"192.0.2.10:{40_000 + n}",
            proto="udp",
        )
        made.send(payload=large if n % 2 else small, at=float(n))
        if not n % 2:
            made.send(payload=60, by_pod=False)
        talks.append(made)

    outside = told(tmp_path, *talks)
    assert {**({"large-only": 2} if expected else {}), "one-destination": 2} == codes(outside)
    assert ["198.51.100.53:53/udp"] == [one.name for one in outside.destinations]  # type: ignore[union-attr]


def test_challenge_acks_are_answers(tmp_path: Path) -> None:
    """A SYN that an older connection's ACK answers is told as such, and not as unanswered."""
    made = talk(40_000)
    made.send("A", by_pod=False, ack=77, seq=9_000_000)
    outside = told(tmp_path, made)

    assert {"challenge-ack": 1} == codes(outside)
    assert outside is not None
    assert 0 == outside.unanswered
    assert outside.advice is None
