"""Rules in nft's text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.evidence.rules.expressions import Elements, parse_elements, parse_rule, words
from analyzer.evidence.rules.model import Action, Bits, Rule, Span


def rule(text: str, sets: dict[str, Elements] | None = None) -> Rule:
    """Read a rule."""
    return parse_rule(text, "ip t c", 1, sets or {})


def conditions(text: str, sets: dict[str, Elements] | None = None) -> list[tuple[object, ...]]:
    """Give the fields, values and negation of a rule's conditions."""
    return [(*match.fields, match.among, match.negated) for match in rule(text, sets).matches]


def test_counters_and_comment() -> None:
    """Counters are kept beside the text, in which they would differ each time."""
    found = rule('tcp dport 25 counter packets 5 bytes 300 drop comment "no { mail } accept"')
    assert (5, 300) == (found.packets, found.bytes)
    assert 'tcp dport 25 counter drop comment "no { mail } accept"' == found.text
    assert (Action(kind="drop"),) == found.actions
    assert rule('counter name "c1" accept').packets is None
    for damaged in ("packets 5 bytes 10.g", "packets 5 bytes", "packets x bytes 300", "packets 5 octets 300"):
        assert rule(f"counter {damaged} drop").packets is None


def test_sets() -> None:
    """Values stand in braces, behind a name, or with commas."""
    ports = (((Span(80, 80),), (Span(8000, 8100),)), False)
    named = {"web": parse_elements(words("80, 8000-8100 timeout 1h expires 5s"))}
    assert ports == conditions("tcp dport { 80, 8000-8100 } accept")[1][1:]
    assert ports == conditions("tcp dport @web accept", named)[1][1:]
    assert ports[0] == conditions("tcp dport != @web accept", named)[1][1]
    assert [((), False)] == conditions("tcp dport @gone accept")[1:]
    assert [("state", (("established",), ("related",)), False)] == conditions(
        "ct state established,related accept"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("meta mark & 0x4000 == 0x4000 return", ("mark", ((Bits(0x4000, 0x4000),),), False)),
        ("meta mark & 0x4000 != 0x4000 return", ("mark", ((Bits(0x4000, 0x4000),),), True)),
        ("meta mark 0x1 return", ("mark", ((Bits(1, 0xFFFFFFFF),),), False)),
        ("tcp flags & (fin | syn) == syn drop", ("tcpflags", ((Bits(2, 3),),), False)),
        ("tcp flags & (syn | ack) == syn | ack drop", ("tcpflags", ((Bits(18, 18),),), False)),
        ("tcp flags syn / fin,syn drop", ("tcpflags", ((Bits(2, 3),),), False)),
        ("tcp flags != syn / fin,syn drop", ("tcpflags", ((Bits(2, 3),),), True)),
        ("tcp flags syn,ack drop", ("tcpflags", ((Bits(0, 18),),), True)),
        ("tcp flags == syn drop", ("tcpflags", ((Bits(2, 255),),), False)),
        ("tcp sport > 1024 drop", ("sport", ((Span(1025, 65535),),), False)),
        ("udp dport <= 53 drop", ("dport", ((Span(0, 53),),), False)),
        ('iifname { "cni0", "veth*" } drop', ("iif", (("cni0",), ("veth*",)), False)),
        ("fib daddr type != local drop", ("dsttype", (("local",),), True)),
    ],
)  # fmt: skip
def test_comparisons(text: str, expected: object) -> None:
    """Operators and masks become one form."""
    assert expected == conditions(text)[-1]


def test_condition_before_what_is_set() -> None:
    """A condition that is not understood does not swallow what is set behind it."""
    found = rule("limit rate 5/second meta mark set 0x1 accept")
    assert ["limit rate 5/second"] == [match.text for match in found.matches]
    assert ["mark", "accept"] == [action.kind for action in found.actions]


@pytest.mark.parametrize(
    "text",
    [
        "ether saddr 02:00:00:00:00:01 drop", "ip ttl < 5 drop", "tcp dport 1-5 ct count over 5 drop",
        "meta l4proto tcp ct original ip daddr 192.0.2.4 drop", 'meta hour "00:00"-"10:00" drop',
        "limit rate over 5/second burst 5 packets drop", 'xt match "physdev" counter packets 0 bytes 0 drop',
        "meta random & 2147483647 < 1073741824 drop", "@th,16,16 0x50 drop", "tcp dport ssh drop",
    ],
)  # fmt: skip
def test_not_understood(text: str) -> None:
    """What is not understood is one condition that nobody can tell, up to the next action."""
    found = rule(text)
    assert () in [match.fields for match in found.matches]
    assert (Action(kind="drop"),) == found.actions
    assert "dst" not in [field for match in found.matches for field in match.fields]


def test_actions() -> None:
    """Statements with options end where the next one begins."""
    found = rule(
        'log prefix "a: drop " level info group 5 meta mark set 0x2 ct mark set meta mark reject with tcp reset'
    )
    assert (
        Action(kind="log", target="a: drop "), Action(kind="mark", mark=Bits(2, 0xFFFFFFFF)),
        Action(kind="other", target="ct mark set meta mark"), Action(kind="reject", target="tcp reset"),
    ) == found.actions  # fmt: skip
    assert () == found.matches
    options = frozenset({"random", "persistent"})
    assert (Action(kind="masquerade", flags=options),) == rule("masquerade random,persistent").actions
    assert (Action(kind="snat", target="192.0.2.1:1-2"),) == rule("snat ip to 192.0.2.1:1-2").actions
    assert (Action(kind="unknown", target="xt target TPROXY"),) == rule('xt target "TPROXY"').actions
    assert (Action(kind="queue", target="flags bypass to 1"),) == rule("queue flags bypass to 1").actions


def test_verdict_maps() -> None:
    """A map's verdicts go with its keys; with a key that is not understood each is possible."""
    (found,) = rule("tcp dport vmap { 80 : accept, 443 : jump sub }").actions
    assert (("dport",), ((Span(80, 80),), (Span(443, 443),))) == (
        found.fields,
        tuple(key for key, _ in found.choices),
    )
    assert [Action(kind="accept"), Action(kind="jump", target="sub")] == [
        action for _, action in found.choices
    ]
    assert ("proto",) == rule("tcp dport vmap { 80 : accept }").matches[0].fields
    (unknown,) = rule("numgen random mod 2 vmap { 0 : drop, 1 : goto sub }").actions
    assert ((), [(), ()]) == (unknown.fields, [key for key, _ in unknown.choices])
    (concatenated,) = rule(
        "ip daddr . meta l4proto . th dport vmap { 10.96.0.10 . udp . 53 : goto svc }"
    ).actions
    assert ("dst", "proto", "dport") == concatenated.fields


SAID = """ip saddr daddr tcp dport flags ct state meta mark set & ( ) { } , : . / == != vmap counter packets 1 bytes
log prefix "x limit rate jump a drop masquerade to @s fib type xt match comment reject with queue 10.0.0.1 0x1"""
WORDS = st.sampled_from(SAID.split())


@given(st.lists(WORDS, max_size=25), st.text(max_size=10))
def test_any_words(said: list[str], more: str) -> None:
    """Any order of words is a rule of some kind, and ends."""
    rule(" ".join([*said, more]), {"s": parse_elements(said)})
