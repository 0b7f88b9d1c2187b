"""`nft -j list ruleset` says what `nft list ruleset` says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.evidence.facts import Caveat
from analyzer.evidence.rules.model import Rule, Ruleset
from analyzer.evidence.sources import nft_json, nft_text


def ruleset(text: str) -> Ruleset:
    """Parse one document."""
    assert nft_json.recognises(text)
    (found,) = nft_json.parse(text, "a")
    assert isinstance(found, Ruleset)
    return found


def meaning(rule: Rule) -> object:
    """Give what a rule does, leaving aside texts that only JSON or only text has."""
    actions = [
        (a.kind, a.target if a.kind not in ("other", "dnat") else "", a.flags, a.mark, a.fields, a.choices)
        for a in rule.actions
    ]
    return rule.matches, actions, rule.packets, rule.bytes


def test_same_as_text(sample: Callable[[str], str]) -> None:
    """Every rule of a ruleset recorded in both formats means the same."""
    (text,) = nft_text.parse(sample("nft.txt"), "a")
    assert isinstance(text, Ruleset)
    told = ruleset(sample("nft.json"))
    assert [(c.label, c.kind, c.hook, c.priority, c.policy) for c in text.chains] == [
        (c.label, c.kind, c.hook, c.priority, c.policy) for c in told.chains
    ]
    for ours, theirs in zip(text.rules(), told.rules(), strict=True):
        assert meaning(ours) == meaning(theirs)


def test_texts(sample: Callable[[str], str]) -> None:
    """Rules get a text that reads like nft's."""
    texts = [rule.text for rule in ruleset(sample("nft.json")).rules()]
    assert "ip6 daddr fd00:10:96::10 tcp dport 80 dnat to [2001:db8::100]:8080" in texts
    assert "meta oifname eth1 meta l4proto tcp snat to 192.0.2.1-192.0.2.5:1000-2000 fully-random" in texts
    assert 'tcp dport 25 counter reject tcp reset comment "no mail { here } drop"' in texts


@pytest.mark.parametrize(
    "item",
    [
        {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": [{"match": {"op": "=="}}]}},
        {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": [{"vmap": {"key": 1}}]}},
        {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": [5]}},
        {"chain": {"family": "ip", "table": "t"}},
        {"chain": {"family": "ip", "table": "t", "name": "d", "prio": "soon"}},
        {"chain": {"family": "ip", "table": "t", "name": "d", "prio": math.inf}},
        {"rule": {"family": "ip", "table": "t", "chain": "c",
                  "expr": [{"match": {"op": "==", "left": {"&": []}, "right": 1}}]}},
        {"set": []},
        {"map": {"family": "ip", "table": "t", "name": "m", "elem": [[{"elem": 1}, 2]]}},
    ],
)  # fmt: skip
def test_strange_objects(item: object) -> None:
    """What the schema does not allow is a caveat at most."""
    chain = {"chain": {"family": "ip", "table": "t", "name": "c"}}
    for fact in nft_json.parse(json.dumps({"nftables": [chain, item]}), "a"):
        assert isinstance(fact, Caveat | Ruleset)


def test_a_list_that_is_none() -> None:
    """A document may name its list twice, and the last one counts for JSON."""
    (caveat,) = nft_json.parse('{"nftables": [], "nftables": 5}', "a")

    assert isinstance(caveat, Caveat)
    assert caveat.says.startswith("a: rules not understood")


class Slices(str):
    """A text that counts how often a part of it is copied."""

    __slots__ = ("count",)

    def __getitem__(self, key: Any) -> Slices:
        """Copy a part."""
        part = Slices(super().__getitem__(key))
        part.count = self.count = getattr(self, "count", 0) + 1
        return part


def test_many_documents() -> None:
    """However many there are, the text is copied once."""
    text = Slices('{"nftables": []} ' * 100)

    assert 100 == len(list(nft_json.parse(text, "a")))
    assert 1 == text.count


def test_damaged(sample: Callable[[str], str]) -> None:
    """A document that is cut short is a caveat; one that nests too deep, too."""
    for text in (sample("nft.json")[:-20], '{"nftables": [' + "[" * 100_000):
        (caveat,) = nft_json.parse(text, "a")
        assert isinstance(caveat, Caveat)
        assert caveat.says.startswith("a: not understood as JSON")


JSON = st.recursive(
    st.none() | st.integers(-5, 2**40) | st.sampled_from(["ip", "tcp", "dport", "accept", "@s", "==", "x"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["match", "op", "left", "right", "payload", "protocol", "field", "meta", "key", "set", "vmap", "data", "mangle",
             "value", "jump", "target", "dnat", "addr", "port", "flags", "concat", "prefix", "len", "range", "counter", "xt",
             "log", "reject", "&", "limit", "fib", "ct", "elem", "val"]
        ),
        inner,
        max_size=3,
    ),
    max_leaves=12,
)  # fmt: skip


@given(JSON, JSON)
def test_any_json(one: object, other: object) -> None:
    """No shape of JSON is an error."""
    base = {"family": "ip", "table": "t"}
    objects = [
        {"chain": {**base, "name": "c"}}, {"rule": {**base, "chain": "c", "expr": [one]}},
        {"set": {**base, "name": "s", "elem": other}},
    ]  # fmt: skip
    list(nft_json.parse(json.dumps({"nftables": [*objects, one, other]}), "a"))
