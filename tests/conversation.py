"""Writes a conversation the way a test reads it: the captures of all points at once.

    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:20000")
    talk.syn().lost_after("cni0")
    talk.syn(at=1.0)
    talk.accept()
    talk.data(500)
    talk.reply(1000)
    folder = record(tmp_path, talk)

The *way* names the points that packets pass from the pod on. At `|` they are routed: the TTL falls by one, frames get
other MACs, NAT applies. At `/` only DNAT applies, as on a bridge with br_netfilter.

    veth-a cni0 | eth0          out of the node
    veth-a cni0 veth-b          bridged to another pod
    veth-a cni0                 to the node itself
    veth-a cni0 | cni0 veth-b   a service whose endpoint is another pod of the node
"""

from __future__ import annotations

import hashlib
import random
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import PcapReader, PcapWriter

START = 1_700_000_000_000_000_000
"""ns since the epoch of `at=0`."""
TRANSIT = 5_000
"""ns from one point to the next."""
BRIDGE, UPLINK, GATEWAY = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"
M32 = 0xFFFFFFFF


@dataclass(slots=True, kw_only=True)
class Sent:
    """One packet; its methods say where it was not seen, or seen in pieces."""

    talk: Conversation
    time: int
    """ns, at the first point of its way."""
    outward: bool
    """Sent by the pod."""
    flags: str
    seq: int
    ack: int
    payload: bytes
    window: int
    number: int
    """IP ID, and the sequence number of an ICMP echo."""
    options: list[tuple[str, object]]
    seen: list[int]
    """Places of the talk's way, in the order of travel."""
    pieces: dict[str, int] = field(default_factory=dict)
    waits: dict[str, int] = field(default_factory=dict)
    """ns that it waits before a point sees it, and so before all behind."""

    def queued(self, point: str, seconds: float) -> Sent:
        """Let it wait before *point* sees it, in a queue."""
        self.waits[point] = round(seconds * 1e9)
        return self

    def lost_after(self, point: str) -> Sent:
        """Let it vanish behind its (last) passing of *point*."""
        last = max(i for i, place in enumerate(self.seen) if self.talk.points[place] == point)
        self.seen = self.seen[: last + 1]
        return self

    def missed_at(self, *points: str) -> Sent:
        """Let these captures miss it though it passed."""
        self.seen = [place for place in self.seen if self.talk.points[place] not in points]
        return self

    def only_at(self, *points: str) -> Sent:
        """Let no other capture see it."""
        self.seen = [place for place in self.seen if self.talk.points[place] in points]
        return self

    def in_pieces(self, point: str, pieces: int) -> Sent:
        """Let *point* see its payload in several segments: after TSO, or before GRO."""
        self.pieces[point] = pieces
        return self


@dataclass(slots=True, kw_only=True)
class Conversation:
    """One connection between a pod and a server, told packet by packet; ends are `address:port`, `[v6]:port`."""

    pod: str
    server: str
    """As the pod addresses it."""
    nat: str | None = None
    """What SNAT makes of the pod's end."""
    dnat: str | None = None
    """What DNAT makes of the server's end."""
    way: str = "veth-a cni0 | eth0"
    proto: str = "tcp"
    """`tcp`, `udp`, or `icmp`: echo, with the identifier as the port."""
    isn: int = 1_000_000
    server_isn: int = 5_000_000
    timestamps: bool = True
    """Whether both stacks send TCP timestamps."""
    window: int = 502
    sent: list[Sent] = field(default_factory=list)
    points: list[str] = field(init=False)
    _next: dict[bool, int] = field(init=False)

    def __post_init__(self) -> None:
        self.points = [word for word in self.way.split() if word not in "|/"]
        self._next = {True: self.isn, False: self.server_isn}

    def send(
        self,
        flags: str = "A",
        payload: bytes | int = b"",
        *,
        by_pod: bool = True,
        at: float | None = None,
        seq: int | None = None,
        ack: int | None = None,
        window: int | None = None,
        options: list[tuple[str, object]] | None = None,
    ) -> Sent:
        """Send any packet.

        Args:
            flags: As scapy writes them: `S`, `SA`, `PA`, `R`; ignored but for TCP.
            payload: The bytes, or how many.
            by_pod: Who sends it.
            at: Seconds; by default a millisecond after the packet before.
            seq: By default what the side sends next; the side's next number does not move then.
            ack: By default all that the other side has sent.
            window: As on the wire.
            options: TCP options as scapy writes them, instead of the usual ones.
        """
        before = self.sent[-1].time if self.sent else START - 1_000_000
        number = len(self.sent) + 1
        if isinstance(payload, int):
            payload = bytes((number * 7 + i) & 255 for i in range(payload))
        used = self._next[by_pod] if seq is None else seq
        if seq is None:
            self._next[by_pod] = (used + len(payload) + ("S" in flags) + ("F" in flags)) & M32
        places = list(range(len(self.points)))
        packet = Sent(
            talk=self,
            time=before + 1_000_000 if at is None else START + round(at * 1e9),
            outward=by_pod,
            flags=flags,
            seq=used,
            ack=0 if "A" not in flags else self._next[not by_pod] if ack is None else ack,
            payload=payload,
            window=(64240 if "S" in flags else self.window) if window is None else window,
            number=number,
            options=[],
            seen=places if by_pod else places[::-1],
        )
        packet.options = self._options(packet) if options is None else options
        self.sent.append(packet)
        return packet

    def syn(self, at: float | None = None) -> Sent:
        """Send the pod's SYN, or repeat it."""
        self._next[True] = (self.isn + 1) & M32
        return self.send("S", at=at, seq=self.isn)

    def synack(self, at: float | None = None) -> Sent:
        """Send the server's SYN-ACK, or repeat it."""
        self._next[False] = (self.server_isn + 1) & M32
        return self.send("SA", by_pod=False, at=at, seq=self.server_isn)

    def accept(self, at: float | None = None) -> None:
        """Finish the handshake: SYN-ACK and ACK."""
        self.synack(at)
        self.send("A")

    def data(self, payload: bytes | int = 100, at: float | None = None) -> Sent:
        """Let the pod send payload: a TCP segment, a UDP datagram or an echo request."""
        return self.send("PA", payload, at=at)

    def reply(self, payload: bytes | int = 100, at: float | None = None) -> Sent:
        """Let the server send payload; an echo reply repeats the request's."""
        if self.proto == "icmp":
            payload = self.sent[-1].payload
        return self.send("PA", payload, by_pod=False, at=at)

    def reset_by_host(self, offender: Sent, after_us: float = 40) -> Sent:
        """Let the host answer a packet that it could not translate back (RFC 9293 section 3.10.7.1).

        The packet itself is seen at the outermost point only.
        """
        offender.only_at(self.points[-1])
        reset = self.send("R", seq=offender.ack, window=0, options=[]).only_at(self.points[-1])
        reset.time = offender.time + round(after_us * 1000) - (len(self.points) - 1) * TRANSIT
        return reset

    def frames(self) -> Iterator[tuple[str, int, bytes]]:
        """Every packet at every point that saw it: (point, ns, the frame)."""
        for packet in self.sent:
            for place in packet.seen:
                step = place if packet.outward else len(self.points) - 1 - place
                count = packet.pieces.get(self.points[place], 1)
                size = -(-len(packet.payload) // count)
                for piece in range(count):
                    part = packet.payload[piece * size :][: size or None]
                    waited = sum(packet.waits.get(self.points[p], 0) for p in self._until(packet, place))
                    time = packet.time + step * TRANSIT + piece * 1_000 + waited
                    yield self.points[place], time, bytes(self._frame(packet, place, part, piece * size))

    def _until(self, packet: Sent, place: int) -> range:
        """Places that a packet has passed when it is seen at *place*."""
        return range(place + 1) if packet.outward else range(place, len(self.points))

    def _options(self, packet: Sent) -> list[tuple[str, object]]:
        first = "S" in packet.flags
        clock = (packet.time - START) // 1_000_000
        stamp = [
            ("Timestamp", ((clock + 77_000) & M32, 0 if packet.flags == "S" else (clock + 33_000) & M32))
        ]
        head: list[tuple[str, object]] = [("MSS", 1460), ("SAckOK", b"")] if first else [("NOP", None)] * 2
        return (head if first or self.timestamps else []) + (
            (stamp if self.timestamps else []) + ([("NOP", None), ("WScale", 7)] if first else [])
        )

    def _frame(self, packet: Sent, place: int, payload: bytes, skip: int) -> Packet:
        words = self.way.split()
        at = [i for i, word in enumerate(words) if word not in "|/"][place]
        routed = "|" in words[:at]
        pod = self.nat if routed and self.nat else self.pod
        server = self.dnat if self.dnat and (routed or "/" in words[:at]) else self.server
        near, far = self._macs(place, routed)
        away = self.points[-1].startswith("eth")
        if packet.outward:
            ttl = 64 - routed
            src, dst, macs = pod, server, (near, far)
        else:
            ttl = (57 if away else 64) - ("|" in words[at:])
            src, dst, macs = server, pod, (far, near)
        (src_ip, sport), (dst_ip, dport) = _end(src), _end(dst)
        if ":" in src_ip:
            network = IPv6(src=src_ip, dst=dst_ip, hlim=ttl)
        else:
            network = IP(src=src_ip, dst=dst_ip, ttl=ttl, id=packet.number, flags="DF")
        if self.proto == "icmp":
            transport = _echo(":" in src_ip, packet, sport if packet.outward else dport)
        elif self.proto == "udp":
            transport = UDP(sport=sport, dport=dport)
        else:
            transport = TCP(
                sport=sport,
                dport=dport,
                flags=packet.flags,
                seq=(packet.seq + skip) & M32,
                ack=packet.ack,
                window=packet.window,
                options=packet.options,
            )
        return Ether(src=macs[0], dst=macs[1]) / network / transport / Raw(payload)

    def _macs(self, place: int, routed: bool) -> tuple[str, str]:
        """The link-layer addresses on the pod's side and on the server's."""
        if not routed:
            bridged = "|" not in self.way and not _is_bridge(self.points[-1])
            return _mac(self.pod), _mac(self.server) if bridged else BRIDGE
        if self.points[place].startswith("eth"):
            return UPLINK, GATEWAY
        return BRIDGE, _mac(self.dnat or self.server)


def bystander(at: float, way: str = "veth-z cni0 | eth0") -> Conversation:
    """Another pod's whole connection to elsewhere, at that second: it shows that all points of *way* were recording."""
    port = 40000 + round(at * 10) % 10000
    talk = Conversation(
        pod=f"10.244.0.99:{port}",
        server="198.51.100.99:443",
        nat=f"192.0.2.10:{port}",
        way=way,
        isn=port * 100_000,
    )
    talk.syn(at)
    talk.accept()
    return talk


def record(
    folder: Path,
    *talks: Conversation,
    points: tuple[str, ...] | None = None,
    names: Mapping[str, str] | None = None,
    clocks: Mapping[str, float] | None = None,
    snaplen: Mapping[str, int] | None = None,
    begin: Mapping[str, float] | None = None,
    end: Mapping[str, float] | None = None,
    shuffled: float = 0,
    jitter: float = 0,
) -> Path:
    """Write what each point captured of these conversations into *folder*, one nanosecond pcap per point.

    Args:
        folder: Made if it is not there.
        talks: The conversations.
        points: Only these points; all that the conversations pass by default. One that saw nothing is an empty capture.
        names: Point to the stem of its file, where it is not the point's name.
        clocks: Point to seconds that its clock is ahead.
        snaplen: Point to bytes captured of a frame, at most.
        begin: Point to the second (as `at`) from which on it captured.
        end: Point to the second until which it captured.
        shuffled: Seconds by which records may be later in their files than their times say: their times are right.
        jitter: Seconds by which times may be wrong, either way; records are in the order in which packets came.

    Returns: *folder*.
    """
    recorded = dict.fromkeys(point for talk in talks for point in talk.points) if points is None else points
    seen: dict[str, list[tuple[int, bytes]]] = {point: [] for point in recorded}
    for talk in talks:
        for point, time, frame in talk.frames():
            since = (time - START) / 1e9
            if point in seen and (begin or {}).get(point, -1e9) <= since <= (end or {}).get(point, 1e9):
                seen[point].append((time + round((clocks or {}).get(point, 0) * 1e9), frame))
    folder.mkdir(parents=True, exist_ok=True)
    for point, frames in seen.items():
        limit = (snaplen or {}).get(point, 262144)
        out = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, limit, 1)
        chance = random.Random(point)
        ordered = sorted(frames, key=lambda f: f[0] + chance.randrange(round(shuffled * 1e9) + 1))
        for right, frame in ordered:
            time = right + chance.randint(-round(jitter * 1e9), round(jitter * 1e9))
            cut = frame[:limit]
            out += struct.pack("<IIII", time // 10**9, time % 10**9, len(cut), len(frame)) + cut
        (folder / f"{(names or {}).get(point, point)}.pcap").write_bytes(out)
    return folder


def encapsulated(path: Path, prefix: str = "") -> None:
    """Let an uplink's capture have the packets of these addresses in VXLAN (RFC 7348 section 5), between two nodes."""
    with PcapReader(str(path)) as read:
        frames = list(read)
    outer = (
        Ether(src=UPLINK, dst=GATEWAY) / IP(src="192.0.2.10", dst="192.0.2.12") / UDP(sport=50123, dport=8472)
    )
    with closing(PcapWriter(str(path))) as file:
        for frame in frames:
            inside = prefix and not any(end.startswith(prefix) for end in (frame[IP].src, frame[IP].dst))
            packet = frame if inside else outer / Raw(b"\x08\0\0\0\0\0\1\0" + bytes(frame))
            packet.time = frame.time
            file.write(packet)


def _end(text: str) -> tuple[str, int]:
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)


def _mac(end: str) -> str:
    return "02:" + hashlib.sha256(_end(end)[0].encode()).digest()[:5].hex(":")


def _is_bridge(point: str) -> bool:
    return point.startswith(("cni", "docker", "br"))


def _echo(v6: bool, packet: Sent, identifier: int) -> Packet:
    seq = packet.number - (not packet.outward)  # a reply answers the packet before it
    if v6:
        return (ICMPv6EchoRequest if packet.outward else ICMPv6EchoReply)(id=identifier, seq=seq)
    return ICMP(type=8 if packet.outward else 0, id=identifier, seq=seq)
