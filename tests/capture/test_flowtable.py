"""Flows of a table: both directions are one, a new SYN begins another, growth forgets nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzer.capture.columns import FLOW_DTYPES
from analyzer.capture.layout import DATA, SYN_X, SYNACK_Y, TCP_ACK, TCP_SYN
from tests.conftest import load_uncompiled

FlowTable = load_uncompiled("analyzer.capture.flowtable").FlowTable
A, B = (1, 2), (3, 4)


def table(size: int = 64) -> tuple[Any, dict[str, Any]]:
    """An empty table, and its columns."""
    made, columns = FlowTable(3, 5), {name: np.zeros(size, dtype) for name, dtype in FLOW_DTYPES.items()}
    made.attach(columns, np.zeros(2 * size, np.uint64), 0)
    return made, columns


def find(
    made: Any, src: tuple[int, int], dst: tuple[int, int], ports: int, proto: int = 6, iface: int = 0
) -> int:
    """The flow of a packet between two addresses, times 2, and 1 for a reply."""
    return int(made.find(*src, *dst, ports, proto, iface, 7, 8))


def test_both_directions_are_one_flow() -> None:
    """The first packet's sender is its source; the other side's packets are replies."""
    made, columns = table()

    assert [0, 0, 1] == [find(made, A, B, 80), find(made, A, B, 80), find(made, B, A, 80 << 16)]
    assert (1, 3, 7) == (columns["src_hi"][0], columns["dst_hi"][0], columns["mac_src"][0])


def test_protocol_lane_and_ports_tell_flows_apart() -> None:
    """Each differs from the first in one of them."""
    made, _ = table()
    ends = (A, B, 5 << 16 | 80)

    assert [0, 2, 4, 6] == [
        find(made, *ends), find(made, *ends, proto=17), find(made, *ends, iface=1), find(made, A, B, 6 << 16 | 80)
    ]  # fmt: skip


def test_a_syn_with_another_number_begins_a_flow() -> None:
    """A repeated one does not, and what follows belongs to the new one."""
    made, columns = table()
    first = find(made, A, B, 80)
    told = [made.segment(first, TCP_SYN, isn, 1) for isn in (100, 100, 200)]

    assert [0, 0, 2] == told
    assert 2 == find(made, A, B, 80)
    made.segment(find(made, B, A, 80 << 16), TCP_SYN | TCP_ACK, 300, 0)
    made.segment(find(made, A, B, 80), TCP_ACK, 201, 0)
    assert [SYN_X, SYN_X | SYNACK_Y | DATA] == columns["marks"][:2].tolist()
    assert (200, 300) == (columns["isn_x"][1], columns["isn_y"][1])


def test_growing_keeps_every_flow() -> None:
    """All are found again in the longer table, the newest of a tuple first."""
    made, columns = table(64)
    flows = [find(made, A, B, port) for port in range(60)]
    again = made.segment(flows[3], TCP_SYN, 1, 1), made.segment(flows[3], TCP_SYN, 2, 1)
    columns = {name: np.append(column, np.zeros(64, column.dtype)) for name, column in columns.items()}
    made.attach(columns, np.zeros(256, np.uint64), made.flow_count())

    assert 61 == made.flow_count()
    assert [*flows[:3], again[1], *flows[4:]] == [find(made, A, B, port) for port in range(60)]
