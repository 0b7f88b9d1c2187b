"""Reading what the kernel called INVALID."""

from __future__ import annotations

import struct
from pathlib import Path

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from analyzer.lab import verdicts


def _capture(path: Path, *packets: bytes) -> Path:
    """A pcap of link type NFLOG as tcpdump writes it: an attribute, then the payload, padded."""
    data = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 239)
    for packet in packets:
        record = b"\x02\x00\x00\x05" + struct.pack("=HHI", 8, 1, 0x08000100)
        record += struct.pack("=HH", 4 + len(packet), 9) + packet + bytes(-len(packet) % 4)
        data += struct.pack("=IIII", 1, 2, len(record), len(record)) + record
    path.write_bytes(data)
    return path


def test_tcp_packets_are_told_with_their_numbers(tmp_path: Path) -> None:
    """IPv4 and IPv6; an odd length needs the padding."""
    four = IP(src="192.0.2.100", dst="192.0.2.10") / TCP(sport=80, dport=4000, flags="A", seq=5, ack=6) / b"x"
    six = IPv6(src="2001:db8::100", dst="2001:db8::10") / TCP(sport=80, dport=4001, flags="RA", seq=7, ack=8)
    expected = [
        {"src": "192.0.2.100", "dst": "192.0.2.10", "protocol": 6}
        | {"sport": 80, "dport": 4000, "flags": "A", "seq": 5, "ack": 6},
        {"src": "2001:db8::100", "dst": "2001:db8::10", "protocol": 6}
        | {"sport": 80, "dport": 4001, "flags": "RA", "seq": 7, "ack": 8},
    ]
    assert expected == verdicts.read(_capture(tmp_path / "nflog.pcap", bytes(four), bytes(six)))


def test_other_packets_are_told_without_ports(tmp_path: Path) -> None:
    """Only TCP has sequence numbers."""
    packet = bytes(IP(src="192.0.2.100", dst="192.0.2.10") / UDP(sport=53, dport=53))
    expected = [{"src": "192.0.2.100", "dst": "192.0.2.10", "protocol": 17}]
    assert expected == verdicts.read(_capture(tmp_path / "nflog.pcap", packet))


def test_nothing_invalid_is_an_empty_list(tmp_path: Path) -> None:
    """A capture of no packets is what a clean run leaves."""
    assert verdicts.read(_capture(tmp_path / "nflog.pcap")) == []
