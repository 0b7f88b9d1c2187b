"""The printed fixes on the running kernel: with the faults made, told and mended as told, nothing is lost any more."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.lab.echo import UDP, serve_echo
from analyzer.lab.namespaces import Namespace
from analyzer.lab.node import V4, V6, Addresses, Node, built
from analyzer.lab.recording import recorded
from analyzer.report.words import placeholders

pytestmark = pytest.mark.kernel

PATIENCE_S = 0.3
PORTS = range(5001, 5006)
FAULTS = (
    "iptables -A FORWARD -p udp --dport 5001 -s 10.244.0.11 -m comment --comment 'one of two' -j DROP",
    "iptables -A FORWARD -p udp --dport 5001 -j DROP",
    "ip6tables -A FORWARD -p udp --dport 5002 -j DROP",
    "nft add table inet strict",
    "nft 'add chain inet strict forward { type filter hook forward priority 5; policy accept; }'",
    "nft 'add rule inet strict forward udp dport { 5003, 5009 } counter reject'",
    "nft 'add rule inet strict forward iifname \"eth0\" udp sport 5004 drop'",
    "nft 'add chain inet strict input { type filter hook input priority 5; policy accept; }'",
    "nft add rule inet strict input udp dport 5005 drop",
)
"""Port 5001 is dropped twice, 5002 in IPv6, 5003 rejected; of 5004 the answers are dropped, 5005 is the node's own."""


def test_rules_that_lose_packets(tmp_path: Path) -> None:
    """Rules of iptables, ip6tables and nft, one behind another, of requests and answers, forwarded and for the node itself."""
    with built() as net:
        serve_echo(net.outside, *((UDP, each.server, port) for port in PORTS for each in (V4, V6)))
        serve_echo(net.node, (UDP, V4.gateway, 5005))
        for fault in FAULTS:
            _shell(net.node, fault)
        with recorded(net.node, tmp_path, ["veth-a", "cni0", "eth0"]):
            assert set(PORTS) == _unanswered(net)
        _mend(net, tmp_path)

        assert set() == _unanswered(net)


def test_a_link_that_was_set_down(tmp_path: Path) -> None:
    """Its routes go with it, and the node answers that there is none; it is up again, and they are back."""
    with built() as net:
        serve_echo(net.outside, (UDP, V4.server, 5001))
        with recorded(net.node, tmp_path, ["veth-a", "cni0", "eth0"]):
            assert _asked(net, V4, (V4.server, 7))
            net.node.ip("link", "set", "eth0", "down")
            assert not _asked(net, V4, (V4.server, 5001))

        assert {"link-down"} == _mend(net, tmp_path)
        assert _asked(net, V4, (V4.server, 5001))


def test_an_entry_from_before_its_rule(tmp_path: Path) -> None:
    """A client that keeps its port is led where nobody is, until its entry is deleted: the table and the rules tell."""
    service = ("198.51.100.53", 53)
    with built() as net:
        serve_echo(net.outside, (UDP, V4.server, 5002))
        net.node.ip("route", "add", f"{service[0]}/32", "via", V4.server)
        with net.a.entered():
            client = socket.socket(V4.family, UDP)
        with client:
            client.settimeout(PATIENCE_S)
            client.connect(service)
            with recorded(net.node, tmp_path, ["veth-a", "cni0", "eth0"]):
                assert not _answered(client)
                rule = f"ip daddr {service[0]} udp dport {service[1]} dnat ip to {V4.server}:5002"
                net.node.run("nft", f"add rule inet nat prerouting {rule}")
                assert not _answered(client, 4)

            assert {"stale-entry"} == _mend(net, tmp_path)
            assert _answered(client)


def _mend(net: Node, folder: Path) -> set[str]:
    """Run the commands of all fixes that change something, and say of which causes."""
    incidents = analyze(folder).incidents
    commands = {
        remedy.command
        for incident in incidents
        for remedy in incident.remedies
        if not placeholders(remedy.command)
        and not remedy.command.startswith("kubectl")
        and not remedy.risk.startswith("None: read-only")
    }
    for command in sorted(commands):
        _shell(net.node, command)
    return {incident.cause for incident in incidents}


def _shell(where: Namespace, command: str) -> None:
    where.run("sh", "-c", command)


def _unanswered(net: Node) -> set[int]:
    """Ask every port from the pod, and one that always answers before, between and after."""
    return {
        port
        for each in PORTS
        for port, version, to in (
            (7, V4, V4.server),
            (each, V6, V6.server) if each == 5002 else (each, V4, V4.gateway if each == 5005 else V4.server),
            (7, V4, V4.server),
        )
        if not _asked(net, version, (to, port))
    }


def _asked(net: Node, version: Addresses, to: tuple[str, int]) -> bool:
    with net.a.entered(), socket.socket(version.family, UDP) as client:
        client.settimeout(PATIENCE_S)
        client.connect(to)
        return _answered(client)


def _answered(client: socket.socket, times: int = 2) -> bool:
    """Whether each of some datagrams is answered."""
    answers = 0
    for _ in range(times):
        client.send(b"hello")
        with suppress(OSError):
            answers += len(client.recv(64)) == 5
    return answers == times
