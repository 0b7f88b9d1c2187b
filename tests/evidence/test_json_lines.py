"""JSON Lines, of which a few are of interest."""

from __future__ import annotations

from analyzer.evidence.facts import Caveat
from analyzer.evidence.json_lines import LONGEST, inner, integer, objects, string


def test_only_lines_of_interest_are_decoded() -> None:
    """Others may be damaged or no JSON at all."""
    text = 'hello\n{"a": 1, "drop": {}}\n{"b": \n{"drop": [2]}\n'
    assert [(2, {"a": 1, "drop": {}}), (4, {"drop": [2]})] == list(objects(text, "f", '"drop"'))


def test_damage_is_counted() -> None:
    """Cut lines, endless nesting and enormous lines are one caveat."""
    deep = '{"drop": ' + "[" * 100_000
    text = f'{{"drop": 1\n{deep}\n{{"drop": "{"x" * LONGEST}"}}\n'
    (caveat,) = objects(text, "f", '"drop"')
    assert caveat == Caveat(says="f: 3 lines were not understood as JSON, or cut short")


def test_fields_of_any_shape() -> None:
    """What is not there, or something else than it should be, is none."""
    item = {"a": {"b": 5, "c": "x", "d": True}, "e": []}
    assert 5 == inner(item, "a", "b") == integer(item, "a", "b")
    assert "x" == string(item, "a", "c")
    assert [None, None, None, None] == [
        integer(item, "a", "c"), integer(item, "a", "d"), integer(item, "e", "b"), integer(item, "a", "b", most=4),
    ]  # fmt: skip
    assert "" == string(item, "a", "b") == string(item, "x")
