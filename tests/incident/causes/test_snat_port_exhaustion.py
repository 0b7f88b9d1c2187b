"""Exhausted ports: recognised by ports that are all held when the packet is lost, and by attempts that go on failing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conversation import Conversation
from tests.incident.evidence import causes, connection, counters, findings, judged, vanishing, whole
from tests.incident.test_records import record as drop_record

CODE = "snat-port-exhaustion"
RULES = """table ip nat {{
	chain postrouting {{
		type nat hook postrouting priority 100; policy accept;
		oifname "eth0" meta l4proto {{ tcp, udp }} masquerade{to}
	}}
}}
"""


def holders(ports: int = 4, at: float = -4, **changes: str) -> list[Conversation]:
    """Connections of pod b that hold the ports from 40000 on."""
    return [
        whole(
            connection(1, **{"pod": f"10.244.0.12:{50000 + 7 * n}", "nat": f"192.0.2.10:{40000 + n}", "isn": 7 + n, **changes}),
            at + 0.01 * n,
        )
        for n in range(ports)
    ]  # fmt: skip


def refused(*times: float, **changes: str) -> Conversation:
    """A connection of pod a that finds no port."""
    return vanishing(connection(**changes), *(times or (0, 1, 3)))


def rules(folder: Path, to: str = " to :40000-40003") -> None:
    """Write the rule that gives ports."""
    folder.mkdir(exist_ok=True)
    (folder / "nft-ruleset.txt").write_text(RULES.format(to=to))


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_all_ports_of_the_rule_are_held(proto: str, tmp_path: Path) -> None:
    """The rule allows four ports, four live connections have them, and insert_failed rose by the lost attempts."""
    counters(tmp_path, insert_failed=3, drop=3)
    rules(tmp_path)
    (finding,) = findings(judged(tmp_path, *holders(proto=proto), refused(proto=proto)))

    assert (CODE, "proven", ("cni0", "eth0")) == (finding.cause, finding.confidence, finding.gap)
    assert (4, 4) == (finding.facts["ports"], finding.facts["taken"])
    assert "all 4 ports from 40000 to 40003" in finding.evidence[0].says
    assert "insert_failed rose by 3 and drop by 3; 3 requests vanished" == finding.evidence[1].says
    assert {"snat-port-race", "conntrack-table-full", "lost outside the node"} == {
        e.cause for e in finding.excluded
    }


def test_without_counters_the_rule_makes_it_likely(tmp_path: Path) -> None:
    """Nobody counted, but there was no port to give."""
    rules(tmp_path)

    assert [(CODE, "likely")] == [
        (f.cause, f.confidence) for f in findings(judged(tmp_path, *holders(), refused()))
    ]


@pytest.mark.parametrize("flags", ["", " random", " fully-random,persistent"])
def test_the_range_is_widened(flags: str, tmp_path: Path) -> None:
    """In place, whichever of its ports the rule gives; without the rule nobody knows which."""
    rules(tmp_path, " to :40000-40003" + flags)
    (finding,) = findings(judged(tmp_path, *holders(), refused()))

    assert f"masquerade to :1024-65535{flags}" in finding.remedies[0].command
    assert 3 == len(finding.remedies)


def test_a_record_proves_it(tmp_path: Path) -> None:
    """Nobody counted, but the kernel recorded that the packet died where its entry was to be inserted."""
    rules(tmp_path)
    talk = refused()
    drop_record(tmp_path, talk, 0, 1, 3, stack="POSTROUTING")
    (finding,) = findings(judged(tmp_path, *holders(), talk))

    assert (CODE, "proven") == (finding.cause, finding.confidence)
    assert "only this destination is affected" in [one.because for one in finding.excluded]


def test_without_rules_the_counters_make_it_likely(tmp_path: Path) -> None:
    """Ports in a row that are nobody's own, all live, and attempt after attempt fails."""
    counters(tmp_path, insert_failed=3, drop=3)

    assert [(CODE, "likely")] == [
        (f.cause, f.confidence) for f in findings(judged(tmp_path, *holders(), refused()))
    ]


def test_until_a_holder_ends(tmp_path: Path) -> None:
    """The next attempt gets the port that became free."""
    counters(tmp_path, insert_failed=3, drop=3)
    rules(tmp_path)
    held = holders()
    held[2].send("R", at=3.5)
    talk = refused()
    talk.nat = "192.0.2.10:40002"

    assert [CODE] == causes(judged(tmp_path, *held, whole(talk, 14)))


def test_connections_from_before_the_capture(tmp_path: Path) -> None:
    """Holders that were there already show by what they send."""
    rules(tmp_path)
    held = holders(at=-20)
    for talk in held:
        talk.data(100, 1)
        talk.reply()
    analysis = judged(
        tmp_path, *held, refused(), begin=dict.fromkeys(("veth-a", "veth-b", "cni0", "eth0"), -10)
    )

    assert [CODE] == causes(analysis)


def test_holders_that_are_silent_for_minutes(tmp_path: Path) -> None:
    """What is established holds its port for days."""
    rules(tmp_path)

    assert [CODE] == causes(judged(tmp_path, *holders(at=-300), refused()))


def test_a_service(tmp_path: Path) -> None:
    """The ports are held towards the endpoint that the service leads to."""
    counters(tmp_path, insert_failed=3, drop=3)
    service = {"server": "10.96.0.1:80", "dnat": "192.0.2.100:8080"}

    assert [CODE] == causes(judged(tmp_path, *holders(**service), refused(**service)))


def _one_free(folder: Path) -> list[Conversation]:
    rules(folder)
    return [*holders(3), refused()]


def _one_reset(folder: Path) -> list[Conversation]:
    rules(folder)
    held = holders(at=-20)
    held[1].send("R", at=-15)
    return [*held, refused()]


def _one_closed(folder: Path) -> list[Conversation]:
    rules(folder)
    held = holders(at=-300)
    held[3].send("FA", at=-200)
    held[3].send("FA", by_pod=False)
    held[3].send("A")
    return [*held, refused()]


def _held_later(folder: Path) -> list[Conversation]:
    rules(folder)
    return [*holders(3), *holders(4, at=10)[3:], refused()]


def _to_another_server(folder: Path) -> list[Conversation]:
    rules(folder)
    return [*holders(server="192.0.2.101:80"), refused()]


def _of_another_protocol(folder: Path) -> list[Conversation]:
    rules(folder)
    return [*holders(proto="udp"), refused()]


def _kept_ports(folder: Path) -> list[Conversation]:
    return [whole(connection(n), -4 + 0.01 * n) for n in range(1, 4)] + [refused(nat="192.0.2.10:20000")]


def _scattered(folder: Path) -> list[Conversation]:
    held = holders()
    held[0].nat = "192.0.2.10:51111"
    return [*held, refused()]


def _one_holder(folder: Path) -> list[Conversation]:
    return [*holders(1), refused()]


def _single_attempt(folder: Path) -> list[Conversation]:
    return [*holders(), refused(0)]


def _passes_on_a_further_port(folder: Path) -> list[Conversation]:
    return [*holders(), whole(refused(nat="192.0.2.10:40004"), 4)]


def _two_addresses(folder: Path) -> list[Conversation]:
    rules(folder)
    held = holders()
    held[0].nat, held[1].nat = "192.0.2.11:40000", "192.0.2.11:40001"
    return [*held, refused()]


@pytest.mark.parametrize(
    "talks",
    [
        _one_free,
        _one_reset,
        _one_closed,
        _held_later,
        _to_another_server,
        _of_another_protocol,
        _kept_ports,
        _scattered,
        _one_holder,
        _single_attempt,
        _passes_on_a_further_port,
        _two_addresses,
    ],
)
def test_near_misses(talks: Callable[[Path], list[Conversation]], tmp_path: Path) -> None:
    """A port was free, or nothing shows that there were no others: the counters alone name no cause."""
    counters(tmp_path, insert_failed=3, drop=3)

    assert ["unknown"] == causes(judged(tmp_path, *talks(tmp_path)))


@pytest.mark.parametrize("rises", [{}, {"drop": 3}])
def test_no_insertion_failed(rises: dict[str, int], tmp_path: Path) -> None:
    """The kernel would have counted it."""
    counters(tmp_path, **rises)
    rules(tmp_path)

    assert CODE not in causes(judged(tmp_path, *holders(), refused()))


def test_nothing_but_the_captures(tmp_path: Path) -> None:
    """Neither rules nor counters: kernels before 5.0 give ports in a row, too, where all are free."""
    assert ["unknown"] == causes(judged(tmp_path, *holders(), refused()))


def test_a_race_with_a_partner(tmp_path: Path) -> None:
    """Failed insertions of the same number, but a partner took the port at that moment."""
    counters(tmp_path, insert_failed=1, drop=1)
    loser = whole(refused(0, pod="10.244.0.11:30000", nat="192.0.2.10:41000"), 1)
    winner = whole(connection(2, pod="10.244.0.13:30000", nat="192.0.2.10:30000"), 0.00002)

    assert ["snat-port-race"] == causes(judged(tmp_path, *holders(), loser, winner))


def test_only_answers_were_captured(tmp_path: Path) -> None:
    """Of the holders eth0 saw nothing but replies: so it may have missed the others' SYNs as well."""
    rules(tmp_path)
    held = holders()
    for talk in held:
        for sent in talk.sent:
            if sent.outward:
                sent.missed_at("eth0")
    late = Conversation(
        pod="10.244.0.13:1", server="192.0.2.100:80", nat="192.0.2.10:40009", way="veth-c cni0 | eth0"
    )
    late.reply(100, 50)

    assert [] == causes(judged(tmp_path, *held, refused(), late))
