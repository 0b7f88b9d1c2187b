"""Facts as a person reads them."""

from __future__ import annotations

import pytest

from analyzer.report.facts import readable


@pytest.mark.parametrize(
    ("facts", "shown"),
    [
        ({"partner_apart_us": 34.06}, [("time between the two SYNs", "34.1 µs")]),
        ({"answered_after_s": 1.0265}, [("answered after", "1.026 s")]),
        ({"attempts_vanished": 105804}, [("attempts lost", "105,804")]),
        ({"contested_port": 50720}, [("contested port", "50720")]),
        ({"bound": 2784071445}, [("conntrack's bound", "2784071445")]),
        ({"short_by": 39008}, [("off by", "39,008 bytes")]),
        ({"answered": False, "rule": None, "now": []}, [("answered", "no")]),
        ({"something_new": "x"}, [("something new", "x")]),
    ],
)
def test_readable(facts: dict[str, object], shown: list[tuple[str, str]]) -> None:
    """Labels, units, thousands apart in counts and not in names; what is not known is left out."""
    assert shown == readable(facts)
