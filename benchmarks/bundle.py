"""A synthetic bundle of any size, as a busy node records it at veth, cni0 and eth0.

    python benchmarks/bundle.py FOLDER PACKETS [--full] [--vanished N] [--veths N]

Short HTTP-like connections of 200 pods to five servers, long uploads, DNS look-ups, retransmissions; all translated by
SNAT; nothing is lost but the SYNs asked for. The pods' side is one file, or several. Records are cut at 84 bytes (100 with
their header) or, with `--full`, as long as the packets were. Vectorised, in pieces of a million records. `Traffic` says
what is otherwise; `merge`, `in_ipv6` and `in_vxlan` rewrite captures, `conntrack` and `rules` write side evidence.
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
RECORD = 16 + CAPTURED
PORTS = 60_000
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
SHORT: Script = [
    *HTTP[:5],
    (0, 0x19, 1, 401, 200, 400_000),
    (1, 0x11, 401, 202, 0, 60_000),
    (0, 0x10, 202, 402, 0, 300_000),
]
REFUSED: Script = [*HTTP[:2], (1, 0x14, 1, 1, 0, 50_000)]
DNS: Script = [(1, 0, 0, 0, 40, 0), (0, 0, 0, 0, 120, 400_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What is said, and between how many."""

    pods: int = 200
    servers: int = 5
    ports: int = PORTS
    """Source ports that a pod has: behind the last one the first is used again."""
    translated: bool = True
    """Whether pod and port fold into the node's address and a port of its own outside."""
    mix: tuple[tuple[Script, int, int, int], ...] = (
        (HTTP, TCP, 80, 8400),
        (RESENT, TCP, 80, 100),
        (UPLOAD, TCP, 443, 10),
        (DNS, UDP, 53, 1490),
    )
    """Script, protocol, server's port, share of the connections in 10,000; of the first one SYNs vanish."""

    def connections(self, packets: int) -> int:
        """How many connections have about so many packets at three points."""
        each = sum(len(script) * share for script, _, _, share in self.mix) / 10_000
        return round(packets / len(POINTS) / each)


USUAL = Traffic()


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


def packets(connections: int, vanished: int, traffic: Traffic = USUAL) -> Packets:
    """Lay out so many connections, a new one every 20 us or slower; of the HTTP ones some lose their first SYN."""
    rng, mix = np.random.default_rng(1), traffic.mix
    kind = rng.choice(len(mix), connections, p=np.array([m[3] for m in mix]) / 10_000)
    apart = max(20_000, 3_000_000_000 // connections)
    columns: list[list[Any]] = []
    for number, (script, proto, port, _) in enumerate(mix):
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


def write(
    folder: Path,
    connections: int,
    vanished: int = 0,
    *,
    full: bool = False,
    veths: int = 1,
    traffic: Traffic = USUAL,
) -> int:
    """Write what each point saw.

    Args:
        folder: Where to; made if need be.
        connections: How many.
        vanished: Of these, how many lose their first SYN between cni0 and eth0.
        full: Whether the records hold whole packets.
        veths: Files among which the pods are divided.
        traffic: What they are.

    Returns: Packets in all files.
    """
    isn = np.random.default_rng(2).integers(0, 1 << 32, (2, connections), dtype=np.uint32)
    return save(folder, packets(connections, vanished, traffic), isn, full=full, veths=veths, traffic=traffic)


def save(
    folder: Path,
    everything: Packets,
    isn: NDArray[np.uint32],
    *,
    full: bool = False,
    veths: int = 1,
    traffic: Traffic = USUAL,
    in_order: bool = True,
) -> int:
    """Write these packets as each point sees them, in the order of time or of the first point; say how many that are."""
    folder.mkdir(parents=True, exist_ok=True)
    total = 0
    inner, bridge, uplink = POINTS
    on = everything.conn % traffic.pods % veths
    views = [(f"veth{n}" if veths > 1 else inner[0], inner[1], on == n) for n in range(veths)]
    views += [(*bridge, slice(None)), (*uplink, ~everything.lost)]
    for name, delay, rows in views:
        outside = name == uplink[0]
        seen = everything.take(rows)
        if in_order:
            seen = seen.take(np.argsort(when(seen, delay), kind="stable"))
        with (folder / f"{name}.pcap").open("wb") as file:
            file.write(header(1, 65535 if full else CAPTURED))
            for at in range(0, len(seen.time), PIECE):
                part = seen.take(slice(at, at + PIECE))
                records(part, isn, delay, traffic, outside=outside, full=full).tofile(file)
        total += len(seen.time)
    return total


def when(p: Packets, delay: int) -> NDArray[np.int64]:
    """When a point that is so far from the first one sees them."""
    times: NDArray[np.int64] = p.time + np.where(p.client, delay, 10_000 - delay)
    return times


def header(link: int, snaplen: int) -> bytes:
    """How a pcap file of nanoseconds begins."""
    return struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, snaplen, link)


def longer(path: Path, more: int, at: int) -> NDArray[np.uint8]:
    """Read a capture's records, which are not full, each with so many zeros more at a place behind its own header."""
    old = np.fromfile(path, np.uint8)[24:].reshape(-1, RECORD)
    new = np.zeros((len(old), RECORD + more), np.uint8)
    new[:, : 16 + at], new[:, 16 + at + more :] = old[:, : 16 + at], old[:, 16 + at :]
    new[:, 8:16] = (old[:, 8:16].copy().view("<u4") + np.uint32(more)).view(np.uint8)
    return new


def in_ipv6(folder: Path) -> None:
    """Make IPv6 of the folder's captures: the old addresses are the ends of the new ones."""
    for path in folder.glob("*.pcap"):
        made = longer(path, 20, 14)
        old = made[:, 50:70].copy()
        made[:, 28:30] = 0x86, 0xDD
        made[:, 30:34] = 0x60, 0, 0, 0
        made[:, 34:36] = (old[:, 2:4].copy().view(">u2") - np.uint16(20)).astype(">u2").view(np.uint8)
        made[:, 36], made[:, 37] = old[:, 9], old[:, 8]
        for begin, address in ((38, old[:, 12:16]), (54, old[:, 16:20])):
            made[:, begin : begin + 16] = np.frombuffer(bytes.fromhex("20010db8") + bytes(12), np.uint8)
            made[:, begin + 12 : begin + 16] = address
        path.write_bytes(header(1, CAPTURED + 20))
        with path.open("ab") as file:
            made.tofile(file)


def in_vxlan(folder: Path) -> None:
    """Put what the uplink saw into VXLAN, as between two nodes of an overlay."""
    path = folder / f"{POINTS[-1][0]}.pcap"
    made = longer(path, 50, 0)
    outer = struct.pack(
        ">12xHHHHHBBH4s4s",
        0x0800,
        0x4500,
        0,
        0,
        0,
        64,
        UDP,
        0,
        bytes([192, 0, 2, 10]),
        bytes([192, 0, 2, 20]),
    )
    made[:, 16:66] = np.frombuffer(outer + struct.pack(">HHHHI4x", 0, 4789, 0, 0, 0x08000000), np.uint8)
    lengths = made[:, 12:16].copy().view("<u4")[:, 0]
    made[:, 32:34] = (lengths - 14).astype(">u2")[:, None].view(np.uint8)
    made[:, 54:56] = (lengths - 34).astype(">u2")[:, None].view(np.uint8)
    made[:, 16:28] = made[:, 66:78]
    made[:, 50:52] = made[:, 100:102]  # the source port is made of the flow
    inwards = made[:, 92] == 192
    made[inwards, 42:50] = np.frombuffer(outer[30:34] + outer[26:30], np.uint8)
    path.write_bytes(header(1, CAPTURED + 50))
    with path.open("ab") as file:
        made.tofile(file)


def conntrack(folder: Path, entries: int, state: str = "TIME_WAIT") -> None:
    """Write a listing of so many entries of the usual traffic's form."""
    lines = (
        f"tcp      6 {n % 120} {state} src=10.244.0.{2 + n % 200} dst=192.0.2.100 sport={1024 + n // 200} dport=80 "
        f"src=192.0.2.100 dst=192.0.2.10 sport=80 dport={1024 + n % PORTS} [ASSURED] mark=0 use=1\n"
        for n in range(entries)
    )
    (folder / "conntrack-L.txt").write_text("".join(lines))


def rules(folder: Path, count: int) -> None:
    """Write so many rules, as kube-proxy makes them: three for each service."""
    numbers = range(count // 3)
    chains = "".join(f":KUBE-SVC-{n:08X} - [0:0]\n:KUBE-SEP-{n:08X} - [0:0]\n" for n in numbers)
    made = "".join(
        f"-A KUBE-SERVICES -d 10.{96 + (n >> 16)}.{n >> 8 & 255}.{n & 255}/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-{n:08X}\n"
        f"-A KUBE-SVC-{n:08X} -j KUBE-SEP-{n:08X}\n"
        f"-A KUBE-SEP-{n:08X} -p tcp -m tcp -j DNAT --to-destination 10.245.{n >> 8 & 255}.{n & 255}:8080\n"
        for n in numbers
    )
    begin = "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n"
    jumps = "-A PREROUTING -j KUBE-SERVICES\n-A POSTROUTING -s 10.244.0.0/16 ! -o cni0 -j MASQUERADE\n"
    (folder / "iptables-save.txt").write_text(f"{begin}{chains}{jumps}{made}COMMIT\n")


def merge(folder: Path) -> None:
    """Make of the folder's captures, which are not full, one of `tcpdump -i any`, and the node's interface table."""
    found, links = [], []
    for number, path in enumerate(sorted(folder.glob("*.pcap")), 2):
        cooked = longer(path, 6, 0)
        macs = cooked[:, 28:34].copy()
        cooked[:, 16:36] = np.frombuffer(struct.pack(">HHIHBB8x", 0x0800, 0, number, 1, 0, 6), np.uint8)
        cooked[:, 28:34] = macs
        found.append(cooked)
        links.append(
            {"ifindex": number, "ifname": path.stem, "flags": ["UP"], "mtu": 1500, "operstate": "UP"}
        )
        path.unlink()
    everything = np.concatenate(found)
    time = everything[:, :8].copy().view("<u4").astype(np.int64) @ (1_000_000_000, 1)
    with (folder / "any.pcap").open("wb") as file:
        file.write(header(276, CAPTURED + 6))
        everything[np.argsort(time, kind="stable")].tofile(file)
    (folder / "ip-link.json").write_text(json.dumps(links))


def records(
    p: Packets, isn: NDArray[np.uint32], delay: int, traffic: Traffic, *, outside: bool, full: bool
) -> NDArray[np.uint8]:
    """Give packets as records of a pcap file, as one point sees them."""
    n = len(p.time)
    tcp = p.proto == TCP
    on_wire = np.where(tcp, 66, 42) + p.length
    caplen = on_wire if full else np.minimum(np.maximum(on_wire, CAPTURED), CAPTURED)
    start = np.concatenate([[0], np.cumsum(16 + caplen)])
    out = np.zeros(start[-1] + 64, np.uint8)
    begin = start[:-1]
    pod, c = p.conn % traffic.pods, p.client
    # Outside, pod and port fold into the node's address and a port of its own per server.
    server = 0xC0000264 + p.conn // PORTS % traffic.servers
    own, own_port = 0x0AF40002 + pod, 1024 + p.conn // traffic.pods % traffic.ports
    if outside and traffic.translated:
        own, own_port = np.full(n, 0xC000020A), 1024 + p.conn % PORTS
    time = when(p, delay)
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("packets", type=float)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--vanished", type=int, default=20)
    parser.add_argument("--veths", type=int, default=1)
    given = parser.parse_args()
    connections = USUAL.connections(int(given.packets))
    print(write(given.folder, connections, given.vanished, full=given.full, veths=given.veths))
