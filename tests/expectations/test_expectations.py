"""What a bundle must and may hold, and how it is told where it does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.api import Analysis
from analyzer.connection.model import Account
from analyzer.expectations import Destination, Expectation, Range, Rule, judge, plain_exit
from analyzer.incident.model import Counts, Finding, Incident

GAP = ("cni0", "eth0")
RACE = Rule(kind="syn-vanished", cause="snat-port-race", gap=GAP)


def finding(
    destination: str = "192.0.2.100:80/tcp",
    outer: str | None = None,
    cause: str = "snat-port-race",
    **other: Any,
) -> Finding:
    """Return a finding whose pod asked for *destination*."""
    given: dict[str, Any] = {"kind": "syn-vanished", "gap": GAP, "confidence": "proven", "delay_s": None}
    inner = f"10.244.0.11:20000 > {destination}"
    return Finding(inner=inner, outer=outer, cause=cause, time=0, **{**given, **other})


def incident(*findings: Finding, number: int = 1) -> Incident:
    """Return an incident of these findings."""
    first = findings[0]
    return Incident(
        id=f"{first.kind}-{number}", kind=first.kind, cause=first.cause, confidence="proven", gap=first.gap,
        first=0, last=0, summary="", findings=findings, evidence=(), excluded=(), remedies=(),
    )  # fmt: skip


def analysis(
    *incidents: Incident,
    counts: Counts | None = None,
    account: Account | None = None,
    inconclusive: str | None = None,
) -> Analysis:
    """Return an analysis that found these."""
    return Analysis(
        bundle="b", kernel=None, capture_points=(), counts=counts or Counts(), account=account or Account(),
        incidents=incidents, reconciliation=(), caveats=(), inconclusive=inconclusive,
    )  # fmt: skip


def says(found: Analysis, *rules: Rule, **expected: Any) -> list[str]:
    """Return what is not as expected."""
    return [unmet.says for unmet in judge(found, Expectation(rules=rules, **expected))]


def test_as_expected() -> None:
    """Incidents of one kind, cause and gap are counted together."""
    found = analysis(incident(finding(), finding()), incident(finding(), number=2))

    assert [] == says(found, Rule(kind=RACE.kind, cause=RACE.cause, gap=GAP, findings=Range(least=3, most=3)))


def test_nothing_expected() -> None:
    """Without a rule every incident is too many, and none is right."""
    found = analysis(incident(finding()))
    (unmet,) = judge(found, Expectation())

    assert "not expected: syn-vanished-1 (syn-vanished snat-port-race between cni0 and eth0)" == unmet.says
    assert found.incidents[0] is unmet.incident
    assert () == judge(analysis(), Expectation())


def test_a_required_one_is_missing() -> None:
    """What must be there and is not is said, and belongs to no incident."""
    (unmet,) = judge(analysis(), Expectation(rules=(RACE,)))

    assert (
        "findings of syn-vanished snat-port-race between cni0 and eth0: expected at least 1, found 0"
        == unmet.says
    )
    assert unmet.incident is None


def test_an_allowed_one() -> None:
    """None is as good as the number that is allowed; another number is not."""
    rule = Rule(cause="snat-port-race", findings=Range(least=2, most=3), required=False)

    assert [] == says(analysis(), rule)
    assert [] == says(analysis(incident(finding(), finding())), rule)
    assert ["findings of snat-port-race: expected 2 to 3 or none, found 1"] == says(
        analysis(incident(finding())), rule
    )


@pytest.mark.parametrize(
    "other",
    [
        Rule(kind="udp-vanished"),
        Rule(cause="policy-drop"),
        Rule(gap=("veth-a", "cni0")),
        Rule(destination=Destination.of("192.0.2.100:81")),
    ],
)
def test_near_misses(other: Rule) -> None:
    """A rule for another kind, cause, gap or destination lets nothing pass."""
    assert ["not expected", f"findings of {other}: expected at least 1, found 0"] == [
        text.partition(":")[0] if text.startswith("not") else text
        for text in says(analysis(incident(finding())), other)
    ]


def test_the_first_rule_that_fits_counts() -> None:
    """A rule for one destination stands before the one for the rest."""
    found = analysis(incident(finding(), finding("192.0.2.7:443/tcp"), finding("192.0.2.8:443/tcp")))
    one = Rule(destination=Destination.of("192.0.2.100"), findings=Range(least=1, most=1))
    rest = Rule(findings=Range(least=2, most=2))

    assert [] == says(found, one, rest)
    assert [
        "findings of any kind and cause: expected 2, found 3",
        "findings of any kind and cause to 192.0.2.100: expected 1, found 0",
    ] == says(found, rest, one)


def test_part_of_an_incident() -> None:
    """Of an incident to several destinations, those that no rule fits are counted."""
    found = analysis(incident(finding(), finding("192.0.2.7:443/tcp"), finding("192.0.2.8:443/tcp")))

    assert [
        "not expected: 2 of the 3 findings of syn-vanished-1 "
        "(syn-vanished snat-port-race between cni0 and eth0)"
    ] == says(found, Rule(destination=Destination.of("192.0.2.100")))


@pytest.mark.parametrize(
    ("destination", "flow", "holds"),
    [
        ("192.0.2.100", "10.0.0.1:1 > 192.0.2.100:80/tcp", True),
        ("192.0.2.100:80", "10.0.0.1:1 > 192.0.2.100:80/tcp", True),
        ("192.0.2.100:81", "10.0.0.1:1 > 192.0.2.100:80/tcp", False),
        ("192.0.2.0/24", "10.0.0.1:1 > 192.0.2.100:80/tcp", True),
        ("192.0.2.0/24:80", "10.0.0.1:1 > 192.0.2.100:80/tcp", True),
        ("192.0.3.0/24", "10.0.0.1:1 > 192.0.2.100:80/tcp", False),
        ("10.0.0.1", "10.0.0.1:1 > 192.0.2.100:80/tcp", False),
        ("2001:db8::/32", "[2001:db8::1]:1 > [2001:db8::2]:80/tcp", True),
        ("[2001:db8::2]:80", "[2001:db8::1]:1 > [2001:db8::2]:80/tcp", True),
        ("[2001:db8::2]:81", "[2001:db8::1]:1 > [2001:db8::2]:80/tcp", False),
        ("192.0.2.0/24", "[2001:db8::1]:1 > [2001:db8::2]:80/tcp", False),
        ("192.0.2.100", "10.0.0.1 > 192.0.2.100/icmp", True),
        ("192.0.2.100:80", "10.0.0.1 > 192.0.2.100/icmp", False),
        ("192.0.2.100", "gibberish", False),
    ],
)
def test_destinations(destination: str, flow: str, holds: bool) -> None:
    """Address, network, port: of the side that was asked."""
    assert holds == Destination.of(destination).holds(flow)


def test_a_destination_as_it_left_the_node() -> None:
    """A service is found by its own address and by its endpoint's."""
    service = finding("10.96.0.10:80/tcp", outer="192.0.2.10:20000 > 192.0.2.100:8080/tcp")

    assert Rule(destination=Destination.of("10.96.0.10:80")).fits(service)
    assert Rule(destination=Destination.of("192.0.2.100:8080")).fits(service)
    assert not Rule(destination=Destination.of("192.0.2.100:80")).fits(service)


@pytest.mark.parametrize(
    "text", ["", "x", "192.0.2.1:x", "192.0.2.1:70000", "192.0.2.1/24", "[2001:db8::1]", "[::1]:-1"]
)
def test_no_destination(text: str) -> None:
    """What is none is refused."""
    with pytest.raises(ValueError, match=r".*"):
        Destination.of(text)


@given(st.ip_addresses(), st.none() | st.integers(0, 65535))
def test_destinations_read_what_they_say(address: object, port: int | None) -> None:
    """Every address, with and without a port, comes back from its own text."""
    text = (
        str(address)
        if port is None
        else f"[{address}]:{port}"
        if ":" in str(address)
        else f"{address}:{port}"
    )

    assert text == str(Destination.of(text))
    assert Destination.of(text) == Destination.of(str(Destination.of(text)))


@given(st.integers(0, 50), st.none() | st.integers(0, 50), st.integers(0, 60))
def test_ranges(least: int, most: int | None, number: int) -> None:
    """Both ends belong to a range."""
    assert (least <= number <= (number if most is None else most)) == (
        number in Range(least=least, most=most)
    )


def test_ranges_in_words() -> None:
    """They read as people say them."""
    assert ["3", "at least 2", "at most 4", "2 to 4"] == [
        str(Range(least=3, most=3)), str(Range(least=2)), str(Range(most=4)), str(Range(least=2, most=4))
    ]  # fmt: skip


def test_counts() -> None:
    """Numbers that the file names are compared, others are not."""
    found = analysis(counts=Counts(syn_attempts=7, syn_vanished=2))

    assert [] == says(found, counts={"syn_attempts": Range(least=7, most=7)})
    assert ["syn_vanished: expected at most 1, found 2"] == says(
        found, counts={"syn_vanished": Range(most=1)}
    )


def test_exit() -> None:
    """It is compared where nothing else differs: 0, 1 and 2 as without expectations."""
    one, none, blind = analysis(incident(finding())), analysis(), analysis(inconclusive="one point")

    assert (1, 0, 2) == (plain_exit(one), plain_exit(none), plain_exit(blind))
    assert [] == says(one, RACE, exit=1)
    assert ["exit status: expected 0, found 1"] == says(one, RACE, exit=0)
    assert ["exit status: expected 2, found 0"] == says(none, exit=2)
    assert 1 == len(says(none, RACE, exit=1))


@given(
    st.lists(st.sampled_from(["80", "81", "82"]), max_size=8),
    st.lists(st.integers(0, 4), min_size=3, max_size=3),
)
def test_met_only_if_the_numbers_are_right(ports: list[str], numbers: list[int]) -> None:
    """With a rule per destination a bundle is as expected if, and only if, each number is right."""
    found = analysis(*([incident(*(finding(f"192.0.2.1:{port}/tcp") for port in ports))] if ports else []))
    rules = [
        Rule(destination=Destination.of(f"192.0.2.1:{port}"), findings=Range(least=n, most=n))
        for port, n in zip(("80", "81", "82"), numbers, strict=True)
    ]

    assert (numbers == [ports.count(port) for port in ("80", "81", "82")]) == (not says(found, *rules))
