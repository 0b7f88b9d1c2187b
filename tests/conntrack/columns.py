"""A capture point made of a few columns, without bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np

from analyzer.capture.columns import FLOW_DTYPES, PACKET_DTYPES, Flows, Packets
from analyzer.capture.points import Recording
from analyzer.flow.point import UDP, Point

POD, SERVER = 0xFFFF_0A00_0000, 0xFFFF_C000_0200  # 10.0.0.0, 192.0.2.0


class Seen(NamedTuple):
    """One packet."""

    flow: int
    time: int
    """ns."""
    reply: bool = False
    flags: int = 0


def point(
    packets: Sequence[Seen], proto: Sequence[int] | int = UDP, *, tuples: Sequence[int] | None = None
) -> Point:
    """Make a point that saw these packets.

    Args:
        packets: In the order of their times.
        proto: Of all flows, or of each.
        tuples: Per flow a number; flows with the same one have the same addresses and ports. By default all differ.
    """
    count = 1 + max((packet.flow for packet in packets), default=-1)
    of = np.arange(count) if tuples is None else np.array(tuples[:count])
    flows = Flows(**{name: np.zeros(count, dtype) for name, dtype in FLOW_DTYPES.items()})
    flows.proto[:] = proto if isinstance(proto, int) else proto[:count]
    flows.src_lo[:] = POD + of % 200
    flows.dst_lo[:] = SERVER + of % 7
    flows.ports[:] = (of + 1024) << 16 | of + 1024
    flows.hash[:] = of % 5
    columns = Packets(**{name: np.zeros(len(packets), dtype) for name, dtype in PACKET_DTYPES.items()})
    columns.flow[:] = [packet.flow for packet in packets]
    columns.time[:] = [packet.time for packet in packets]
    columns.bits[:] = [packet.reply for packet in packets]
    columns.flags[:] = [packet.flags for packet in packets]
    return Point(
        recording=cast(Recording, None),
        name="veth-a",
        role="pod",
        packets=columns,
        flows=flows,
        starts=np.zeros(2 * count + 1, np.int64),
        order=np.arange(len(packets), dtype=np.int32),
    )
