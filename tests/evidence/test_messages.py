"""What the kernel's messages say of lost packets."""

from __future__ import annotations

import pytest

from analyzer.evidence.messages import _MESSAGES, address, message, number, packet, worth

CASES: list[tuple[str, str, dict[str, object]]] = [
        ("IPv4: martian source 10.0.1.77 from 10.0.0.200, on dev eth0", "martian",
         {"src": "10.0.0.200", "dst": "10.0.1.77", "iif": "eth0"}),
        ("IPv4: martian destination 127.0.0.1 from 10.0.0.2, dev cni0", "martian",
         {"src": "10.0.0.2", "dst": "127.0.0.1", "iif": "cni0"}),
        ("neighbour: arp_cache: neighbor table overflow!", "neighbour-overflow", {}),
        ("neighbour: ndisc_cache: neighbor table overflow!", "neighbour-overflow", {}),
        ("ipv4: Neighbour table overflow.", "neighbour-overflow", {}),
        ("Route cache is full: consider increasing sysctl net.ipv6.route.max_size.", "route-overflow", {}),
        ("UDP: bad checksum. From 172.16.9.99:26898 to 172.16.80.252:8472 ulen 82", "bad-checksum",
         {"proto": "udp", "src": "172.16.9.99", "sport": 26898, "dst": "172.16.80.252", "dport": 8472}),
        ("eth0: hw csum failure", "bad-checksum", {"iif": "eth0"}),
        ("UDP: short packet: From 10.0.0.1:53 100/80 to 10.0.0.2:9999", "short-packet",
         {"proto": "udp", "src": "10.0.0.1", "sport": 53, "dst": "10.0.0.2", "dport": 9999}),
        ("e1000e 0000:00:1f.6 eno1: NIC Link is Down", "link-down", {"iif": "eno1"}),
        ("IPv6: ADDRCONF(NETDEV_UP): veth1a2b: link is not ready", "link-down", {"iif": "veth1a2b"}),
        ("IPv6: ADDRCONF(NETDEV_CHANGE): eth0: link becomes ready", "link-up", {"iif": "eth0"}),
        ("ixgbe 0000:01:00.0 eth0: NIC Link is Up 10 Gbps, Flow Control: RX/TX", "link-up", {"iif": "eth0"}),
        ("cni0: port 3(veth1a2b) entered disabled state", "link-down", {"iif": "veth1a2b"}),
        ("cni0: port 3(veth1a2b) entered forwarding state", "link-up", {"iif": "veth1a2b"}),
        ("bond0: link status definitely down for interface eth1, disabling it", "link-down", {"iif": "eth1"}),
        ("NETDEV WATCHDOG: eth0 (virtio_net): transmit queue 0 timed out", "tx-timeout", {"iif": "eth0"}),
        ("TCP: request_sock_TCP: Possible SYN flooding on port 192.0.2.1:80. Sending cookies.", "syn-flood",
         {"dst": "192.0.2.1", "dport": 80}),
        ("TCP: request_sock_TCP: Possible SYN flooding on port 8080. Dropping request.  Check SNMP counters.",
         "syn-flood", {"dport": 8080}),
        ("TCP: out of memory -- consider tuning tcp_mem", "tcp-memory", {}),
        ("TCP: time wait bucket table overflow", "time-wait-overflow", {}),
        ("nf_conntrack: expectation table full", "expectations-full", {}),
        ("nf_conntrack: default automatic helper assignment has been turned off for security reasons", "helper", {}),
        ("IPVS: rr: TCP 10.96.0.1:443 - no destination available", "ipvs",
         {"proto": "tcp", "dst": "10.96.0.1", "dport": 443}),
        ("IPv6: eth0: IPv6 duplicate address 2001:db8::1 used by 02:00:00:00:00:01 detected!", "duplicate-address",
         {"iif": "eth0", "src": "2001:db8::1"}),
        ("Out of memory: Killed process 4711 (coredns) total-vm:1kB", "out-of-memory", {}),
    ]  # fmt: skip


@pytest.mark.parametrize(("line", "about", "fields"), CASES)
def test_messages(line: str, about: str, fields: dict[str, object]) -> None:
    """Each tells what it is about, and the packet or interface that it prints."""
    stamp = "[ 6944.367117] "
    assert worth(stamp + line)
    told = message(stamp + line)
    assert told is not None
    assert (about, fields) == (told[1], told[3])
    assert told[0] >= len(stamp)


def test_every_message_has_a_case() -> None:
    """Whatever is looked for in the kernel's log was found in a line of it."""
    assert {about for about, _, _ in _MESSAGES} == {about for _, about, _ in CASES}


@pytest.mark.parametrize(
    ("line", "about", "says"),
    [
        ("[12.345678] [UFW BLOCK] IN=eth0 OUT=cni0 MAC= SRC=10.0.0.1 DST=10.0.0.2 PROTO=TCP SPT=1 DPT=2 ", "rule-log", "[UFW BLOCK]"),
        ("Mar 10 09:00:00 node7 kernel: [  812.100000] no-egress IN=eth0 OUT=cni0 SRC=10.0.0.1 DST=10.0.0.2 PROTO=TCP SPT=1 DPT=2",
         "rule-log", "no-egress"),
        ("Mar 10 09:00:00 node7 kernel: FINAL_REJECT: IN=eth0 OUT=cni0 SRC=10.0.0.1 DST=10.0.0.2 PROTO=TCP SPT=1 DPT=2",
         "rule-log", "FINAL_REJECT:"),
        ("[12.345678] TRACE: raw:PREROUTING:policy:2 IN=eth0 OUT=cni0 SRC=10.0.0.1 DST=10.0.0.2 PROTO=TCP SPT=1 DPT=2", "trace",
         "raw:PREROUTING:policy:2"),
    ],
)  # fmt: skip
def test_rules(line: str, about: str, says: str) -> None:
    """A packet that a rule logged has its prefix for words."""
    told = message(line)
    assert told is not None
    assert (about, says, "eth0", "cni0", 1, 2) == (
        *told[1:3], *(told[3][name] for name in ("iif", "oif", "sport", "dport"))
    )  # fmt: skip


def test_other_lines() -> None:
    """What tells of no packet is nothing."""
    for line in (
        "[    0.000000] Linux version 6.1.0", "[    1.5] nf_conntrack version 0.5.0 (65536 buckets, 262144 max)",
        "audit: IN= OUT= something", "usb 1-1: link qualification failed",
    ):  # fmt: skip
        assert message(line) is None
    assert not worth("[    0.000000] Linux version 6.1.0")


def test_packet() -> None:
    """The outer packet counts, and what is no address or number is nothing."""
    told = packet("SRC=2001:0db8:0000::1 DST=x PROTO=ICMPv6 [SRC=10.0.0.1 DST=10.0.0.2 ] SPT=70000")

    assert ("2001:db8::1", "", "icmpv6", None) == tuple(told[key] for key in ("src", "dst", "proto", "sport"))
    assert ("10.0.0.1", "") == (address("[10.0.0.1]"), address("ten"))
    assert (5, None, None) == (number("5", 5), number("6", 5), number(None, 5))
