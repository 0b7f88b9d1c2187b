"""The node under test: pods a and b on the bridge cni0, MASQUERADE on eth0, a server outside.

      pod a  10.244.0.11 -- veth-a --+
                                     cni0 10.244.0.1 -- eth0 192.0.2.10 ---- 192.0.2.100 server
      pod b  10.244.0.12 -- veth-b --+      (node)                              (outside)

The same in IPv6: pods fd00:10:244::b and ::c, gateway ::1, node 2001:db8::10, server 2001:db8::100. The
service addresses 10.96.0.10 and fd00:10:96::10, TCP port 80, lead to the server by DNAT.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from analyzer.errors import LostsynError, MissingTool
from analyzer.lab.echo import TCP, UDP, serve_echo
from analyzer.lab.namespaces import Namespace

POINTS = ("veth-a", "veth-b", "cni0", "eth0")
ECHO_PORT = 7  # RFC 862; also where the first packets go that fill the neighbour tables
MODULES = "veth, bridge, nft_chain_nat, nft_masq, nft_ct and nft_log"
INVALID_GROUP = 5  # nflog group that receives what conntrack calls INVALID; see `analyzer.lab.verdicts`


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Who has which address in one IP version."""

    family: socket.AddressFamily
    prefix: int
    a: str
    b: str
    gateway: str
    node: str
    server: str
    service: str
    anywhere: str


V4 = Addresses(
    family=socket.AF_INET,
    prefix=24,
    a="10.244.0.11",
    b="10.244.0.12",
    gateway="10.244.0.1",
    node="192.0.2.10",
    server="192.0.2.100",
    service="10.96.0.10",
    anywhere="0.0.0.0",  # noqa: S104 - inside a namespace of our own
)
V6 = Addresses(
    family=socket.AF_INET6,
    prefix=64,
    a="fd00:10:244::b",
    b="fd00:10:244::c",
    gateway="fd00:10:244::1",
    node="2001:db8::10",
    server="2001:db8::100",
    service="fd00:10:96::10",
    anywhere="::",
)

# The second chain changes nothing: it tells which packets conntrack called INVALID (priority -150: after
# conntrack at -200, before DNAT at -100).
RULES = f"""
table inet nat {{
    chain prerouting {{
        type nat hook prerouting priority -100;
        ip daddr {V4.service} tcp dport 80 dnat ip to {V4.server}
        ip6 daddr {V6.service} tcp dport 80 dnat ip6 to {V6.server}
    }}
    chain postrouting {{
        type nat hook postrouting priority 100;
        oifname "eth0" masquerade
    }}
}}
table inet verdicts {{
    chain prerouting {{
        type filter hook prerouting priority -150;
        ct state invalid counter log group {INVALID_GROUP}
    }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The namespaces of one run."""

    node: Namespace
    a: Namespace
    b: Namespace
    outside: Namespace


@contextmanager
def built() -> Iterator[Node]:
    """Build the namespaces, links, addresses and rules; remove them in every case.

    Yields:
        The node, with neighbour tables filled and an echo service outside on TCP and UDP port 7.
    """
    with ExitStack() as stack:
        net = Node(**{role: stack.enter_context(Namespace(role)) for role in ("node", "a", "b", "outside")})
        try:
            _connect(net)
        except LostsynError as error:
            raise MissingTool(
                f"this kernel cannot build the laboratory ({MODULES} are needed): {error}"
            ) from None
        _warm_up(net)
        yield net


def bridge_netfilter(where: Namespace, *, on: bool) -> None:
    """Let br_netfilter show the bridge's frames to iptables and connection tracking, or not.

    Raises:
        MissingTool: It shall, and the kernel lacks it.
    """
    try:
        for version in ("iptables", "ip6tables"):
            where.sysctl(f"net.bridge.bridge-nf-call-{version}", int(on))
    except FileNotFoundError:
        if on:
            raise MissingTool(
                "this scenario needs br_netfilter, which this kernel has not loaded: run 'modprobe br_netfilter'"
            ) from None


def _connect(net: Node) -> None:
    for everyone in (net.node, net.a, net.b, net.outside):
        everyone.ip("link", "set", "lo", "up")
    net.node.sysctl("net.ipv4.ip_forward", 1)
    net.node.sysctl("net.ipv6.conf.all.forwarding", 1)
    # With snooping the bridge itself sends IGMP, which counts in `drop` when the table is full.
    net.node.ip("link", "add", "cni0", "type", "bridge", "mcast_snooping", "0")
    for letter, pod in (("a", net.a), ("b", net.b)):
        host = f"veth-{letter}"
        net.node.ip("link", "add", host, "type", "veth", "peer", "name", "eth0", "netns", pod.name)
        net.node.ip("link", "set", host, "master", "cni0", "up")
    net.node.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", net.outside.name)
    for version in (V4, V6):
        _address(net.node, "cni0", version.gateway, version)
        _address(net.node, "eth0", version.node, version)
        _address(net.a, "eth0", version.a, version)
        _address(net.b, "eth0", version.b, version)
        _address(net.outside, "eth0", version.server, version)
        for pod in (net.a, net.b):
            pod.ip("route", "add", "default", "via", version.gateway)
    net.node.run("nft", "-f", "-", stdin=RULES)
    # What conntrack calls INVALID, and late packets that it lets pass, are in dmesg with the reason.
    net.node.sysctl("net.netfilter.nf_conntrack_log_invalid", 255)


def _address(where: Namespace, device: str, address: str, version: Addresses) -> None:
    where.ip("link", "set", device, "up")
    # nodad: the address works at once; duplicate address detection takes a second.
    flags = ("nodad",) if version is V6 else ()
    where.ip("address", "add", f"{address}/{version.prefix}", "dev", device, *flags)


def _warm_up(net: Node) -> None:
    """Fill the neighbour tables, so that no scenario's first packets wait for ARP."""
    kinds = (TCP, UDP)
    serve_echo(net.outside, *((kind, version.anywhere, ECHO_PORT) for kind in kinds for version in (V4, V6)))
    for version in (V4, V6):
        for pod, address in ((net.a, version.a), (net.b, version.b)):
            with pod.entered():
                client = socket.socket(version.family, UDP)
            with client:
                client.settimeout(5)
                client.bind((address, 0))
                client.connect((version.server, ECHO_PORT))
                client.send(b"hello")
                client.recv(64)
