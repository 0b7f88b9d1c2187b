"""What several listings tell of an interface."""

from __future__ import annotations

from typing import Any

from analyzer.capture.link import Link
from analyzer.evidence.links import is_address, merge


def link(index: int | None, name: str, file: str = "a", **more: Any) -> Link:
    """Make one without much."""
    return Link(**({"mac": None, "addresses": ()} | more), index=index, name=name, file=file)


def test_with_and_without_an_index() -> None:
    """A listing without indexes completes the one that has them, whichever comes first."""
    brief = link(None, "eth0", "b", addresses=("192.0.2.10",), state="UP")
    (merged,), differing = merge([brief, link(2, "eth0", mtu=1500)])

    assert (2, "UP", 1500, ("192.0.2.10",)) == (merged.index, merged.state, merged.mtu, merged.addresses)
    assert [] == differing


def test_without_any_index() -> None:
    """They are told apart by their names."""
    merged, _ = merge([link(None, "eth0"), link(None, "eth1"), link(None, "eth0", mtu=9000)])

    assert [("eth0", 9000), ("eth1", None)] == [(one.name, one.mtu) for one in merged]


def test_contradiction() -> None:
    """One name with two MAC addresses is of two nodes: the first is kept, and it is said."""
    merged, (says,) = merge(
        [link(None, "eth0", mac="02:00:00:00:00:01"), link(None, "eth0", "b", mac="02:00:00:00:00:02")]
    )

    assert ["02:00:00:00:00:01"] == [one.mac for one in merged]
    assert says.startswith("b: an interface is eth0 (02:00:00:00:00:02), but eth0 (02:00:00:00:00:01) in a;")


def test_up() -> None:
    """Flags tell most, then the state; without either nobody knows."""
    assert link(1, "eth0", flags=frozenset({"UP", "LOWER_UP"}), state="UP").up is True
    assert link(1, "eth0", flags=frozenset({"UP", "NO-CARRIER"}), state="DOWN").up is False
    assert link(1, "eth0", flags=frozenset({"BROADCAST"})).up is False
    assert link(1, "lo", flags=frozenset({"UP", "LOWER_UP"}), state="UNKNOWN").up is True
    assert (False, None, None) == (
        link(1, "x", state="DOWN").up,
        link(1, "x", state="UNKNOWN").up,
        link(1, "x").up,
    )


def test_addresses() -> None:
    """An address with a scope is none that packets have."""
    assert is_address("2001:db8::1")
    assert not is_address("fe80::1%eth0")
    assert not is_address("eth0")


def test_what_changed_meanwhile() -> None:
    """Of flags and state the last listing tells."""
    (merged,), _ = merge(
        [
            link(2, "eth0", flags=frozenset({"UP", "LOWER_UP"}), state="UP"),
            link(2, "eth0", "b", flags=frozenset({"UP", "NO-CARRIER"}), state="DOWN"),
            link(2, "eth0", "c"),
        ]
    )

    assert (False, "DOWN") == (merged.up, merged.state)
