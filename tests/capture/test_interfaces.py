"""Several interfaces of a file: their numbers, and the packets of each."""

from __future__ import annotations

import struct
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.columns import Flows, Packets
from analyzer.capture.interfaces import BEYOND, Interfaces, split
from analyzer.capture.layout import MAX_IFACES, MAX_IFINDEX, SLL2_IFACE
from analyzer.capture.naming import Hint
from analyzer.capture.storage import Memory, TemporaryFiles
from tests.capture.test_scan import decode

SLL2 = 276


def recorded(frames: list[tuple[int, int]]) -> tuple[Packets, Flows]:
    """A datagram each, by interface number and source port."""
    made = []
    for interface, port in frames:
        cooked = struct.pack(">HHIHBB8s", 0x0800, 0, interface, 1, 0, 6, bytes(8))
        header = struct.pack(">BBHHHBBH", 0x45, 0, 28, port, 0, 64, 17, 0) + bytes([10, 0, 0, 1, 10, 0, 0, 2])
        frame = cooked + header + struct.pack(">HHHH", port, 53, 8, 0)
        made.append((frame, len(frame)))
    packets, flows, _ = decode(SLL2, made)
    return packets, flows


def rows(packets: Packets, flows: Flows) -> list[list[Any]]:
    """All that is known of each packet but its flow's number, and all of its flow."""
    told = [getattr(packets, f.name).tolist() for f in fields(Packets) if f.name != "flow"]
    told += [getattr(flows, f.name)[packets.flow].tolist() for f in fields(Flows)]
    return [list(row) for row in zip(*told, strict=True)]


def test_no_two_interfaces_are_one() -> None:
    """Their numbers are taken whole; what cannot be one, since an ifindex is a C int, is that of nobody."""
    numbers = [5, 5 + (1 << 20), MAX_IFINDEX, MAX_IFINDEX + 1, (1 << 32) - 1]
    packets, flows = recorded([(number, 1) for number in numbers])

    ifaces = [SLL2_IFACE + number for number in numbers[:3]] + [BEYOND, BEYOND]
    assert ifaces == flows.iface[packets.flow].tolist()


@given(
    st.lists(st.tuples(st.sampled_from([3, 9, 300]), st.integers(1, 3)), max_size=20),
    st.lists(st.integers(0, 20), max_size=2).map(sorted),
)
def test_each_lane_has_what_is_its(frames: list[tuple[int, int]], later: list[int]) -> None:
    """Every column, in the order of the file, and where each of several files begins."""
    packets, flows = recorded(frames)
    firsts = [0, *(min(row, len(frames)) for row in later)]
    ifaces = flows.iface[packets.flow]
    everything = rows(packets, flows)
    parts = split(packets, flows, firsts, Memory())

    assert {SLL2_IFACE + interface for interface, _ in frames} == set(parts)
    for iface, part in parts.items():
        mine = np.flatnonzero(ifaces == iface)
        assert [everything[row] for row in mine] == rows(part.packets, part.flows)
        assert np.searchsorted(mine, firsts).tolist() == list(part.first_rows)
        assert len(part.flows) == len(np.unique(part.packets.flow))


@pytest.mark.parametrize("storage", [Memory(), TemporaryFiles(1)], ids=["memory", "files"])
def test_columns_in_files_are_split_as_well(storage: Memory) -> None:
    """What was put into one column's memory from another one's is not mixed up."""
    packets, flows = recorded([(n % 7, n) for n in range(1, 500)])
    everything, ifaces = rows(packets, flows), flows.iface[packets.flow]
    parts = split(packets, flows, [0], storage)

    for iface, part in parts.items():
        assert [everything[row] for row in np.flatnonzero(ifaces == iface)] == rows(part.packets, part.flows)


def test_interfaces_are_numbered_by_name() -> None:
    """The same name has the same number; those past the first ones have one that is nobody's."""
    ifaces = Interfaces()
    numbers = [ifaces.of(name) for name in ("eth0", None, "eth0", "cni0")]
    many = [ifaces.of(f"veth{n}") for n in range(MAX_IFACES)]

    assert [0, 1, 0, 2] == numbers
    assert BEYOND == max(many)
    assert BEYOND == len(ifaces.names)


def test_what_the_file_is_called_by_comes_too_late() -> None:
    """Its name, after a nameless one past the first ones, is that one, and nobody's either."""
    ifaces = Interfaces(Hint(point="eth0", role="uplink"))
    for n in range(MAX_IFACES):
        ifaces.of(f"veth{n}")

    assert [BEYOND, BEYOND] == [ifaces.of(None), ifaces.of("eth0")]
    assert BEYOND == len(ifaces.names)
