"""How two nodes' clocks differ, and how long the way between them takes: from the handshakes that both recorded.

A SYN takes forward + offset by the two clocks, its SYN-ACK backward - offset. Their sum is the round trip between the
uplinks, free of any clock. The offset is half the difference of both medians, which assumes that both ways take equally
long: what they do not is an error of the transit, never of the round trip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


def measure(pairs: pd.DataFrame) -> pd.DataFrame:
    """Add `offset` (ns that the clock entered is ahead), `transit` and `round_trip` (ns); null where nothing tells.

    The offset is estimated for each pair of bundles, as clocks drift.
    """
    forward = _apart(pairs, "syn", "_a", "_b")
    backward = _apart(pairs, "synack", "_b", "_a")
    both = forward.notna() & backward.notna()
    by = [pairs["bundle_a"], pairs["bundle_b"]]
    medians = [
        way.where(both).astype("float64").groupby(by, observed=True).transform("median")
        for way in (forward, backward)
    ]
    offset = ((medians[0] - medians[1]) / 2).round().astype("Int64")
    return pairs.assign(offset=offset, transit=forward - offset, round_trip=(forward + backward).where(both))


def unmatched(left: Sequence[int], entered: Sequence[int], offset: int) -> list[int]:
    """Of the times at which SYNs of one connection left, those that no time of entering belongs to.

    Args:
        left: ns, by the clock of the node that they left.
        entered: ns, by the clock of the node that they entered; each belongs to the nearest one left.
        offset: ns that the second clock is ahead.
    """
    free = list(left)
    for time in entered:
        if free:
            free.remove(min(free, key=lambda one: abs(one + offset - time)))
    return free


def _apart(pairs: pd.DataFrame, what: str, begin: str, end: str) -> pd.Series[int]:
    """How many ns from the first of them at one node to the first at the other, where both have equally many."""
    counts = pairs[f"n_{what}s{begin}"]
    comparable = (counts == pairs[f"n_{what}s{end}"]) & (counts > 0)
    apart = pairs[f"first_{what}{end}"] - pairs[f"first_{what}{begin}"]
    return apart.astype("Int64").where(comparable)
