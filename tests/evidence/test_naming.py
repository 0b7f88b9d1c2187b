"""Whose an address is."""

from __future__ import annotations

from typing import Any

from analyzer.evidence.naming import Name, by_address


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
