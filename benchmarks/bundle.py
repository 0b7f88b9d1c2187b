"""A synthetic bundle of any size: short HTTP-like connections of many pods, at veth, cni0 and eth0.

Every record is 100 bytes (16 of pcap, 84 captured), nothing is lost but the SYNs asked for. Vectorised: ten million
packets take seconds.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

CAPTURED = 84
RECORD = 16 + CAPTURED
PODS = 200
SERVERS = 5
# One connection: (from the client, flags, sequence offset, acknowledgement offset, payload).
SCRIPT = np.array(
    [
        (1, 0x02, 0, 0, 0),
        (0, 0x12, 0, 1, 0),
        (1, 0x10, 1, 1, 0),
        (1, 0x18, 1, 1, 400),
        (0, 0x10, 1, 401, 0),
        (0, 0x18, 1, 401, 1400),
        (0, 0x18, 1401, 401, 1400),
        (1, 0x10, 401, 2801, 0),
        (1, 0x11, 401, 2801, 0),
        (0, 0x11, 2801, 402, 0),
        (1, 0x10, 402, 2802, 0),
    ],
    np.int64,
)


def write(folder: Path, connections: int, vanished: int = 0) -> int:
    """Write veth.pcap, cni0.pcap and eth0.pcap.

    Args:
        folder: Where to; made if need be.
        connections: TCP connections.
        vanished: Of these, how many lose their first SYN between cni0 and eth0.

    Returns: Packets in all three files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    steps = len(SCRIPT)
    conn = np.repeat(np.arange(connections), steps)
    step = np.tile(np.arange(steps), connections)
    apart = max(20_000, 3_000_000_000 // connections)
    time = conn * apart + step * 300_000 + 1_800_000_000_000_000_000
    isn = rng.integers(0, 1 << 32, (2, connections), dtype=np.uint32)
    lost = conn[:0]
    if vanished:
        # The SYN of some connections was sent a second before as well, and only the later one gets out; the
        # uplink is recording from the first second on.
        early = 1_000_000_000 // apart + 1
        lost = np.sort(early + rng.choice(connections - early, vanished, replace=False))
        conn, step = np.concatenate([conn, lost]), np.concatenate([step, np.zeros(vanished, np.int64)])
        time = np.concatenate([time, lost * apart + 1_800_000_000_000_000_000 - 1_000_000_000])
    order = np.argsort(time, kind="stable")
    first_try = np.zeros(len(conn), bool)
    first_try[len(conn) - len(lost) :] = True
    conn, step, time, first_try = conn[order], step[order], time[order], first_try[order]
    total = 0
    for point, delay in (("veth", 0), ("cni0", 2_000), ("eth0", 6_000)):
        keep = np.flatnonzero(~first_try) if point == "eth0" else np.arange(len(conn))
        client = SCRIPT[step[keep], 0].astype(bool)
        shift = np.where(client, delay, 10_000 - delay)
        records = _records(conn[keep], step[keep], time[keep], shift, isn, outside=point == "eth0")
        with (folder / f"{point}.pcap").open("wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, CAPTURED, 1))
            file.write(memoryview(records).cast("B"))
        total += len(records)
    return total


def _records(
    conn: np.ndarray, step: np.ndarray, sent: np.ndarray, shift: np.ndarray, isn: np.ndarray, *, outside: bool
) -> np.ndarray:
    n = len(conn)
    out = np.zeros((n, RECORD), np.uint8)
    client, flags, seq, ack, length = (SCRIPT[step, k] for k in range(5))
    client = client.astype(bool)
    pod = (conn % PODS).astype(np.uint32)
    port = (1024 + conn // PODS % 60000).astype(np.uint32)
    inner = np.uint32(0x0AF40002) + pod
    # Outside, pod and port fold into the node's address and a port of its own per server.
    outer_port = (1024 + conn % 60000).astype(np.uint32)
    server = np.uint32(0xC0000264) + (conn // 60000 % SERVERS).astype(np.uint32)
    mine, my_port = (np.full(n, 0xC000020A, np.uint32), outer_port) if outside else (inner, port)
    src, dst = np.where(client, mine, server), np.where(client, server, mine)
    sport, dport = np.where(client, my_port, 80), np.where(client, 80, my_port)
    time = sent + shift
    own, other = np.where(client, isn[0][conn], isn[1][conn]), np.where(client, isn[1][conn], isn[0][conn])

    def put(at: int, values: np.ndarray | int, dtype: str) -> None:
        column = np.broadcast_to(np.asarray(values), (n,)).astype(dtype)
        out[:, at : at + column.itemsize] = column.view(np.uint8).reshape(n, -1)

    put(0, time // 1_000_000_000, "<u4")
    put(4, time % 1_000_000_000, "<u4")
    put(8, CAPTURED, "<u4")
    put(12, np.maximum(66 + length, CAPTURED), "<u4")
    out[:, 16:28] = np.frombuffer(bytes.fromhex("02000000000102000000000a"), np.uint8)
    put(28, 0x0800, ">u2")
    put(30, 0x4500, ">u2")
    put(32, 52 + length, ">u2")
    put(34, (conn * 11 + step) & 0xFFFF, ">u2")
    put(36, 0x4000, ">u2")
    put(38, np.where(client, 63 if outside else 64, 64 if outside else 63), "u1")
    put(39, 6, "u1")
    put(42, src, ">u4")
    put(46, dst, ">u4")
    put(50, sport, ">u2")
    put(52, dport, ">u2")
    put(54, (own + seq) & 0xFFFFFFFF, ">u4")
    put(58, np.where(flags & 0x10, (other + ack) & 0xFFFFFFFF, 0), ">u4")
    put(62, 0x8000 | flags, ">u2")
    put(64, 502, ">u2")
    put(70, 0x0101080A, ">u4")
    put(74, (sent // 1_000_000) & 0xFFFFFFFF, ">u4")
    put(78, (conn & 0xFFFFFF) if n else 0, ">u4")
    return out
