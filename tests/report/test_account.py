"""The account in words."""

from __future__ import annotations

from analyzer.connection.model import Account
from analyzer.incident.model import Coverage
from analyzer.report import account

OPEN = Account(
    connections=1_246,
    worked=1_000,
    node=0,
    outside=20,
    unknown=226,
    why_unknown={"not-recording": 223, "unfinished": 3},
)


def test_numbers_without_zeros() -> None:
    """What is zero is not shown; what the end cut off is no failure; the parts add up."""
    told = account.numbers(OPEN)

    assert ["all", "worked", "outside", "open", "cut"] == [name for name, _, _ in told]
    assert OPEN.connections == sum(number for _, number, _ in told[1:])


def test_line() -> None:
    """One line, thousands apart."""
    assert account.line(OPEN).startswith(
        "1,246 connections: 1,000 worked, 20 failed or delayed outside this node"
    )
    assert "0 connections" == account.line(Account())
    assert "1 connection: 1 worked" == account.line(Account(connections=1, worked=1))


def test_whys() -> None:
    """The most frequent reason comes first, in words; a code that nobody knows stands for itself."""
    assert account.whys(OPEN)[0] == "223 connections: nothing shows that the next point was recording then"
    assert "brand-new" == account.why("brand-new")


def test_coverage() -> None:
    """How long the point recorded, and for how many packets nobody can tell."""
    one = Coverage(
        gap=("cni0", "eth0"),
        point="eth0",
        recorded=60_000_000,
        whole=2_600_000_000,
        packets=246,
        open=223,
        why={"not-recording": 223},
    )

    assert account.coverage(one) == (
        "eth0 recorded 0.06 of 2.60 s; cannot tell for 223 of 246 requests and replies from cni0: nothing shows that the next "
        "point was recording then"
    )


def test_outcomes() -> None:
    """Two outcomes that a reader calls the same are one."""
    assert account.outcomes({"timed-out": 3, "refused": 1, "unanswered": 2}) == "5 sent, no reply; 1 refused"
