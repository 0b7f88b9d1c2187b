"""Wireshark display filters."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from analyzer.report import filters


@pytest.mark.parametrize(
    ("src", "dst", "proto", "expected"),
    [
        (
            "10.244.0.11:20000",
            "192.0.2.100:80",
            "tcp",
            "ip.addr == 10.244.0.11 && tcp.port == 20000 && ip.addr == 192.0.2.100 && tcp.port == 80",
        ),
        (
            "[2001:db8::11]:5353",
            "[2001:db8::53]:53",
            "udp",
            "ipv6.addr == 2001:db8::11 && udp.port == 5353 && ipv6.addr == 2001:db8::53 && udp.port == 53",
        ),
        ("10.244.0.11", "192.0.2.100", "icmp", "ip.addr == 10.244.0.11 && ip.addr == 192.0.2.100 && icmp"),
        (
            "[fe80::1%eth0]:1",
            "[fe80::2]:1",
            "tcp",
            "ipv6.addr == fe80::1 && tcp.port == 1 && ipv6.addr == fe80::2",
        ),
        ("10.0.0.1:1 || frame", "10.0.0.2:2", "tcp", None),
        ("localhost:80", "10.0.0.2:2", "tcp", None),
    ],
)
def test_flow(src: str, dst: str, proto: str, expected: str | None) -> None:
    """A five-tuple becomes a filter of both directions; what is no address becomes none."""
    assert expected == filters.flow(src, dst, proto)


def test_connection_is_found_inside_and_outside(sample) -> None:
    """The filter of a connection names its addresses at every point, and not its partner's."""
    text = filters.connections(sample.RACE.findings[:1]).text

    assert text == (
        "(ip.addr == 10.244.0.11 && tcp.port == 20000 && ip.addr == 192.0.2.100 && tcp.port == 80) || "
        "(ip.addr == 192.0.2.10 && tcp.port == 37408 && ip.addr == 192.0.2.100 && tcp.port == 80)"
    )


def test_filters_are_bounded(sample) -> None:
    """Thousands of connections, or of frames, make a short filter that counts what it leaves out."""
    sightings = [sample.seen("eth0", number, 0, "a", "b") for number in range(1, 5000)]
    few = filters.connections(sample.many(300).incidents[0].findings)
    some = filters.frames(sightings)["eth0.pcap"]

    assert len(few.text) <= filters.LENGTH
    assert few.text.count("||") + 1 in {2 * (300 - few.hidden), 2 * (300 - few.hidden) + 1}
    assert len(some.text) <= filters.LENGTH + 20
    assert 4999 == some.text.count(",") + 1 + some.hidden


def test_unreadable_addresses_make_no_filter(sample) -> None:
    """A flow whose addresses cannot be read gives an empty filter rather than a wrong one."""
    finding = dataclasses.replace(sample.RACE.findings[0], inner="? > ?", outer=None, passages=())

    assert ("", 0) == filters.connections([finding])


def test_frames_by_file(sample) -> None:
    """Each file has its frames, once and in order."""
    sightings = [sample.seen("cni0", number, 0, "a", "b") for number in (40, 12, 40)]

    assert {"cni0.pcap": ("frame.number in {12, 40}", 0)} == filters.frames(sightings)


@pytest.mark.tshark
def test_tshark_selects_the_connection(sample, tmp_path: Path) -> None:
    """Wireshark's own engine takes the filters, and selects the connection on both sides of NAT."""
    if not shutil.which("tshark"):
        (pytest.fail if os.environ.get("LOSTSYN_STRICT") else pytest.skip)("tshark is not installed")
    from scapy.layers.inet import IP, TCP
    from scapy.layers.l2 import Ether
    from scapy.utils import wrpcap

    def syn(src: str, port: int, dst: str = "192.0.2.100") -> object:
        return Ether() / IP(src=src, dst=dst) / TCP(sport=port, dport=80, flags="S")

    path = tmp_path / "both.pcap"
    wrpcap(
        str(path),
        [
            syn("10.244.0.11", 20_000),
            syn("10.244.0.12", 20_000),
            syn("192.0.2.10", 20_000),
            syn("192.0.2.10", 37_408),
            syn("10.244.0.11", 20_000, "192.0.2.101"),
        ],
    )

    def frames(display: str) -> list[str]:
        command = ["tshark", "-r", str(path), "-Y", display, "-T", "fields", "-e", "frame.number"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    assert ["1", "4"] == frames(filters.connections(sample.RACE.findings[:1]).text)
    assert ["2", "5"] == frames("frame.number in {2, 5}")
