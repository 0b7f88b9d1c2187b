"""The kernel's counters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analyzer.lab.state import increase

COUNTER = st.integers(min_value=0, max_value=2**32 - 1)
FORMAT = "cpu={}   \tfound={} invalid=0 insert_failed={} drop={} \n"


def _text(values: list[int]) -> str:
    return "".join(FORMAT.format(cpu, 0, value, value) for cpu, value in enumerate(values))


def test_cpus_are_summed() -> None:
    """Each line of `conntrack -S` is one CPU."""
    assert increase(_text([1, 2]), _text([4, 4])) == {"found": 0, "invalid": 0, "insert_failed": 5, "drop": 5}


@given(st.lists(st.tuples(COUNTER, st.integers(0, 1000)), min_size=1, max_size=4))
def test_a_wrapped_counter_still_rises_by_what_was_counted(cpus: list[tuple[int, int]]) -> None:
    """The counters have 32 bits."""
    before = _text([value for value, _ in cpus])
    after = _text([(value + rise) % 2**32 for value, rise in cpus])
    assert sum(rise for _, rise in cpus) == increase(before, after)["drop"]
