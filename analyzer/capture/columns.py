"""The columns of a capture point: one struct of arrays for its packets, one for its flows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.storage import Memory


def views(*columns: NDArray[Any]) -> Any:
    """The columns' memory, as the hot loops take it: items are then `int` when a loop runs uncompiled."""
    return [column.data for column in columns]


class Stretch(NamedTuple):
    """Packets of one file: all of it, or as many as offsets of 32 bits reach."""

    first_row: int
    file: int
    """Which of the point's files it is."""
    base: int
    """Where in the uncompressed file `Packets.offset` counts from."""


@dataclass(slots=True, kw_only=True)
class Packets:
    """Packets of one capture point, in the order of its files; all arrays have one length.

    44 bytes a packet. The tables agree with tshark's fields (`tests/capture/test_tshark.py`).
    """

    time: NDArray[np.int64]
    """Nanoseconds since the epoch as the file has them (`frame.time_epoch`)."""
    offset: NDArray[np.uint32]
    """Where the transport header begins in the uncompressed file, from `Stretch.base` on; of ARP the ARP header."""
    frame: NDArray[np.uint32]
    """`frame.number` in its file."""
    flow: NDArray[np.int32]
    """Row in `Flows`."""
    seq: NDArray[np.uint32]
    """`tcp.seq_raw`; the ICMP echo sequence number; the ARP operation."""
    ack: NDArray[np.uint32]
    """`tcp.ack_raw`."""
    length: NDArray[np.int32]
    """Payload bytes after the transport header, by the IP header (`tcp.len`), not by what was captured."""
    print: NDArray[np.uint32]
    """Hash of what NAT and forwarding leave alone of this packet."""
    window: NDArray[np.uint16]
    """`tcp.window_size_value`: raw, unscaled."""
    ip_id: NDArray[np.uint16]
    """`ip.id`; of IPv6 the low half of the fragment identification."""
    flags: NDArray[np.uint16]
    """`tcp.flags`, 12 bits; the ICMP code."""
    ttl: NDArray[np.uint8]
    """`ip.ttl` or `ipv6.hlim`, of the innermost header."""
    bits: NDArray[np.uint8]
    """See `analyzer.capture.layout`."""

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[np.integer[Any]], storage: Memory) -> Packets:
        """The packets at these rows, as columns of that storage."""
        return Packets(**_taken(self, PACKET_DTYPES, rows, storage))

    def between(self, begin: int, end: int) -> Packets:
        """The packets of these rows, in the same memory."""
        return Packets(**{name: getattr(self, name)[begin:end] for name in PACKET_DTYPES})


@dataclass(slots=True, kw_only=True)
class Flows:
    """Flows of one capture point: one row per five-tuple and incarnation; all arrays have one length.

    While scanning, `src` is the sender of the flow's first packet; `analyzer.flow` turns it into the side that
    opened the connection (`orig`). IPv4 addresses are IPv4-mapped.
    """

    src_hi: NDArray[np.uint64]
    src_lo: NDArray[np.uint64]
    dst_hi: NDArray[np.uint64]
    dst_lo: NDArray[np.uint64]
    ports: NDArray[np.uint32]
    """Source port << 16 | destination port; the ICMP echo identifier twice; ICMP type and code."""
    proto: NDArray[np.uint8]
    """IP protocol number, 0 for ARP."""
    iface: NDArray[np.int32]
    """Which interface of the file: see `analyzer.capture.points`."""
    hash: NDArray[np.uint32]
    """Of the five-tuple, the same for both directions."""
    isn_x: NDArray[np.uint32]
    """Initial sequence number of `src`, where `marks` says that a SYN was seen."""
    isn_y: NDArray[np.uint32]
    marks: NDArray[np.uint8]
    """See `analyzer.capture.layout`."""
    syn_print: NDArray[np.uint32]
    """Hash of what NAT, MSS clamping and retransmission leave alone of the SYN; 0 without one."""
    mac_src: NDArray[np.uint64]
    """Link-layer addresses of the first packet; 0 where the link has none."""
    mac_dst: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.proto)

    def take(self, rows: NDArray[np.integer[Any]], storage: Memory) -> Flows:
        """The flows at these rows, as columns of that storage."""
        return Flows(**_taken(self, FLOW_DTYPES, rows, storage))

    def between(self, begin: int, end: int) -> Flows:
        """The flows of these rows, in the same memory."""
        return Flows(**{name: getattr(self, name)[begin:end] for name in FLOW_DTYPES})


def _taken(
    columns: Packets | Flows, dtypes: dict[str, str], rows: NDArray[np.integer[Any]], storage: Memory
) -> dict[str, NDArray[Any]]:
    taken = {}
    for name, dtype in dtypes.items():
        taken[name] = storage.empty(len(rows), dtype)
        np.take(getattr(columns, name), rows, out=taken[name], mode="clip")  # "raise" would copy once more
    return taken


PACKET_DTYPES: dict[str, str] = {
    "time": "i8", "offset": "u4", "frame": "u4", "flow": "i4", "seq": "u4", "ack": "u4", "length": "i4", "print": "u4",
    "window": "u2", "ip_id": "u2", "flags": "u2", "ttl": "u1", "bits": "u1",
}  # fmt: skip
FLOW_DTYPES: dict[str, str] = {
    "src_hi": "u8", "src_lo": "u8", "dst_hi": "u8", "dst_lo": "u8", "ports": "u4", "proto": "u1", "iface": "i4", "hash": "u4",
    "isn_x": "u4", "isn_y": "u4", "marks": "u1", "syn_print": "u4", "mac_src": "u8", "mac_dst": "u8",
}  # fmt: skip
