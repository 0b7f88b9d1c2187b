"""Every target that rules can give a destination."""

from __future__ import annotations

import pytest

from analyzer.evidence import translation
from analyzer.evidence.rules.model import Action, Ruleset
from analyzer.evidence.translation import HOOKS, Known, Translation, targets
from tests.evidence.test_stale import DOCKER, KUBE, KUBE_NFT, NETAVARK, entry, rules, table


def asked(text: str, dst: str, port: int, local: set[str] | None = None) -> Translation:
    """Ask where a destination leads."""
    known = Known(rules(text))
    return Translation(known, table(entry(dst, port, dst, port))[0], local)


@pytest.mark.parametrize("text", [KUBE, KUBE_NFT])
def test_all_endpoints_of_a_service(text: str) -> None:
    """Each that the dice may choose; and nothing passes by."""
    told = asked(text, "10.96.0.10", 53)
    assert ["10.244.0.5:53", "10.244.0.6:53"] == [target.text for target in told.targets]
    assert dict.fromkeys(HOOKS, True) == told.sure
    assert not told.doubtful


def test_other_destinations() -> None:
    """No target, and every packet passes."""
    told = asked(KUBE, "192.0.2.9", 53)
    assert {} == told.targets
    assert dict.fromkeys(HOOKS, False) == told.sure


def test_what_depends_on_the_way_in() -> None:
    """A rule that asks for the interface may hold; one that asks for a local address holds where that is known."""
    assert dict.fromkeys(HOOKS, False) == asked(DOCKER, "192.0.2.1", 514).sure
    assert not asked(NETAVARK, "192.0.2.1", 514).sure["prerouting"]
    assert asked(NETAVARK, "192.0.2.1", 514, {"192.0.2.1"}).sure["prerouting"]
    assert {} == asked(NETAVARK, "192.0.2.1", 514, {"192.0.2.2"}).targets


def test_few_rules_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other services are not, in chains and in verdict maps; and there is an end to it."""
    many = "".join(
        f"-A KUBE-SERVICES -d 10.97.{n >> 8}.{n & 255}/32 -p udp -m udp --dport 53 -j KUBE-SEP-C\n"
        for n in range(2000)
    )
    text = KUBE.replace("-A KUBE-SVC-DNS !", f"{many}-A KUBE-SVC-DNS !")
    assert asked(text, "10.97.1.1", 53).looks < 20
    monkeypatch.setattr(translation, "LOOKS", 3)
    assert asked(text, "10.97.1.1", 53).doubtful


@pytest.mark.parametrize(
    ("target", "address", "port", "holds"),
    [
        ("10.0.0.1:80", 0x0A000001, 80, True), ("10.0.0.1:80", 0x0A000001, 81, False), ("10.0.0.1", 0x0A000001, 8, True),
        ("10.0.0.1", 0x0A000001, 9, False), ("10.0.0.1-10.0.0.3", 0x0A000002, 8, True), (":90-99", 0x0A000002, 95, True),
        ("numgen mod 2 map { 0 : 10.0.0.1 . 53 1 : 10.0.0.2 . 53 }", 0x0A000002, 53, True),
        ("addr . port to ip daddr . tcp dport map { 10.96.0.10 . 53 : 10.0.0.5 . 53 }", 0x0A60000A, 53, False),
    ],
)  # fmt: skip
def test_targets(target: str, address: int, port: int, *, holds: bool) -> None:
    """Addresses, ranges, ports alone, and the values of maps, whose keys are none."""
    number = address | 0xFFFF << 32
    assert holds == any(t.holds(number, port, 8) for t in targets(Action(kind="dnat", target=target)))


def test_jumps_that_lead_nowhere_or_in_circles() -> None:
    """A chain that is missing makes the answer doubtful; a circle has an end."""
    text = "*nat\n:PREROUTING ACCEPT [0:0]\n:A - [0:0]\n-A PREROUTING -j A\n-A A -j A\n-A A -j DNAT --to-destination 10.0.0.1\nCOMMIT\n"
    assert asked(text, "192.0.2.1", 5).doubtful
    assert isinstance(rules(text), Ruleset)
