"""The sentence on data connections that no helper expected; `tests/incident/test_second_connection.py` has how they are told."""

from __future__ import annotations

import pytest

from analyzer.incident.causes import helper_missing
from analyzer.incident.explanation import Loss


@pytest.mark.parametrize(
    ("count", "says"), [(1, "1 data connection of a server"), (2, "2 data connections of a server")]
)
def test_summary(count: int, says: str) -> None:
    """One or several."""
    told = helper_missing.summary(Loss(connections=count, packets=count, gap=("cni0", "eth0"), delay_s=0))

    assert told.startswith(says)
