"""What tshark tells field by field is the capture itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.listing.fields import documents, heading, table
from analyzer.capture.listing.listed import Notes
from tests.capture.listing.printing import compared
from tests.conftest import CASES

FIELDS = [
    "frame.number",
    "frame.time_epoch",
    "eth.src",
    "eth.dst",
    "ip.src",
    "ip.dst",
    "ip.ttl",
    "ip.id",
    "ip.proto",
    "ip.len",
    "ip.frag_offset",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.hlim",
    "ipv6.nxt",
    "ipv6.plen",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.seq_raw",
    "tcp.ack_raw",
    "tcp.flags",
    "tcp.window_size_value",
    "tcp.len",
    "tcp.options",
    "udp.srcport",
    "udp.dstport",
    "udp.length",
    "udp.payload",
    "icmp.type",
    "icmp.code",
    "icmp.ident",
    "icmp.seq",
    "icmpv6.type",
    "icmpv6.code",
    "icmpv6.echo.identifier",
    "icmpv6.echo.sequence_number",
    "arp.src.proto_ipv4",
    "arp.dst.proto_ipv4",
    "arp.opcode",
]
FORMS = {
    "json": ["-T", "json"],
    "ek": ["-T", "ek"],
    "fields": ["-T", "fields", "-E", "header=y", *(f"-e{field}" for field in FIELDS)],
    "csv": [
        "-T",
        "fields",
        "-E",
        "header=y",
        "-E",
        "separator=,",
        "-E",
        "quote=d",
        *(f"-e{field}" for field in FIELDS),
    ],
    "json of fields": ["-T", "json", *(f"-e{field}" for field in FIELDS)],
}


@pytest.mark.tshark
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "name", ["snat-race-ipv6/cni0", "next-hop/veth-a", "clean/cni0", "stale-entry/veth-a"]
)
def test_real_output(form: str, name: str, tmp_path: Path) -> None:
    """Every row with every column."""
    capture = CASES[name.split("/")[0]].folder / f"{name.split('/')[1]}.pcap"
    expected, actual = compared(["tshark", "-n", *FORMS[form]], capture, tmp_path / "eth0.txt")

    assert expected == actual


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("frame.number\tip.src\ttcp.srcport", 3),
        ("frame.number,ip.src,_ws.col.Info", 3),
        ("frame.number\tframe.len", 0),
        ("net.ipv4.ip_forward = 1", 0),
        ("node7.example.com ip.example.com tcp.example.com x", 0),
    ],
)
def test_headings(line: str, names: int) -> None:
    """Fields' names, of IP among others, and nothing else on the line."""
    found = heading(line)

    assert names == (len(found[0]) if found else 0)


def packet(number: int) -> dict[str, object]:
    """A packet as `-T json` nests it."""
    return {
        "_source": {
            "layers": {
                "frame": {"frame.number": str(number), "frame.time_epoch": f"{number}.5"},
                "ip": {"ip.src": "10.0.0.1", "ip.dst": "10.0.0.2", "ip.ttl": "63", "ip.id": "0x0007"},
                "tcp": {
                    "tcp.srcport": "5",
                    "tcp.dstport": "6",
                    "tcp.seq_raw": "8",
                    "tcp.flags": "0x0010",
                    "tcp.len": "0",
                },
            }
        }
    }


@pytest.mark.parametrize("indent", [None, 0, 1, 2, 8])
def test_any_layout(indent: int | None) -> None:
    """A tool that laid the JSON out anew has changed nothing."""
    text, notes = json.dumps([packet(number) for number in range(300)], indent=indent), Notes()
    found = list(documents(enumerate(text.split("\n"), 1), notes))

    assert list(range(300)) == [one.number for one in found]
    assert 0 == notes.strange


def test_an_error_tells_the_packet_that_it_quotes() -> None:
    """Its own addresses are the first, those of the other packet the last."""
    head = "frame.number\tframe.time_epoch\tip.src\tip.dst\ticmp.type\ticmp.code\ttcp.srcport\ttcp.dstport"
    line = "1\t5.0\t10.244.0.1,10.244.0.11\t10.244.0.11,198.51.100.20\t3\t1\t30000\t80"
    (found,) = table(enumerate([head, line], 1), Notes())

    assert ("10.244.0.1", "10.244.0.11", (3, 1)) == (found.src, found.dst, found.icmp)
    assert bytes.fromhex("75300050") == (found.payload or b"")[20:24]


@given(st.lists(st.text(max_size=40), max_size=8))
def test_any_text(lines: list[str]) -> None:
    """Nothing crashes, and nothing is made up."""
    notes = Notes()

    assert [] == list(documents(enumerate(lines, 1), notes))
    assert [] == list(table(enumerate(["ip.src\tip.dst\ttcp.srcport", *lines], 1), notes))
