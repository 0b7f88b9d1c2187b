"""What the node says of its routes, neighbours, sockets, virtual services and modules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class NextHop:
    """One of the ways of a route with several."""

    gateway: str | None
    dev: str | None
    weight: int = 1
    flags: frozenset[str] = frozenset()
    """`onlink`, `linkdown`, `dead`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route of the node."""

    dst: str
    """`10.244.0.0/24`; a default route is `0.0.0.0/0` or `::/0`."""
    kind: str
    """`unicast`, `local`, `broadcast`, `blackhole`, `unreachable`, `prohibit`, ..."""
    gateway: str | None
    dev: str | None
    table: str
    """`main` where the source does not say."""
    file: str
    nexthops: tuple[NextHop, ...] = ()
    """Of a multipath route, which has no gateway and device of its own."""
    metric: int | None = None
    src: str | None = None
    """The address that the node's own packets get."""
    flags: frozenset[str] = frozenset()
    """`onlink`, `linkdown`, `dead`."""

    @property
    def hops(self) -> tuple[NextHop, ...]:
        """Its ways, whether one or several; none for a route that leads nowhere."""
        if self.nexthops or not (self.dev or self.gateway):
            return self.nexthops
        return (NextHop(gateway=self.gateway, dev=self.dev, flags=self.flags),)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRule:
    """A rule of `ip rule`: which table is asked for which packets, the lowest priority first."""

    priority: int
    src: str | None
    """None for all, as the other conditions."""
    dst: str | None
    iif: str | None
    oif: str | None
    fwmark: str | None
    """`0x80/0x80`."""
    table: str
    """`main`, `local`, `2`, ...; empty where the rule has another action."""
    action: str
    """`lookup`, else `unreachable`, `blackhole`, `prohibit`, `goto`, ..."""
    text: str
    """The whole rule in the words of `ip rule`, with what the other fields do not tell."""
    negated: bool
    family: Literal["", "ipv4", "ipv6"]
    """Empty where nothing in the listing says."""
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """What the node knows of a neighbour: ARP and neighbour discovery."""

    address: str
    dev: str
    mac: str | None
    """None while it is not resolved."""
    state: str
    """`REACHABLE`, `STALE`, `DELAY`, `FAILED`, `INCOMPLETE`, ...; empty where none is told."""
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IpvsConnection:
    """A connection of the virtual server's table, as `ipvsadm -Lcn` lists it."""

    proto: str
    expires: int
    """Seconds."""
    state: str
    client: str
    """`10.0.0.1:34567`, as all endpoints here."""
    virtual: str
    destination: str
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IpvsService:
    """A virtual service, as `ipvsadm -Ln` lists it."""

    proto: str
    """`tcp`, `udp`, `sctp`, `fwm`."""
    address: str
    """`10.96.44.5:80`; a mark for `fwm`."""
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """An interface's offloads, as `ethtool -k` lists them."""

    dev: str
    """Empty where the listing was cut above its head."""
    on: dict[str, bool]
    """`tx-checksumming`, `tcp-segmentation-offload`, ..."""
    fixed: frozenset[str]
    """Those that cannot be changed."""
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FdbEntry:
    """Where a bridge or VXLAN sends a MAC address, as `bridge fdb` lists it."""

    mac: str
    dev: str
    master: str
    dst: str
    """The address of the tunnel's other end; empty for a port of a bridge."""
    state: str
    """`permanent`, `static`, `offload`, `self`, ... in a row."""
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Socket:
    """A socket of the node, as `ss` or `netstat` lists it."""

    proto: str
    """`tcp`, `udp`, ..."""
    state: str
    """As ss calls it: `LISTEN`, `ESTAB`, `SYN-SENT`, `TIME-WAIT`, `UNCONN`, ..."""
    local: str
    """`10.0.0.1:443`, `[2001:db8::1]:443`, `*:53`; interfaces stand behind the address: `10.0.0.1%eth0:68`."""
    peer: str
    received: int
    """Bytes (of a listener: connections) that the program has not taken yet."""
    sent: int
    """Bytes that the peer has not acknowledged; of a listener the most connections that may wait."""
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A loaded module of the kernel."""

    name: str
    file: str


Trouble = Literal["rules", "entries", "port", "api", "upstream"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonLine:
    """A line of kube-proxy's or CoreDNS' log that tells what it could not do."""

    daemon: Literal["kube-proxy", "CoreDNS"]
    about: Trouble
    """`rules` that were not written, conntrack `entries` that were not deleted, a `port` that was not opened, the `api` server
    out of reach; an `upstream` that did not answer CoreDNS."""
    says: str
    """The message, without time and place."""
    file: str
    line: int
    """Of the file, from 1."""
    proto: str = ""
    """Of `upstream`: `udp` or `tcp`."""
    src: str = ""
    """Of `upstream`, with the port: CoreDNS' own end; empty where it is no address."""
    dst: str = ""
