"""Lists of objects between other output."""

from __future__ import annotations

from analyzer.evidence import json_lists
from analyzer.evidence.facts import Caveat

TEXT = 'Execute:\n\nip -j addr\n[{"a":1},5,{"b":[{"c":2}]}]\n[0:0] -A INPUT\n[\n  {\n "a" : 3 }\n]\n'


def test_lists_between_text() -> None:
    """Every list is found, nested ones once; what is no object is passed over."""
    assert [{"a": 1}, {"b": [{"c": 2}]}, {"a": 3}] == list(json_lists.objects(TEXT, "x"))
    assert json_lists.holds(TEXT, "a", "b")
    assert not json_lists.holds(TEXT, "z")
    assert not json_lists.holds('{"a": 1}', "a")


def test_cut_short() -> None:
    """A list cut short is a caveat."""
    *_, caveat = json_lists.objects(TEXT[:-4], "x")
    assert isinstance(caveat, Caveat)
    assert caveat.says.startswith("x: not understood as JSON, or cut short: ")


def test_very_many_lists() -> None:
    """A million lists take no more than their length."""
    assert 100_000 == len(list(json_lists.objects("[{}]\n" * 100_000, "x")))
