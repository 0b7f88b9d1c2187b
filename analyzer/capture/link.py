"""A network interface of the node, as its interface table tells of it."""

from __future__ import annotations

from dataclasses import dataclass, field

_DOWN = frozenset({"DOWN", "LOWERLAYERDOWN", "NOTPRESENT", "DORMANT"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A network interface of the node."""

    index: int | None
    """Its ifindex, which SLL2 captures name interfaces by; None where the source lists none (`ip -br`, ifconfig)."""
    name: str
    mac: str | None
    """`02:42:ac:11:00:02`; None where the source does not tell, or it is not Ethernet's."""
    addresses: tuple[str, ...]
    """IPv4 and IPv6 addresses without prefix lengths."""
    file: str
    mtu: int | None = None
    flags: frozenset[str] = frozenset()
    """`UP`, `LOWER_UP`, `NO-CARRIER`, `BROADCAST`, ... as `ip link` prints them; empty where the source has none."""
    state: str = ""
    """The operational state: `UP`, `DOWN`, `LOWERLAYERDOWN`, `UNKNOWN`, ...; empty where the source has none."""
    kind: str = ""
    """`veth`, `bridge`, `vxlan`, `vlan`, `bond`, `ipip`, `wireguard`, ...; empty for a physical one, and where
    the source does not tell."""
    master: str = ""
    """The bridge, bond or VRF that it is a port of."""
    parent: str = ""
    """What stands behind its `@`: a VLAN's interface, a veth's other end (`if5` in another namespace)."""
    settings: dict[str, str] = field(default_factory=dict)
    """Of its kind, by their names in `ip -j -d link`: a VXLAN's `id`, `port`, `local`; a VLAN's `id`; a bridge port's
    `hairpin`."""

    @property
    def up(self) -> bool | None:
        """Whether it can carry packets; None where the source tells neither flags nor state."""
        if self.flags:
            return "UP" in self.flags and "NO-CARRIER" not in self.flags and self.state not in _DOWN
        return self.state not in _DOWN if self.state not in ("", "UNKNOWN") else None
