"""Segments."""

from __future__ import annotations

import pytest

from analyzer.conntrack import Segment
from analyzer.conntrack.states import ACK, FIN, SYN


@pytest.mark.parametrize(
    ("seq", "flags", "payload", "expected"),
    [
        (100, ACK, 0, 100),
        (100, SYN, 0, 101),
        (100, FIN | ACK, 50, 151),
        (2**32 - 1, SYN, 0, 0),
        (2**32 - 10, ACK, 1460, 1450),
    ],
)
def test_end_counts_syn_and_fin_and_wraps(seq: int, flags: int, payload: int, expected: int) -> None:
    """SYN and FIN take a sequence number each, and the numbers wrap around."""
    segment = Segment(reply=False, time=0, seq=seq, flags=flags, window=1, payload=payload)

    assert expected == segment.end
