"""What an ICMP error of a listing without `-v` is about."""

from __future__ import annotations

import struct

from analyzer.capture.listing.listed import ICMP, TCP, UDP
from tests.capture.listing.test_tcpdump import read


def test_an_error_without_v_is_about_the_packet_that_fits() -> None:
    """It names the address, and perhaps the port, of the one packet to them that its receiver had sent before."""
    error = "12:43:49.2 IP 10.244.0.1 > 10.244.0.11: ICMP 198.51.100.20 udp port 53 unreachable, length 48"
    large = "12:43:49.4 IP 10.244.0.1 > 10.244.0.11: ICMP 198.51.100.20 unreachable - need to frag (mtu 1400), length 556"
    query = "12:43:49.1 IP 10.244.0.11.4000 > 198.51.100.20.53: UDP, length 6"
    segment = "12:43:49.3 IP 10.244.0.11.4001 > 198.51.100.20.80: Flags [.], ack 1, win 502, length 1448"
    listed, _ = read(*(line.replace(".", ".00000", 1) for line in (query, error, segment, large)))

    assert [UDP, TCP] == [p.payload[9] for p in listed if p.proto == ICMP and p.payload]
    assert [(4000, 53), (4001, 80)] == [
        struct.unpack("!HH", p.payload[20:24]) for p in listed if p.payload and p.proto == ICMP
    ]
    assert [0, 1400] == [p.word for p in listed if p.proto == ICMP]


def test_an_error_without_v_that_fits_two_flows_is_about_neither() -> None:
    """Nothing tells which of them was refused."""
    listed, _ = read(
        "12:43:49.100000 IP 10.244.0.11.4000 > 198.51.100.20.80: Flags [S], seq 1, win 64240, length 0",
        "12:43:49.200000 IP 10.244.0.11.4001 > 198.51.100.20.443: Flags [S], seq 1, win 64240, length 0",
        "12:43:49.300000 IP 10.244.0.1 > 10.244.0.11: ICMP host 198.51.100.20 unreachable, length 68",
    )

    assert [None] == [packet.payload for packet in listed if packet.proto == ICMP]
