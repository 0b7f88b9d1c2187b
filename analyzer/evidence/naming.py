"""Names for addresses: of pods, services, nodes and containers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from analyzer.evidence.drops import DropRecord

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


def resolved(records: Sequence[DropRecord], names: Iterable[Name]) -> tuple[list[DropRecord], int]:
    """Give drops of which a source names the ends the addresses that listings tell, and count those that stay without.

    A name that has several addresses gets none.
    """
    found: dict[str, set[str]] = {}
    for name in names:
        found.setdefault(name.text, set()).add(name.address)
        found.setdefault(name.name, set()).add(name.address)
    known = {name: next(iter(addresses)) for name, addresses in found.items() if len(addresses) == 1}
    told = [
        replace(one, src=src, dst=dst)
        if (one.src_name or one.dst_name)
        and (src := one.src or known.get(one.src_name, ""))
        and (dst := one.dst or known.get(one.dst_name, ""))
        else one
        for one in records
    ]
    return told, sum(bool(one.src_name or one.dst_name) and not (one.src and one.dst) for one in told)


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
