"""dwdump's files, as tshark reads them too."""

from __future__ import annotations

import socket
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.bundle import Bundle
from analyzer.capture.formats import is_netlink
from analyzer.errors import UnusableInput
from analyzer.evidence import collect
from analyzer.evidence.drops import DropRecord
from analyzer.evidence.dwdump import parse
from analyzer.evidence.facts import Caveat
from tests.evidence.test_frame import TCP, V4

FAMILY = 0x1C
FRAME = bytes(12) + b"\x08\x00" + V4 + TCP
AT = 1_795_170_365_123_456_789


def attribute(kind: int, value: bytes, order: str = "<") -> bytes:
    """Write struct nlattr."""
    return (struct.pack(f"{order}HH", len(value) + 4, kind) + value).ljust((len(value) + 7) & ~3, b"\0")


def frame(kind: int, command: int, attributes: bytes, order: str = "<") -> bytes:
    """Write a frame: pcap's header, the cooked one, netlink's, and the message."""
    body = struct.pack(f"{order}BBH", command, 1, 0) + attributes
    message = struct.pack(f"{order}IHHII", len(body) + 16, kind, 0, 0, 0) + body
    cooked = struct.pack(
        "!HHH8sH", 4, 824, 0, b"", socket.NETLINK_GENERIC if hasattr(socket, "NETLINK_GENERIC") else 16
    )
    return struct.pack(f"{order}IIII", 1, 2, len(cooked + message), len(cooked + message)) + cooked + message


def file(*frames: bytes, order: str = "<", link: int = 253) -> bytes:
    """Write a file."""
    return struct.pack(f"{order}IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link) + b"".join(frames)


def families() -> bytes:
    """The message with which dwdump begins: which number NET_DM has (CTRL_CMD_NEWFAMILY)."""
    said = attribute(2, b"NET_DM\0") + attribute(1, struct.pack("<H", FAMILY))
    return frame(0x10, 1, said)


def alert(order: str = "<", why: bytes = b"NETFILTER_DROP\0") -> bytes:
    """A packet's message, as net_dm_packet_report_fill writes it."""
    port = attribute(0, struct.pack(f"{order}I", 7), order) + attribute(1, b"eth0\0", order)
    said = (
        attribute(14, struct.pack(f"{order}H", 0), order)
        + attribute(2, struct.pack(f"{order}Q", 0xFFFFFFFF81F28E4D), order)
        + attribute(3, b"nf_hook_slow+0x7d/0x110\0", order)
        + attribute(4 | 0x8000, port, order)
        + attribute(5, struct.pack(f"{order}Q", AT), order)
        + attribute(10, struct.pack(f"{order}I", len(FRAME)), order)
        + attribute(6, struct.pack(f"{order}H", 0x0800), order)
        + attribute(23, why, order)
        + attribute(7, FRAME, order)
    )
    return frame(FAMILY, 5, said, order)


@pytest.mark.parametrize("order", ["<", ">"])
def test_packet(order: str) -> None:
    """Reason, place, device, time and the packet itself, in either byte order."""
    data = file(families() if order == "<" else b"", alert(order), order=order)
    assert is_netlink(data[:64])
    (drop,) = parse(data, "a")
    assert drop == DropRecord(
        file="a", line=2 if order == "<" else 1, source="dwdump", time=AT, clock="wall", offset=0, reason="NETFILTER_DROP",
        location="nf_hook_slow", device="eth0", version=4, proto="tcp", src="10.0.0.1", dst="192.0.2.1", sport=4000, dport=80,
        seq=7, ip_id=99,
    )  # fmt: skip


@pytest.mark.tshark
def test_tshark_reads_the_same(tmp_path: Path) -> None:
    """The dissector of Wireshark sees the symbol, the time and the packet in what is written here."""
    path = tmp_path / "drops.pcap"
    path.write_bytes(file(families(), alert()))
    told = subprocess.run(
        ("tshark", "-r", str(path), "-Y", "net_dm", "-V"), capture_output=True, text=True, check=True
    )
    for word in ("nf_hook_slow", "10.0.0.1", "192.0.2.1", "eth0"):
        assert word in told.stdout


def test_other_captures() -> None:
    """A capture of packets is none, nor is a text."""
    assert not is_netlink(file(link=1))
    assert not is_netlink(b"drop at: ip_error")
    assert [] == list(parse(file(link=1), "a"))


def test_cut_short() -> None:
    """What is whole is used; the caveat names the frame."""
    whole = file(families(), alert(), alert())
    drop, caveat = parse(whole[:-10], "a")
    assert isinstance(drop, DropRecord)
    assert Caveat(says="a: damaged or cut short in frame 3; the frames before it were used") == caveat


@given(st.binary(max_size=200), st.integers(0, 600), st.integers(0, 600))
def test_any_bytes(junk: bytes, at: int, cut: int) -> None:
    """Bytes changed anywhere fail nothing."""
    data = file(families(), alert())
    list(parse((data[:at] + junk + data[at + len(junk) :])[: max(cut, 24)], "a"))


def test_it_is_evidence_and_no_capture(tmp_path: Path) -> None:
    """Beside a capture it is read as drop records, and is no point; alone it is no capture."""
    (tmp_path / "drops.pcap").write_bytes(file(alert()))
    with pytest.raises(UnusableInput, match="no capture"):
        Bundle.open([tmp_path])
    (tmp_path / "eth0.pcap").write_bytes(file(link=1))
    bundle = Bundle.open([tmp_path])
    evidence = collect(bundle.evidence)

    assert ["eth0.pcap"] == [capture.label for capture in bundle.captures]
    assert [("drops.pcap", "NETFILTER_DROP")] == [(r.file, r.reason) for r in evidence.drops]
    assert [("drops.pcap", "dwdump")] == [(read.file, read.source) for read in evidence.read]
