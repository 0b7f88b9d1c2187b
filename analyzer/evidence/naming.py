"""Names for addresses: of pods, services, nodes and containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

_RANK = {"service": 0, "node": 1, "pod": 2, "container": 3}
"""Who gives an address its name where several have it: pods of the host's network have their node's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """Whose an address is."""

    address: str
    kind: Literal["pod", "service", "node", "container"]
    name: str
    namespace: str = ""
    """Empty where there is none, or the listing leaves it out."""
    node: str = ""
    """Where a pod runs; empty where the listing does not tell."""
    file: str

    @property
    def text(self) -> str:
        """`kube-system/coredns-5d78c9869d-abcde`."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def says(self) -> str:
        """`10.244.0.11 is pod default/web-0 on node-a`."""
        return f"{self.address} is {self.kind} {self.text}" + (f" on {self.node}" if self.node else "")


def by_address(said: Iterable[Name]) -> dict[str, Name]:
    """Give each address its name; one that several pods share, and no node or service has, gets none."""
    found: dict[str, dict[tuple[str, str], Name]] = {}
    for name in said:
        known = found.setdefault(name.address, {})
        key = name.kind, name.name
        # A listing with namespaces tells more than one without.
        if key not in known or (name.namespace and not known[key].namespace):
            known[key] = name
    names: dict[str, Name] = {}
    for address, known in found.items():
        best = min(_RANK[kind] for kind, _ in known)
        first, *others = [name for name in known.values() if _RANK[name.kind] == best]
        if not others:
            names[address] = first
    return names
