"""What is said of a SYN that did not enter, by what the other node's captures are worth."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from analyzer.fleet import losses
from analyzer.fleet.dataset import Recorded, Result
from analyzer.fleet.tables import MOST_SYNS

SECOND = 1_000_000_000


def result(node: str, dropped: int | None = 0) -> Result:
    """A bundle that recorded for a hundred seconds."""
    point = Recorded(name="eth0", role="uplink", first=0, last=100 * SECOND, packets=9, dropped=dropped)
    return Result(path=f"{node}/x", node=node, key=node, fingerprint="1", counts={}, points=(point,))


def row(**more: Any) -> pd.DataFrame:
    """A connection that passed from a to b."""
    told = {
        "node_a": "a", "bundle_a": "a/x", "node_b": "b", "bundle_b": "b/x", "resp_h_a": "10.0.0.2", "offset": 0,
        "syns_a": times(5), "syns_b": times(5), "synacks_a": times(5.5), "confidence": "proven", **more,
    }  # fmt: skip
    counts = {f"n_{name}": len(told[name]) for name in ("syns_a", "syns_b")}
    return pd.DataFrame([told | counts])


def times(*seconds: float) -> list[int]:
    """These seconds as ns."""
    return [round(s * SECOND) for s in seconds]


def lone(**more: Any) -> pd.DataFrame:
    """A connection that left a and entered nowhere."""
    told = {
        "node": "a", "bundle": "a/x", "resp_h": "10.0.0.2", "resp_pkts": 0, "syns": times(7), "rivals": 0, **more,
    }  # fmt: skip
    return pd.DataFrame([told])


@pytest.mark.parametrize(
    ("dropped", "told"),
    [(0, ("vanished", "likely")), (None, ("vanished", "possible")), (3, ("undecidable", "possible"))],
)
def test_what_the_capture_itself_lost(dropped: int | None, told: tuple[str, str]) -> None:
    """A capture that lost nothing makes a loss likely; one that lost packets may have lost these."""
    made = losses.between(lone(), row(), [result("a"), result("b", dropped)])

    assert [told] == list(zip(made["fate"], made["confidence"], strict=True))


def test_an_answer_of_any_kind_is_delivery() -> None:
    """A RST is an answer, too: such connections are not asked about."""
    made = losses.between(lone(resp_pkts=1), row(), [result("a"), result("b")])

    assert 0 == len(made)


def test_others_of_another_bundle_prove_nothing() -> None:
    """That others entered must have been seen at the same time, in the same bundle of the node that they left."""
    made = losses.between(lone(bundle="a/y"), row(), [result("a"), result("b")])

    assert 0 == len(made)


def test_too_many_syns_to_count() -> None:
    """Where the dataset keeps no more times, a difference in number says nothing."""
    pair = row(syns_a=times(*range(MOST_SYNS)), syns_b=times(1))

    assert ["passed"] == losses.within(pair, [result("a"), result("b")])["fate"].tolist()


def test_a_difference_without_clocks() -> None:
    """Two left and one entered; which one is not known, so nothing is said."""
    pair = row(syns_a=times(5, 6), offset=pd.NA)
    made = losses.within(pair, [result("a"), result("b")])

    assert [("undecidable", 0)] == list(zip(made["fate"], made["vanished"], strict=True))
    assert made["because"][0].startswith("2 SYNs left and 1 entered")


def test_more_entered_than_left() -> None:
    """The capture at the node that they left missed one: no loss."""
    pair = row(syns_b=times(5, 6))

    assert ["passed"] == losses.within(pair, [result("a"), result("b")])["fate"].tolist()
