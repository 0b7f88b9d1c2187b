"""The tables agree with scapy's raw readers and dissectors, packet for packet."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from scapy.config import conf
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet
from scapy.utils import RawPcapNgReader, RawPcapReader

from tests.capture.rows import Row, rows
from tests.conftest import Case

MOST = 150
"""Packets of a file that scapy dissects: it takes a third of a millisecond for each."""


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("scapy.runtime").setLevel(logging.ERROR)


def scapy(path: Path) -> list[Row | None]:
    """Read a file with scapy; None for what is neither IP nor ARP."""
    found: list[Row | None] = []
    with RawPcapReader(str(path)) as reader:
        for frame, (data, said) in enumerate(reader, 1):
            if isinstance(reader, RawPcapNgReader):
                ticks = ((said.tshigh << 32) + said.tslow) * (10**9 // said.tsresol)
                link = said.linktype
            else:
                ticks = said.sec * 10**9 + said.usec * (1 if reader.nano else 1000)
                link = reader.linktype
            found.append(_row(frame, ticks, conf.l2types[link](data)))
            if frame == MOST:
                break
    return found


def _row(frame: int, time: int, packet: Packet) -> Row | None:
    """The packet as the tables have it: the inner one of VXLAN (RFC 7348), on the port that Linux takes."""
    if UDP in packet and packet[UDP].dport == 8472:
        packet = Ether(bytes(packet[UDP].payload)[8:])
    if ARP in packet:
        return Row(frame, time, packet[ARP].psrc, packet[ARP].pdst, 0, 0, None)
    if IP in packet:
        ip = packet[IP]
        row = Row(frame, time, ip.src, ip.dst, ip.proto, ip.ttl, ip.id)
        size = ip.len - 4 * ip.ihl
    elif IPv6 in packet:
        ip = packet[IPv6]
        payload, proto, size = ip.payload, ip.nh, ip.plen
        while proto in (0, 43, 60):
            size -= len(payload) - len(payload.payload)
            proto, payload = payload.nh, payload.payload
        row = Row(frame, time, ip.src, ip.dst, proto, ip.hlim, None)
    else:
        return None
    if row.proto == 6:
        tcp = packet[TCP]
        return row._replace(
            sport=tcp.sport,
            dport=tcp.dport,
            seq=tcp.seq,
            ack=tcp.ack,
            flags=int(tcp.flags) | tcp.reserved << 9,
            window=tcp.window,
            length=size - 4 * tcp.dataofs,
        )
    if row.proto == 17:
        return row._replace(sport=packet[UDP].sport, dport=packet[UDP].dport, length=packet[UDP].len - 8)
    return row


def test_every_fixture(bundle_case: Case) -> None:
    """The first packets of every file of every fixture read the same."""
    for capture in bundle_case.captures:
        seen = scapy(capture)
        actual, skipped = rows(capture)
        actual = [row for row in actual if row.frame <= MOST]

        assert [row for row in seen if row is not None] == actual
        if len(seen) < MOST:
            assert seen.count(None) == skipped
