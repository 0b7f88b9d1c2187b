"""JSON that somebody else wrote becomes what was declared, or a refusal."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.result import typed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Inner:
    name: str
    role: Literal["pod", "bridge"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outer:
    count: int
    inner: tuple[_Inner, ...] = ()
    words: dict[str, str] | None = None
    whole: bool = False


def test_what_was_declared() -> None:
    """Nested objects, tuples, maps and defaults."""
    text = '{"count": 3, "inner": [{"name": "é", "role": "pod"}], "words": {"a": "b"}}'

    assert _Outer(count=3, inner=(_Inner(name="é", role="pod"),), words={"a": "b"}) == typed.read(
        _Outer, text
    )


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", "{}", "{", "[" * 100_000, '{"count": "3"}', '{"count": 3.0}', '{"count": true}', '{"count": NaN}',
        '{"count": 9223372036854775808}', '{"count": 1, "more": 1}', '{"count": 1, "inner": {}}', '{"count": 1, "whole": 1}',
        '{"count": 1, "inner": [{"name": null}]}', '{"count": 1, "inner": [{"name": "a", "role": "uplink"}]}',
        '{"count": 1, "inner": [{"name": "\\ud800"}]}', '{"count": 1, "words": {"\\udfff": "a"}}',
        '{"count": 1, "words": {"a": 1}}',
        '{"count": 1, "words": []}', b"\xff", '{"count": 1' + "0" * 5000 + "}",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str | bytes) -> None:
    """Other types, numbers out of range, half surrogates, keys that nobody asked for, no JSON at all."""
    with pytest.raises(ValueError):  # noqa: PT011 - the words differ
        typed.read(_Outer, text)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["count", "inner", "words", "whole"]), _JSON | st.integers(0, 9)))
def test_no_other_exception(found: dict[str, Any]) -> None:
    """Whatever it is, it is of the declared types or a ValueError; and what is made of it can be stored and sent."""
    try:
        made = typed.read(_Outer, json.dumps(found))
    except ValueError:
        return
    assert isinstance(made.count, int)
    json.dumps([made.words, [one.name for one in made.inner]], ensure_ascii=False).encode()
