"""A TCP server of our own, which acknowledges what and when a scenario says.

It stands outside the node. The kernel there must not answer for it, so a rule drops the server's port on
input; packets are read from a packet socket, which sees them before that, and written to a raw socket.
"""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from typing import Any, NamedTuple

from analyzer.lab.namespaces import Namespace

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SCALE = 7
WINDOW = 173056
"""Bytes: the window of the server in docker/libnetwork#1090."""
FIRST_SEQ = 1_000_000
_MODULUS = 1 << 32
_ETH_P_IP = 0x0800
_SO_RCVBUFFORCE = 33  # include/uapi/asm-generic/socket.h
_PATIENCE_S = 10
_QUIET_S = 1
_RULES = """
table inet farend {{
    chain input {{
        type filter hook input priority 0;
        tcp dport {port} drop
    }}
}}
"""


class Segment(NamedTuple):
    """One TCP segment that arrived."""

    port: int
    seq: int
    ack: int
    flags: int
    length: int
    """Bytes of payload, from the IP header: TSO frames of 64 KB arrive whole."""


class Arrived:
    """What of the peer's bytes is there, in whatever order they came.

    The segments of one connection overtake each other: a veth passes a packet on through the backlog of the CPU that
    sent it, and TCP sends from the program's CPU as well as from the one where an ACK arrives. Dropping what came too
    early would make the peer, which has no SACK here, wait for one retransmission timeout after another.
    """

    def __init__(self, first: int) -> None:
        """Nothing is there before the sequence number *first*."""
        self.upto = first
        """The first byte that is missing: RCV.NXT of RFC 9293."""
        self._early: list[tuple[int, int]] = []

    def add(self, seq: int, length: int) -> None:
        """Take in *length* bytes from *seq* on; a FIN is one more."""
        self._early.append((seq, length))
        while more := max(map(self._continued, self._early)):
            self.upto = (self.upto + more) % _MODULUS
        self._early = [(s, n) for s, n in self._early if (s - self.upto) % _MODULUS < _MODULUS // 2]

    def _continued(self, segment: tuple[int, int]) -> int:
        """By how many bytes a segment continues what is there; 0 if it is old, or something before it is missing."""
        seq, length = segment
        return max(0, length - (self.upto - seq) % _MODULUS)


class FarEnd:
    """One connection at a time, from its SYN to its end."""

    def __init__(self, where: Namespace, address: str, port: int) -> None:
        """Open the sockets.

        Args:
            where: Namespace to serve in.
            address: IPv4 address of its interface eth0.
            port: TCP port; the kernel of the namespace is kept from answering there.
        """
        where.run("nft", "-f", "-", stdin=_RULES.format(port=port))
        with where.entered():
            self._sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
            self._receiver = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        self._sender.bind((address, 0))
        # Beyond net.core.rmem_max, which a few TSO frames would fill.
        self._receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 24)
        self._receiver.bind(("eth0", _ETH_P_IP))
        self._receiver.settimeout(_PATIENCE_S)
        self._own = socket.inet_aton(address)
        self._port = port
        self._peer = ("", 0)
        self.seq = FIRST_SEQ
        """The next sequence number of our own."""
        self.first = 0
        """The peer's first sequence number after its SYN."""
        self.ended = False
        """Whether all is there that the peer has sent, its FIN included."""
        self._arrived = Arrived(0)
        self._fin: int | None = None

    def close(self) -> None:
        """Close the sockets."""
        self._sender.close()
        self._receiver.close()

    @property
    def received(self) -> int:
        """What the peer has sent up to, without a gap."""
        return self._arrived.upto

    @property
    def total(self) -> int:
        """How many bytes the peer has sent without a gap; its FIN counts as one."""
        return (self.received - self.first) % _MODULUS

    def accept(self) -> None:
        """Wait for a SYN and answer it; options: MSS, window scale."""
        syn = self.receive()
        while syn.flags & 0x3F != SYN:  # ECE and CWR may come with it
            syn = self.receive()
        self.seq = FIRST_SEQ
        self.first = (syn.seq + 1) % _MODULUS
        self._arrived = Arrived(self.first)
        self._fin, self.ended = None, False
        self.send(SYN | ACK, options=struct.pack("!BBHBBBB", 2, 4, 1460, 1, 3, 3, SCALE))
        self.seq += 1

    def receive(self) -> Segment:
        """Wait for the peer's next segment and take in what it brings.

        Raises:
            TimeoutError: Nothing came for ten seconds.
        """
        while True:
            packet = self._receiver.recv(1 << 17)
            if packet[16:20] != self._own or packet[9] != 6:
                continue
            header = (packet[0] & 15) * 4
            sport, dport, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", packet, header)
            if dport != self._port:
                continue
            if flags & SYN:
                self._peer = (socket.inet_ntoa(packet[12:16]), sport)
            elif sport != self._peer[1]:
                continue
            length = int.from_bytes(packet[2:4]) - header - (offset >> 4) * 4
            segment = Segment(sport, seq, ack, flags, length)
            if not flags & (SYN | RST):
                if flags & FIN:
                    self._fin = (seq + length + 1) % _MODULUS
                self._arrived.add(seq, length + bool(flags & FIN))
                self.ended = self.received == self._fin
            return segment

    def send(
        self,
        flags: int,
        *,
        seq: int | None = None,
        ack: int | None = None,
        payload: bytes = b"",
        options: bytes = b"",
    ) -> dict[str, Any]:
        """Send one segment to the peer.

        Args:
            flags: TCP flags.
            seq: Sequence number; None for the next one.
            ack: Acknowledgement number; None for what was received.
            payload: Bytes of data.
            options: TCP options, a multiple of four bytes.

        Returns:
            Time (seconds since the epoch), seq and ack, for the truth.
        """
        seq = self.seq if seq is None else seq
        ack = (self.received if ack is None else ack) % _MODULUS if flags & ACK else 0
        # RFC 9293 section 3.1; the window of a SYN is not scaled.
        window = 0 if flags & RST else 0xFFFF if flags & SYN else WINDOW >> SCALE
        offset = (20 + len(options)) << 2
        parts = [self._port, self._peer[1], seq, ack, offset, flags, window, 0, 0]
        body = options + payload
        header = struct.pack("!HHIIBBHHH", *parts)
        pseudo = self._own + socket.inet_aton(self._peer[0]) + struct.pack("!HH", 6, len(header) + len(body))
        parts[7] = checksum(pseudo + header + body)
        if payload:
            self.seq += len(payload)
        now = time.time()
        self._sender.sendto(struct.pack("!HHIIBBHHH", *parts) + body, (self._peer[0], 0))
        return {"time": now, "seq": seq, "ack": ack}

    def end(self) -> None:
        """Answer the peer's FIN with ours."""
        self.send(FIN | ACK)
        self.seq += 1
        self.receive()

    def give_up(self) -> None:
        """Forget the connection: answer what still comes with RST until it is quiet.

        As RFC 9293 section 3.10.7.1 has it for a connection that does not exist.
        """
        self._receiver.settimeout(_QUIET_S)
        with suppress(TimeoutError):
            while True:
                segment = self.receive()
                if not segment.flags & RST:
                    self.send(RST, seq=segment.ack)
        self._receiver.settimeout(_PATIENCE_S)


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
