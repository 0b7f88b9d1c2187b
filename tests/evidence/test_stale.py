"""Entries that contradict the rules, and the command that deletes each."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer.evidence import stale as module
from analyzer.evidence.rules.joining import join
from analyzer.evidence.rules.model import Ruleset
from analyzer.evidence.sources import conntrack_table, iptables_save, nft_text
from analyzer.evidence.stale import StaleEntry, delete, stale
from analyzer.evidence.table import Table
from analyzer.lab.experiment import conduct
from analyzer.lab.namespaces import Namespace

KUBE = """*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-DNS - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-SEP-B - [0:0]
:KUBE-MARK-MASQ - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m comment --comment "dns" -m udp --dport 53 -j KUBE-SVC-DNS
-A KUBE-SERVICES -d 10.96.0.20/32 -p udp -m udp --dport 53 -j KUBE-SEP-C
-A KUBE-SVC-DNS ! -s 10.244.0.0/16 -d 10.96.0.10/32 -p udp -m udp --dport 53 -j KUBE-MARK-MASQ
-A KUBE-SVC-DNS -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A
-A KUBE-SVC-DNS -j KUBE-SEP-B
-A KUBE-SEP-A -s 10.244.0.5/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-A -p udp -m udp -j DNAT --to-destination 10.244.0.5:53
-A KUBE-SEP-B -p udp -m udp -j DNAT --to-destination 10.244.0.6:53
COMMIT
"""
KUBE = KUBE.replace(":KUBE-MARK-MASQ - [0:0]\n", ":KUBE-MARK-MASQ - [0:0]\n:KUBE-SEP-C - [0:0]\n").replace(
    "COMMIT", "-A KUBE-SEP-C -p udp -m udp -j DNAT --to-destination 10.244.0.7:53\nCOMMIT"
)
DOCKER = """*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p udp -m udp --dport 514 -j DNAT --to-destination 172.17.0.2:5140
COMMIT
"""
NETAVARK = """table ip nat {
	chain PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local counter jump NETAVARK-HOSTPORT-DNAT
	}
	chain NETAVARK-HOSTPORT-DNAT {
		meta l4proto udp udp dport 514 counter dnat to 10.88.0.9:5141
	}
}
"""
KUBE_NFT = """table ip kube-proxy {
	map service-ips {
		type ipv4_addr . inet_proto . inet_service : verdict
		elements = { 10.96.0.10 . udp . 53 : goto service-dns }
	}
	chain nat-prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr . meta l4proto . th dport vmap @service-ips
	}
	chain nat-output {
		type nat hook output priority -100; policy accept;
		ip daddr . meta l4proto . th dport vmap @service-ips
	}
	chain service-dns {
		numgen random mod 2 vmap { 0 : goto endpoint-a, 1 : goto endpoint-b }
	}
	chain endpoint-a {
		meta l4proto udp dnat to 10.244.0.5:53
	}
	chain endpoint-b {
		meta l4proto udp dnat to 10.244.0.6:53
	}
}
"""
MAPS = """table ip nat {
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr 10.96.0.10 udp dport 53 dnat ip to numgen random mod 2 map { 0 : 10.244.0.5 . 53, 1 : 10.244.0.6 . 53 }
	}
}
"""


def rules(text: str) -> Ruleset:
    """Parse rules of either form."""
    source = iptables_save if text.startswith("*") else nft_text
    return join([fact for fact in source.parse(text, "rules") if isinstance(fact, Ruleset)])[-1]


def entry(dst: str, port: int, to: str, to_port: int, src: str = "10.244.0.9", sport: int = 40000) -> str:
    """Write an entry for UDP."""
    return (
        f"udp      17 29 src={src} dst={dst} sport={sport} dport={port} src={to} dst={src} sport={to_port} "
        f"dport={sport} mark=0 use=1\n"
    )


def table(*lines: str) -> Table:
    """Parse a listing."""
    (found,) = conntrack_table.parse("".join(lines), "conntrack.txt")
    assert isinstance(found, Table)
    return found


def told(text: str, *lines: str, local: set[str] | None = None) -> list[StaleEntry]:
    """Say what is stale."""
    found, unchecked = stale(table(*lines), rules(text), local=local)
    assert 0 == unchecked
    return list(found)


@pytest.mark.parametrize("text", [KUBE, KUBE_NFT, MAPS])
def test_services(text: str) -> None:
    """Endpoints of the rules are right, each of them; one that is gone is not, and the rules say where it goes now."""
    good = [
        entry("10.96.0.10", 53, to, 53, sport=port) for port, to in ((1, "10.244.0.5"), (2, "10.244.0.6"))
    ]
    (found,) = told(text, *good, entry("10.96.0.10", 53, "10.244.0.4", 53, sport=47123))
    assert ("gone", "10.244.0.4:53", ("10.244.0.5:53", "10.244.0.6:53")) == (
        found.kind,
        found.target,
        found.now,
    )
    assert "conntrack -D -p udp -s 10.244.0.9 -d 10.96.0.10 --sport 47123 --dport 53" == found.command


def test_endpoint_of_another_service() -> None:
    """It is there, but not for this service."""
    (found,) = told(
        KUBE, entry("10.96.0.10", 53, "10.244.0.7", 53), entry("10.96.0.20", 53, "10.244.0.7", 53)
    )
    assert ("elsewhere", "10.244.0.7:53") == (found.kind, found.target)


@pytest.mark.parametrize("text", [KUBE, KUBE_NFT])
def test_entries_made_before_the_rule(text: str) -> None:
    """The destination itself answers them, or nobody; every way through the rules now leads to an endpoint."""
    (found,) = told(text, entry("10.96.0.10", 53, "10.96.0.10", 53))
    assert ("untranslated", "10.96.0.10:53") == (found.kind, found.target)
    assert [] == told(text, entry("192.0.2.9", 53, "192.0.2.9", 53)), "somebody else's name server"


def test_docker() -> None:
    """By which interface a packet came is not in the table, so both ways are possible; the port tells."""
    assert [] == told(DOCKER, entry("192.0.2.1", 514, "172.17.0.2", 5140))
    (found,) = told(DOCKER, entry("192.0.2.1", 514, "172.17.0.3", 5140))
    assert ("gone", ("172.17.0.2:5140",)) == (found.kind, found.now)
    assert [] == told(DOCKER, entry("192.0.2.1", 514, "192.0.2.1", 514)), "it may have come by docker0"


def test_hostport() -> None:
    """A container that was restarted with another address; the sender keeps its port."""
    old, new = (
        entry("192.168.20.2", 514, "10.88.0.5", 5141),
        entry("192.168.20.2", 514, "10.88.0.9", 5141, sport=5),
    )
    (found,) = told(NETAVARK, old, new)
    assert ("gone", "10.88.0.5:5141", ("10.88.0.9:5141",)) == (found.kind, found.target, found.now)
    # Made before the container ran: delivered to the node itself. With the node's addresses known that is certain.
    before = entry("192.168.20.2", 514, "192.168.20.2", 514, src="192.168.20.1")
    assert [] == told(NETAVARK, before)
    assert ["untranslated"] == [f.kind for f in told(NETAVARK, before, local={"192.168.20.2"})]
    # The node itself passes OUTPUT, which has no rules.
    assert [] == told(NETAVARK, before.replace("192.168.20.1", "192.168.20.2"), local={"192.168.20.2"})


def test_ranges_and_redirects() -> None:
    """Any address and port within a range is right; a redirect leads to any address of the node."""
    text = (
        "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d 192.0.2.1/32 -p udp -m udp --dport 53 -j DNAT "
        "--to-destination 10.0.0.2-10.0.0.4:1000-2000\n-A PREROUTING -d 192.0.2.2/32 -p udp -m udp --dport 53 -j REDIRECT "
        "--to-ports 5300\nCOMMIT\n"
    )
    right = [entry("192.0.2.1", 53, "10.0.0.3", 1500), entry("192.0.2.2", 53, "127.0.0.1", 5300, sport=4)]
    assert [] == told(text, *right)
    wrong = [entry("192.0.2.1", 53, "10.0.0.5", 1500), entry("192.0.2.2", 53, "127.0.0.1", 5301, sport=4)]
    assert 2 == len(told(text, *wrong))


def test_nothing_is_said_without_the_whole_rules() -> None:
    """Cut rules, rules without translation (IPVS, eBPF), and rules with a match that is unknown."""
    one = entry("10.96.0.10", 53, "10.244.0.4", 53)
    assert [] == told("*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n", one)
    cut = list(iptables_save.parse(KUBE[:-100], "a"))
    for ruleset in cut:
        if isinstance(ruleset, Ruleset):
            assert () == stale(table(one), ruleset).entries
    assert () == stale(table(one), rules(KUBE), virtual={"10.96.0.10"}).entries


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What there was no time for is counted."""
    monkeypatch.setattr(module, "LOOKS", 8)
    lines = [entry("10.96.0.10", 53, "10.244.0.4", 53), entry("10.96.0.20", 53, "10.244.0.3", 53)]
    assert 1 == stale(table(*lines), rules(KUBE)).unchecked


ECHO = "icmp     1 29 src=10.0.0.1 dst=192.0.2.1 type=8 code=0 id=4660 src=192.0.2.1 dst=10.0.0.1 type=0 code=0 id=4660 use=1\n"
V6 = (
    "tcp      6 119 SYN_SENT src=2001:db8::1 dst=2001:db8::2 sport=41000 dport=80 [UNREPLIED] src=2001:db8::2 "
    "dst=2001:db8::1 sport=80 dport=41000 mark=0 use=1\n"
)


def test_commands() -> None:
    """ICMP goes by its id, IPv6 by its family, protocols without ports by addresses."""
    assert "conntrack -D -p icmp -s 10.0.0.1 -d 192.0.2.1 --icmp-id 4660" == delete(table(ECHO)[0])
    assert "conntrack -D -f ipv6 -p tcp -s 2001:db8::1 -d 2001:db8::2 --sport 41000 --dport 80" == delete(
        table(V6)[0]
    )


@pytest.fixture
def where() -> Iterator[Namespace]:
    """A namespace that tracks what it sends itself."""
    with Namespace("stale") as namespace:
        namespace.ip("link", "set", "lo", "up")
        namespace.run(
            "nft",
            "add table ip t; add chain ip t o { type filter hook output priority 0; }; add rule ip t o ct state new",
        )
        yield namespace


@pytest.mark.kernel
def test_a_service_whose_endpoint_was_replaced(tmp_path: Path) -> None:
    """The laboratory's stale entry is the one that contradicts the node's rules; newer connections' entries do not."""
    port = conduct("stale-entry", tmp_path)["traffic"]["port"]
    listing = table((tmp_path / "after/conntrack-L.txt").read_text())
    (found,) = stale(listing, rules((tmp_path / "after/nft-ruleset.txt").read_text())).entries
    assert ("gone", port) == (found.kind, found.entry.orig_sport)
    assert len(listing.only(proto="udp", orig_dport=53)) > 1


@pytest.mark.kernel
def test_the_command_deletes_one_entry(where: Namespace) -> None:
    """Conntrack itself deletes the entry, and no other that has the same destination or the same source port."""
    with where.entered():
        senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
        for sender, port in zip(senders, (40001, 40002, 40003), strict=True):
            sender.bind(("127.0.0.1", port))
            sender.sendto(b"x", ("127.0.0.1", 9))
            sender.sendto(b"x", ("127.0.0.1", 10))
            sender.close()
        echo = struct.pack("!BBHHH", 8, 0, 0, 4660, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sender:
            sender.sendto(
                echo[:2] + struct.pack("!H", 0xFFFF - 0x0800 - 4660 - 1) + echo[4:], ("127.0.0.1", 0)
            )
    listed = table(where.run("conntrack", "-L"))
    (ping,) = listed.only(proto="icmp")
    where.run(*delete(ping).split())
    before = table(where.run("conntrack", "-L"))
    assert len(listed) - 1 == len(before)
    chosen = next(one for one in before if (one.orig_sport, one.orig_dport) == (40002, 10))
    where.run(*delete(chosen).split())
    after = table(where.run("conntrack", "-L"))
    assert {(e.orig_sport, e.orig_dport) for e in before} - {(40002, 10)} == {
        (e.orig_sport, e.orig_dport) for e in after
    }
