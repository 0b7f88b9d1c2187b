"""Who asks."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from analyzer.web.desk import operator, who
from analyzer.web.refusal import Refusal


@pytest.mark.parametrize(
    ("named", "shown", "is_called"),
    [("", "", ""), ("", "ci", "ci"), ("ann", "", "ann"), ("ann", "ci", "ann")],
)
def test_who_asks(named: str, shown: str, is_called: str) -> None:
    """The user that a server in front named, else the token's; only nobody's name is the operator."""
    request = Request({"type": "http", "user": named, "state": {"shown": shown}})

    assert is_called == who(request)
    if is_called:
        with pytest.raises(Refusal, match="Only the operator"):
            operator(request)
    else:
        operator(request)
