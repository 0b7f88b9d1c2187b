"""A synthetic bundle of any size, as a busy node records it at veth, cni0 and eth0.

    python benchmarks/bundle.py FOLDER PACKETS [--full] [--vanished N] [--veths N]

Short HTTP-like connections of 200 pods to five servers, long uploads, DNS look-ups, retransmissions; all translated by
SNAT; nothing is lost but the SYNs asked for. The pods' side is one file, or several. Records are cut at 84 bytes (100 with
their header) or, with `--full`, as long as the packets were. Vectorised, in pieces of a million records.
"""

from __future__ import annotations

import argparse
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CAPTURED = 84
PODS, SERVERS, PORTS = 200, 5, 60_000
BEGIN = 1_800_000_000_000_000_000
TCP, UDP = 6, 17
POINTS = (("veth", 0), ("cni0", 2_000), ("eth0", 6_000))
"""Name, and ns after the first point at which it sees what goes out."""
PIECE = 1 << 20

# One connection each: (from the client, flags, sequence and acknowledgement offsets, payload, ns after the step before).
Script = list[tuple[int, int, int, int, int, int]]
HTTP: Script = [
    (1, 0x02, 0, 0, 0, 0),
    (0, 0x12, 0, 1, 0, 300_000),
    (1, 0x10, 1, 1, 0, 50_000),
    (1, 0x18, 1, 1, 400, 10_000),
    (0, 0x10, 1, 401, 0, 300_000),
    (0, 0x18, 1, 401, 1400, 400_000),
    (0, 0x18, 1401, 401, 1400, 1_000),
    (1, 0x10, 401, 2801, 0, 60_000),
    (1, 0x11, 401, 2801, 0, 100_000),
    (0, 0x11, 2801, 402, 0, 300_000),
    (1, 0x10, 402, 2802, 0, 50_000),
]
SEGMENT = 1400
UPLOAD: Script = [
    *HTTP[:3],
    *(
        step
        for n in range(0, 1000, 2)
        for step in (
            (1, 0x10, 1 + n * SEGMENT, 1, SEGMENT, 30_000),
            (1, 0x18, 1 + (n + 1) * SEGMENT, 1, SEGMENT, 2_000),
            (0, 0x10, 1, 1 + (n + 2) * SEGMENT, 0, 200_000),
        )
    ),
]
RESENT: Script = [*HTTP[:5], HTTP[5], HTTP[6], (0, 0x18, 1, 401, 1400, 200_000_000), *HTTP[7:]]
DNS: Script = [(1, 0, 0, 0, 40, 0), (0, 0, 0, 0, 120, 400_000)]
MIX: tuple[tuple[Script, int, int, int], ...] = (
    # Script, protocol, server's port, share of the connections in 10,000.
    (HTTP, TCP, 80, 8400),
    (RESENT, TCP, 80, 100),
    (UPLOAD, TCP, 443, 10),
    (DNS, UDP, 53, 1490),
)


@dataclass(slots=True)
class Packets:
    """All packets as the first point sees them, in order of time; the arrays have one length."""

    time: NDArray[np.int64]
    conn: NDArray[np.int64]
    client: NDArray[np.bool_]
    flags: NDArray[np.int64]
    seq: NDArray[np.int64]
    ack: NDArray[np.int64]
    length: NDArray[np.int64]
    proto: NDArray[np.int64]
    port: NDArray[np.int64]
    lost: NDArray[np.bool_]
    """Whether it vanishes between cni0 and eth0."""

    def take(self, rows: Any) -> Packets:
        """The packets at these rows."""
        return Packets(*(getattr(self, name)[rows] for name in self.__slots__))


def packets(connections: int, vanished: int) -> Packets:
    """Lay out so many connections, a new one every 20 us or slower; of the HTTP ones some lose their first SYN."""
    rng = np.random.default_rng(1)
    kind = rng.choice(len(MIX), connections, p=np.array([m[3] for m in MIX]) / 10_000)
    apart = max(20_000, 3_000_000_000 // connections)
    columns: list[list[Any]] = []
    for number, (script, proto, port, _) in enumerate(MIX):
        conn = np.flatnonzero(kind == number)
        steps = np.array(script, np.int64)
        begun = np.repeat(conn * apart, len(steps)) + np.tile(np.cumsum(steps[:, 5]), len(conn))
        values = np.tile(steps[:, :5], (len(conn), 1))
        n = len(begun)
        columns.append([begun, np.repeat(conn, len(steps)), *values.T, np.full(n, proto), np.full(n, port)])
    if vanished:
        # Sent a second before as well, and only the later one gets out; the uplink is recording from the first second on.
        early = 1_000_000_000 // apart + 1
        lost = rng.choice(
            np.flatnonzero((kind == 0) & (np.arange(connections) > early)), vanished, replace=False
        )
        zeros = np.zeros(vanished, np.int64)
        columns.append(
            [
                lost * apart - 1_000_000_000,
                lost,
                zeros + 1,
                zeros + 2,
                zeros,
                zeros,
                zeros,
                zeros + TCP,
                zeros + 80,
            ]
        )
    time, conn, client, flags, seq, ack, length, proto, port = (
        np.concatenate(c) for c in zip(*columns, strict=True)
    )
    gone = np.zeros(len(time), bool)
    gone[len(time) - vanished :] = True
    order = np.argsort(time, kind="stable")
    return Packets(time + BEGIN, conn, client.astype(bool), flags, seq, ack, length, proto, port, gone).take(
        order
    )


def write(folder: Path, connections: int, vanished: int = 0, *, full: bool = False, veths: int = 1) -> int:
    """Write what each point saw.

    Args:
        folder: Where to; made if need be.
        connections: How many.
        vanished: Of these, how many lose their first SYN between cni0 and eth0.
        full: Whether the records hold whole packets.
        veths: Files among which the pods are divided.

    Returns: Packets in all files.
    """
    isn = np.random.default_rng(2).integers(0, 1 << 32, (2, connections), dtype=np.uint32)
    return save(folder, packets(connections, vanished), isn, full=full, veths=veths)


def save(
    folder: Path, everything: Packets, isn: NDArray[np.uint32], *, full: bool = False, veths: int = 1
) -> int:
    """Write these packets as each point sees them, and say how many that are."""
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    inner, bridge, uplink = POINTS
    on = everything.conn % PODS % veths
    views = [(f"veth{n}" if veths > 1 else inner[0], inner[1], on == n) for n in range(veths)]
    views += [(*bridge, slice(None)), (*uplink, ~everything.lost)]
    for name, delay, rows in views:
        outside = name == uplink[0]
        seen = everything.take(rows)
        with (folder / f"{name}.pcap").open("wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535 if full else CAPTURED, 1))
            for at in range(0, len(seen.time), PIECE):
                records(seen.take(slice(at, at + PIECE)), isn, delay, outside=outside, full=full).tofile(file)
        total += len(seen.time)
    return total


def merge(folder: Path) -> None:
    """Make of the folder's captures, which are not full, one of `tcpdump -i any`, and the node's interface table."""
    found, links = [], []
    for number, path in enumerate(sorted(folder.glob("*.pcap")), 2):
        ethernet = np.fromfile(path, np.uint8)[24:].reshape(-1, 16 + CAPTURED)
        cooked = np.zeros((len(ethernet), 16 + CAPTURED + 6), np.uint8)
        cooked[:, :8] = ethernet[:, :8]
        lengths = ethernet[:, 8:16].copy().view("<u4") + np.uint32(6)
        cooked[:, 8:16] = lengths.view(np.uint8)
        cooked[:, 16:36] = np.frombuffer(struct.pack(">HHIHBB8x", 0x0800, 0, number, 1, 0, 6), np.uint8)
        cooked[:, 28:34] = ethernet[:, 22:28]
        cooked[:, 36:] = ethernet[:, 30:]
        found.append(cooked)
        links.append(
            {"ifindex": number, "ifname": path.stem, "flags": ["UP"], "mtu": 1500, "operstate": "UP"}
        )
        path.unlink()
    everything = np.concatenate(found)
    time = everything[:, :8].copy().view("<u4").astype(np.int64) @ (1_000_000_000, 1)
    with (folder / "any.pcap").open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, CAPTURED + 6, 276))
        everything[np.argsort(time, kind="stable")].tofile(file)
    (folder / "ip-link.json").write_text(json.dumps(links))


def records(
    p: Packets, isn: NDArray[np.uint32], delay: int, *, outside: bool, full: bool
) -> NDArray[np.uint8]:
    """Give packets as records of a pcap file, as one point sees them."""
    n = len(p.time)
    tcp = p.proto == TCP
    on_wire = np.where(tcp, 66, 42) + p.length
    caplen = on_wire if full else np.minimum(np.maximum(on_wire, CAPTURED), CAPTURED)
    start = np.concatenate([[0], np.cumsum(16 + caplen)])
    out = np.zeros(start[-1] + 64, np.uint8)
    begin = start[:-1]
    pod, c = p.conn % PODS, p.client
    # Outside, pod and port fold into the node's address and a port of its own per server.
    server = 0xC0000264 + p.conn // PORTS % SERVERS
    own, own_port = 0x0AF40002 + pod, 1024 + p.conn // PODS % PORTS
    if outside:
        own, own_port = np.full(n, 0xC000020A), 1024 + p.conn % PORTS
    time = p.time + np.where(c, delay, 10_000 - delay)
    mine, theirs = np.where(c, isn[0][p.conn], isn[1][p.conn]), np.where(c, isn[1][p.conn], isn[0][p.conn])

    def put(at: int, values: Any, dtype: str, rows: Any = slice(None)) -> None:
        column = np.broadcast_to(np.asarray(values), (n,))[rows].astype(dtype)
        for k, byte in enumerate(np.ascontiguousarray(column).view(np.uint8).reshape(-1, column.itemsize).T):
            out[begin[rows] + (at + k)] = byte

    put(0, time // 1_000_000_000, "<u4")
    put(4, time % 1_000_000_000, "<u4")
    put(8, caplen, "<u4")
    put(12, np.maximum(on_wire, caplen), "<u4")
    put(16, 0x02000000, ">u4")
    put(20, 0x00010200, ">u4")
    put(24, 0x0000000A, ">u4")
    put(28, 0x0800, ">u2")
    put(30, 0x4500, ">u2")
    put(32, np.where(tcp, 52, 28) + p.length, ">u2")
    put(34, (p.conn * 11 + p.seq // 7 + p.flags + 31 * c) & 0xFFFF, ">u2")
    put(36, 0x4000, ">u2")
    put(38, np.where(c, 63 if outside else 64, 64 if outside else 63), "u1")
    put(39, p.proto, "u1")
    put(42, np.where(c, own, server), ">u4")
    put(46, np.where(c, server, own), ">u4")
    put(50, np.where(c, own_port, p.port), ">u2")
    put(52, np.where(c, p.port, own_port), ">u2")
    put(54, (mine + p.seq) & 0xFFFFFFFF, ">u4", tcp)
    put(58, np.where(p.flags & 0x10, (theirs + p.ack) & 0xFFFFFFFF, 0), ">u4", tcp)
    put(62, 0x8000 | p.flags, ">u2", tcp)
    put(64, 502, ">u2", tcp)
    put(70, 0x0101080A, ">u4", tcp)
    put(74, (p.time // 1_000_000) & 0xFFFFFFFF, ">u4", tcp)
    put(78, p.conn & 0xFFFFFFFF, ">u4", tcp)
    put(54, 8 + p.length, ">u2", ~tcp)
    put(58, p.conn & 0xFFFFFFFF, ">u4", ~tcp)  # the query's id and more, the same in its answer
    return out[: start[-1]]


def connections_of(total: int) -> int:
    """How many connections have about so many packets at three points."""
    return round(total / len(POINTS) / (sum(len(script) * share for script, _, _, share in MIX) / 10_000))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("packets", type=float)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--vanished", type=int, default=20)
    parser.add_argument("--veths", type=int, default=1)
    given = parser.parse_args()
    connections = connections_of(int(given.packets))
    print(write(given.folder, connections, given.vanished, full=given.full, veths=given.veths))
