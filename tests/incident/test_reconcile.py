"""The kernel's counters against what the captures show."""

from __future__ import annotations

import pytest

from analyzer.incident.incidents import incidents
from analyzer.incident.model import Counts
from analyzer.incident.reconcile import reconcile, unseen
from tests.incident.test_incidents import lost


def notes(counters: dict[str, int], counts: Counts, *causes: str) -> dict[str, tuple[int, int, str]]:
    """What is said of each counter, for one finding of each of these causes."""
    told = incidents(lost(n, cause=cause) for n, cause in enumerate(causes))
    return {r.counter: (r.delta, r.explained, r.note) for r in reconcile(counters, counts, told)}


def test_all_explained() -> None:
    """Races for both counters; an INVALID reply and the host's RST for `invalid`."""
    counts = Counts(syn_vanished=2, invalid_packets=1, host_resets=1)

    assert {
        "insert_failed": (2, 2, "2 of 2 explained"),
        "drop": (2, 2, "2 of 2 explained"),
        "invalid": (2, 2, "2 of 2 explained"),
    } == notes({"insert_failed": 2, "drop": 2, "invalid": 2}, counts, *["snat-port-race"] * 2)


def test_more_than_the_captures_show() -> None:
    """What is left is said, with where it may have happened."""
    delta, explained, note = notes({"drop": 10}, Counts(), "conntrack-table-full", "snat-port-race")["drop"]

    assert (10, 2) == (delta, explained)
    assert note.startswith("2 of 10 explained; 8 more than the captures show")


@pytest.mark.parametrize(
    ("counters", "said"),
    [
        (
            {"drop": 1},
            "conntrack dropped a packet between the counters' readings, and the captures show none of that",
        ),
        ({"drop": 19, "insert_failed": 19, "invalid": 2}, "conntrack dropped 19 packets between"),
        ({"drop": 0, "insert_failed": 4, "invalid": 3}, ""),
        ({}, ""),
    ],
)
def test_what_no_connection_shows(counters: dict[str, int], said: str) -> None:
    """Of what was dropped: up to 5.9 insert_failed also counts clashes that lost nothing, and INVALID packets are let pass."""
    told = unseen(reconcile(counters, Counts(), ()))

    assert (bool(said), True) == (bool(told), told.startswith(said))


def test_less_than_the_captures_show() -> None:
    """Losses that conntrack did not count were another step's."""
    assert {"drop": (1, 1, "1 of 1 explained; the captures show 2 more, lost by another step")} == notes(
        {"drop": 1}, Counts(), *["snat-port-exhaustion"] * 3
    )


def test_a_full_table_fails_no_insertion() -> None:
    """The near miss: a full table drops before anything is inserted."""
    found = notes({"insert_failed": 1, "drop": 1}, Counts(), "conntrack-table-full")

    assert [("drop", 1), ("insert_failed", 0)] == sorted((name, told[1]) for name, told in found.items())


def test_losses_of_another_cause_explain_no_failed_insertion() -> None:
    """The near miss: a packet vanished, but in no race."""
    assert (1, 0) == notes({"insert_failed": 1}, Counts(syn_vanished=1), "unknown")["insert_failed"][:2]


@pytest.mark.parametrize("counters", [{}, {"found": 9, "early_drop": 3}])
def test_counters_that_are_not_there(counters: dict[str, int]) -> None:
    """Nothing is said of what nobody collected."""
    assert {} == notes(counters, Counts(syn_vanished=4))
