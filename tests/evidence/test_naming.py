"""Whose an address is."""

from __future__ import annotations

from typing import Any

from analyzer.evidence.drops import DropRecord
from analyzer.evidence.naming import Name, by_address, resolved


def name(name: str, kind: Any = "pod", address: str = "10.244.0.5", **more: str) -> Name:
    """Make one."""
    return Name(address=address, kind=kind, name=name, file="a", **more)


def test_one_name() -> None:
    """A listing that has the namespace tells more, whichever comes first."""
    known = by_address([name("web"), name("web", namespace="shop"), name("web")])
    assert {"10.244.0.5": "shop/web"} == {address: one.text for address, one in known.items()}
    assert "web" == name("web").text


def test_shared() -> None:
    """Pods of the host's network have their node's address, which is the node's."""
    assert "node7" == by_address([name("a"), name("b"), name("node7", "node")])["10.244.0.5"].name
    assert {} == by_address([name("a"), name("b")])


def test_drops_that_name_their_ends() -> None:
    """What names pods gets the addresses that a listing tells; a name of two addresses, or of none, does not."""
    names = [
        Name(address=address, kind="pod", name=name, namespace="lab", file="a")
        for address, name in (("10.0.1.7", "xwing"), ("10.0.1.8", "web"), ("10.0.1.9", "web"))
    ]
    drops = [
        DropRecord(file="a", line=line, source="hubble", src_name=src, dst=dst, dst_name=name)
        for line, (src, dst, name) in enumerate(
            (("lab/xwing", "10.0.2.1", ""), ("xwing", "", "lab/web"), ("lab/nobody", "10.0.2.1", "")), 1
        )
    ]
    found, nameless = resolved([*drops, DropRecord(file="a", line=4, source="tracefs")], names)
    assert ["10.0.1.7", "", "", ""] == [drop.src for drop in found]
    assert 2 == nameless
