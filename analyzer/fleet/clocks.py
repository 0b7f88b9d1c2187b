"""How two nodes' clocks differ, and how long the way between them takes: from the handshakes that both recorded.

A SYN takes forward + offset by the two clocks, its SYN-ACK backward - offset. Their sum is the round trip between the
uplinks, free of any clock. The offset is half the difference of both medians, which assumes that both ways take equally
long: what they do not is an error of the transit, never of the round trip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def measure(pairs: pd.DataFrame) -> pd.DataFrame:
    """Add `offset` (ns that the clock entered is ahead), `transit` and `round_trip` (ns); None where nothing tells.

    The offset is estimated for each pair of bundles, as clocks drift.
    """
    forward = _apart(pairs, "syns_a", "syns_b")
    backward = _apart(pairs, "synacks_b", "synacks_a")
    both = forward.notna() & backward.notna()
    by = [pairs["bundle_a"], pairs["bundle_b"]]
    medians = [
        way.where(both).astype("Float64").groupby(by).transform("median") for way in (forward, backward)
    ]
    offset = ((medians[0] - medians[1]) / 2).round().astype("Int64")
    return pairs.assign(offset=offset, transit=forward - offset, round_trip=(forward + backward).where(both))


def unmatched(
    left: Sequence[np.datetime64], entered: Sequence[np.datetime64], offset: int
) -> NDArray[np.datetime64]:
    """Of the times at which SYNs of one connection left, those that no time of entering belongs to.

    Args:
        left: By the clock of the node that they left.
        entered: By the clock of the node that they entered; each belongs to the nearest one left.
        offset: ns that the second clock is ahead.
    """
    free = np.asarray(left, "datetime64[ns]")
    for time in np.asarray(entered, "datetime64[ns]") - np.timedelta64(offset, "ns"):
        if len(free):
            free = np.delete(free, np.abs(free - time).argmin())
    return free


def _apart(pairs: pd.DataFrame, begin: str, end: str) -> pd.Series[int]:
    """How many ns from the first time in one column to the first in another, where both have equally many."""
    apart = [
        (b[0] - a[0]).astype("timedelta64[ns]").astype(int) if len(a) == len(b) > 0 else None
        for a, b in zip(pairs[begin], pairs[end], strict=True)
    ]
    return pd.Series(apart, pairs.index, dtype="Int64")
