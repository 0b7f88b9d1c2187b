"""What rules see of a packet."""

from __future__ import annotations

import pytest

from analyzer.evidence.rules.model import Action, Bits, Match, Rule
from analyzer.evidence.rules.view import View, endpoint
from tests.evidence.rules.texts import packet


def holds(view: View, field: str, *among: object, negated: bool = False) -> bool | None:
    """Ask one condition."""
    match = Match(text="", fields=(field,), among=tuple((one,) for one in among), negated=negated)  # type: ignore[misc]
    return view.holds(Rule(chain="c", number=1, text="", matches=(match,), actions=()))


def test_states() -> None:
    """Before conntrack the state reads as invalid; a rule can take the packet from it."""
    view = View(packet(), None)
    for hook, priority, state in (
        ("prerouting", -300, "invalid"), ("prerouting", -150, "new"), ("output", -300, "invalid"),
        ("forward", -300, "new"), ("ingress", 0, "invalid"),
    ):  # fmt: skip
        view.enter(hook, priority)
        assert holds(view, "state", state)
    view.untracked = True
    assert (True, False) == (holds(view, "state", "untracked"), holds(view, "state", "new"))
    view.untracked = None
    assert holds(view, "state", "new") is None


@pytest.mark.parametrize(
    ("bits", "mark"),
    [
        (Bits(2, 0xFFFFFFFF), 2), (Bits(0x4000, 0x4000), 0x4005), (Bits(5, 0), 0), (Bits(0, 0xFFFFFFFE), 1), (None, None),
    ],
)  # fmt: skip
def test_mark(bits: Bits | None, mark: int | None) -> None:
    """Marks are set, or-ed, xor-ed and masked; one that is not known stays so until it is set wholly."""
    view = View(packet(mark=5), None)
    view.set_mark(bits)
    expected = None if mark is None else True
    assert expected == holds(view, "mark", Bits(mark or 0, 0xFFFFFFFF))
    view.set_mark(None)
    view.set_mark(Bits(1, 1))
    assert holds(view, "mark", Bits(1, 1)) is None
    view.set_mark(Bits(1, 0xFFFFFFFF))
    assert holds(view, "mark", Bits(1, 1))


def test_types() -> None:
    """Addresses are the node's own, of a group, or others'."""
    for dst, kind in (
        ("192.0.2.10", "local"),
        ("127.0.0.1", "local"),
        ("224.0.0.22", "multicast"),
        ("192.0.2.9", "unicast"),
    ):
        view = View(packet(dst=dst), ["192.0.2.10"])
        view.enter("forward", 0)
        assert holds(view, "dsttype", kind)


def test_translation_of_a_redirect() -> None:
    """A redirect's address is one of the node's, nobody says which; a bare port keeps the address."""
    view = View(packet(), ["192.0.2.10"])
    view.translate(Action(kind="redirect", target=":5002"))
    view.enter("input", 0)
    assert (None, None) == (holds(view, "dsttype", "local"), holds(view, "state", "dnat"))
    view = View(packet(), ["192.0.2.10"])
    view.translate(Action(kind="dnat", target=":5002"))
    view.enter("forward", 0)
    assert (True, True) == (holds(view, "dsttype", "unicast"), holds(view, "state", "dnat"))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("10.0.0.1:80", ("10.0.0.1", 80)), ("10.0.0.1", ("10.0.0.1", None)), (":5002", (None, 5002)),
        ("[2001:db8::1]:80", ("2001:db8::1", 80)), ("2001:db8::1:80", ("2001:db8::1:80", None)),
        ("10.0.0.1-10.0.0.9:80", (None, 80)), ("10.0.0.1:80-90", ("10.0.0.1", None)), ("", (None, None)),
    ],
)  # fmt: skip
def test_endpoint(target: str, expected: object) -> None:
    """One address and one port are read, ranges are not."""
    assert expected == endpoint(target)
