"""A and AAAA at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran

pytestmark = [pytest.mark.kernel, pytest.mark.tshark]
Seen = Callable[[Path, str], list[int]]
SYN = "tcp.flags.syn == 1 && tcp.flags.ack == 0"


def test_clashes_are_resolved_and_nothing_is_lost(ran: Ran, seen: Seen) -> None:
    """From 5.10 on: every question leaves eth0 and is answered; `clash_resolve` has risen, `drop` has not."""
    folder, truth = ran("dns-race")
    told = truth["traffic"]
    assert (80, 0, 0) == (told["questions"], told["unanswered"], told["unanswered_at_last"])
    assert [80, 0, 80, 80] == seen(folder, "udp.dstport == 53")
    assert 0 == truth["counters"]["drop"] == truth["counters"]["insert_failed"]
    assert truth["counters"]["clash_resolve"] > 0
