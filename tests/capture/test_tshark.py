"""The tables agree with tshark's fields, packet for packet."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import pytest

from tests.capture.layers import ROWS
from tests.capture.rows import Row, rows
from tests.capture.test_reader import pcap
from tests.conftest import Case

pytestmark = pytest.mark.tshark

FIELDS = (
    "frame.number", "frame.time_epoch", "frame.protocols", "ip.src", "ip.dst", "ip.ttl", "ip.id", "ip.proto",
    "ipv6.src", "ipv6.dst", "ipv6.hlim", "ipv6.fraghdr.nxt", "tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw",
    "tcp.flags", "tcp.window_size_value", "tcp.len", "udp.srcport", "udp.dstport", "udp.length",
    "arp.src.proto_ipv4", "arp.dst.proto_ipv4",
)  # fmt: skip
# What tshark would tell of reassembled or guessed data, and not of the packet.
PLAIN = ("tcp.desegment_tcp_streams", "ip.defragment", "ipv6.defragment", "tcp.analyze_sequence_numbers")
# What lies in a transport header, or is told of one, does not matter; that it is dissected costs time.
SILENT = ("http", "dns", "data")


def tshark(path: Path) -> tuple[list[Row], int]:
    """Read a file with tshark: the packets that have an IP or ARP header, and how many have none."""
    argv = [
        "tshark",
        "-n",
        "-r",
        str(path),
        "-d",
        "udp.port==8472,vxlan",
        "-d",
        "mpls.label==64,pwethcw",
        "-T",
        "fields",
        "-E",
        "occurrence=a",
        "-E",
        "aggregator= ",
    ]
    argv += chain.from_iterable(("-o", f"{preference}:FALSE") for preference in PLAIN)
    argv += chain.from_iterable(("--disable-protocol", name) for name in SILENT)
    argv += chain.from_iterable(("-e", field) for field in FIELDS)
    told = subprocess.run(argv, capture_output=True, text=True, check=True)
    packets = [dict(zip(FIELDS, line.split("\t"), strict=True)) for line in told.stdout.splitlines()]
    found = [row for row in map(_row, packets) if row is not None]
    return found, len(packets) - len(found)


def _row(packet: dict[str, str]) -> Row | None:
    """The innermost packet, as the tables have it; not the one that an ICMP error quotes."""
    seconds, _, fraction = packet["frame.time_epoch"].partition(".")
    seen = {"frame": int(packet["frame.number"]), "time": int(seconds) * 10**9 + int(fraction.ljust(9, "0"))}
    # `eth:ethertype:ip:udp:vxlan:eth:ethertype:ip:icmp:ip:tcp`: what comes behind icmp is quoted.
    layers = packet["frame.protocols"].split(":")
    quoting = [i for i, name in enumerate(layers) if name in ("icmp", "icmpv6")]
    layers = layers[: quoting[0]] if quoting else layers
    inner = [name for name in layers if name in ("ip", "ipv6", "arp")]
    if not inner:
        return None

    def value(field: str, occurrence: int = -1) -> str:
        return packet[field].split(" ")[occurrence]

    if inner[-1] == "arp":
        src, dst = value("arp.src.proto_ipv4"), value("arp.dst.proto_ipv4")
        return Row(**seen, src=src, dst=dst, proto=0, ttl=0, ip_id=None) if src else None
    at = inner.count(inner[-1]) - 1
    if inner[-1] == "ip":
        row = Row(
            **seen,
            src=value("ip.src", at),
            dst=value("ip.dst", at),
            proto=int(value("ip.proto", at)),
            ttl=int(value("ip.ttl", at)),
            ip_id=int(value("ip.id", at), 16),
        )
    else:
        names = {"tcp": 6, "udp": 17}
        proto = 58 if quoting else next((names[name] for name in layers[::-1] if name in names), None)
        proto = int(value("ipv6.fraghdr.nxt")) if proto is None else proto
        row = Row(
            **seen, src=value("ipv6.src", at), dst=value("ipv6.dst", at), proto=proto, ttl=int(value("ipv6.hlim", at)),
            ip_id=None,
        )  # fmt: skip
    if row.proto == 6 and packet["tcp.srcport"]:
        return row._replace(
            sport=int(value("tcp.srcport")),
            dport=int(value("tcp.dstport")),
            seq=int(value("tcp.seq_raw")),
            ack=int(value("tcp.ack_raw")),
            flags=int(value("tcp.flags"), 16),
            window=int(value("tcp.window_size_value")),
            length=int(value("tcp.len")) if packet["tcp.len"] else None,
        )
    if row.proto == 17 and packet["udp.srcport"]:
        length = int(value("udp.length")) - 8
        return row._replace(sport=int(value("udp.srcport")), dport=int(value("udp.dstport")), length=length)
    return row


def test_every_fixture(cases: Mapping[str, Case], tmp_path: Path) -> None:
    """Every frame of every file of every fixture reads the same."""
    captures = [capture for case in cases.values() for capture in case.captures]
    joined = tmp_path / "joined.pcapng"  # most of tshark's time is its start
    subprocess.run(["mergecap", "-a", "-w", str(joined), *map(str, captures)], check=True)
    expected, expected_skipped = tshark(joined)
    actual: list[Row] = []
    skipped = 0
    for capture in captures:
        before = len(actual) + skipped
        found, without = rows(capture)
        actual += [row._replace(frame=before + row.frame) for row in found]
        skipped += without

    differing = [both for both in zip(expected, actual, strict=False) if both[0] != both[1]]

    assert [] == differing[:3]  # of so many rows pytest would be drawing a difference for hours
    assert (len(expected), expected_skipped) == (len(actual), skipped)
    assert len(captures) > 100


@pytest.mark.parametrize("link", sorted({layered.link for layered in ROWS.values()}))
def test_every_layer(link: int, tmp_path: Path) -> None:
    """All layers of one link type in one file, read by both."""
    path = tmp_path / "eth0.pcap"
    # tshark 4.0 finds no payload in an IPv6 header of length 0.
    names = [name for name in ROWS if ROWS[name].link == link and name != "tso, ipv6 length 0"]
    frames = [ROWS[name] for name in names]
    path.write_bytes(
        pcap([(i * 1000, layered.length, layered.frame) for i, layered in enumerate(frames)], link=link)
    )
    expected, _ = tshark(path)
    actual, _ = rows(path)

    # tshark tells no tcp.len of a fragment.
    actual = [
        row._replace(length=None) if "first fragment" in name else row
        for name, row in zip(names, actual, strict=True)
    ]

    assert expected == actual
