"""How clocks differ, and which SYN is which."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from analyzer.fleet.clocks import measure, unmatched

SECOND = 1_000_000_000


def pairs(*handshakes: tuple[int, int, int, int], bundle: str = "a") -> pd.DataFrame:
    """Connections by the times of their SYN and SYN-ACK: (SYN left, SYN entered, SYN-ACK left, SYN-ACK came back)."""
    names = ["first_syn_a", "first_syn_b", "first_synack_b", "first_synack_a"]
    table = pd.DataFrame(handshakes, columns=names, dtype="int64")
    counts = dict.fromkeys(["n_syns_a", "n_syns_b", "n_synacks_a", "n_synacks_b"], 1)
    return table.assign(bundle_a=bundle, bundle_b="b", **counts)


@given(
    st.integers(-(10**15), 10**15),
    st.lists(st.tuples(st.integers(0, 10**12), st.integers(1, 10**6)), min_size=1, max_size=9),
)
def test_equally_long_ways(offset: int, sent: list[tuple[int, int]]) -> None:
    """Whatever the clocks, the transit is exact to the nanosecond of rounding; the round trip needs no clock."""
    made = measure(
        pairs(*[(at, at + way + offset, at + way + offset + 5, at + 2 * way + 5) for at, way in sent])
    )

    assert [2 * way for _, way in sent] == made["round_trip"].tolist()
    assert all(abs(value - offset) <= 1 for value in made["offset"])
    assert all(abs(value - way) <= 1 for value, (_, way) in zip(made["transit"], sent, strict=True))


def test_the_median_forgives() -> None:
    """One delayed SYN moves its own transit, and nothing else."""
    made = measure(pairs((0, 110, 120, 30), (100, 210, 220, 130), (200, 900, 910, 820)))

    assert [100, 100, 100] == made["offset"].tolist()
    assert [10, 10, 600] == made["transit"].tolist()


def test_each_pair_of_bundles_has_its_own_clocks() -> None:
    """Clocks drift, and one node may have been set in between."""
    table = pd.concat([pairs((0, 110, 120, 30)), pairs((0, 30, 40, 70), bundle="c")], ignore_index=True)

    assert [100, 0] == measure(table)["offset"].tolist()


def test_nothing_tells() -> None:
    """Without an answer at both nodes there is neither offset nor transit nor round trip."""
    table = pairs((0, 110, 120, 30))
    table["n_synacks_b"], table["first_synack_b"] = 0, -1
    made = measure(table)

    assert made[["offset", "transit", "round_trip"]].isna().all(axis=None)


def test_an_empty_table() -> None:
    """No pair, no row."""
    assert ["offset", "transit", "round_trip"] == list(measure(pairs()).columns[-3:])


@given(
    st.lists(st.booleans(), max_size=12),
    st.integers(-(10**15), 10**15),
    st.lists(st.integers(0, SECOND // 3), min_size=12, max_size=12),
)
def test_unmatched(entered: list[bool], offset: int, transit: list[int]) -> None:
    """SYNs at least a second apart are told apart, whatever the clocks and however long each took."""
    left = [number * SECOND for number in range(len(entered))]
    came = [at + offset + way for at, way, there in zip(left, transit, entered, strict=False) if there]
    missing = [at for at, there in zip(left, entered, strict=True) if not there]

    assert missing == unmatched(left, came, offset)


def test_more_entered_than_left() -> None:
    """The node that they left missed some: nothing remains, and nothing breaks."""
    assert [] == unmatched([0], [0, SECOND], 0)
