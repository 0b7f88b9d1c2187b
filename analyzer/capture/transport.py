"""The bytes of single packets, read again from their files: for the few that become evidence."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from analyzer.capture.columns import Flows
from analyzer.capture.compressed import Stream
from analyzer.capture.files import CaptureFile
from analyzer.capture.layout import CUT
from analyzer.capture.points import Recording

MAPPED = bytes(10) + b"\xff\xff"
MOST = 576
"""Bytes from the transport header on that are read of a packet: all options, and any DNS question."""


def transports(recording: Recording, rows: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """Read packets from the transport header on: (row, at most `MOST` bytes).

    The bytes may run on into the next record: the headers' own lengths say where they end, and the rows whose
    header was cut short come as no bytes.
    """
    by_file: dict[int, list[int]] = {}
    for row in sorted(set(rows)):
        by_file.setdefault(recording.file_of(row), []).append(row)
    for index, wanted in by_file.items():
        rows_at = sorted((recording.offset_of(row), row) for row in wanted)
        read = _read(recording.files[index], [offset for offset, _ in rows_at])
        for (_, row), data in zip(rows_at, read, strict=True):
            yield row, b"" if recording.packets.bits[row] & CUT else data


def enclosing(recording: Recording, row: int) -> bytes:
    """The addresses and ports of the UDP datagram that a VXLAN or Geneve packet came in: 4 + 4 or 16 + 16, 2 + 2 bytes.

    Read backwards from the inner transport header, over an inner IP header without options; empty where it is otherwise, or cut.
    """
    offset = recording.offset_of(row)
    begin = max(0, offset - _AROUND)
    data = next(_read(recording.files[recording.file_of(row)], [begin]), b"")[: offset - begin]
    for inner, first in ((20, 0x45), (40, 0x60)):
        udp = len(data) - inner - 14 - 8 - 8  # Ethernet, VXLAN or Geneve, UDP
        if udp < 40 or data[-inner] & (0xFF if inner == 20 else 0xF0) != first:
            continue
        ports = data[udp : udp + 4]
        if data[udp - 20] == 0x45 and data[udp - 11] == 17:
            return data[udp - 8 : udp] + ports
        if data[udp - 40] >> 4 == 6 and data[udp - 34] == 17:
            return data[udp - 32 : udp] + ports
    return b""


def stations(recording: Recording, rows: Iterable[int]) -> Iterator[int]:
    """The link-layer address that each of these packets' frames goes to; 0 where no IP header without options shows it."""
    for row in rows:
        offset = recording.offset_of(row)
        begin = max(0, offset - 54)
        data = next(_read(recording.files[recording.file_of(row)], [begin]), b"")[: offset - begin]
        found = (data[-size - 14 : -size - 8] for size, kind in _HEADERS if data[-size - 2 : -size] == kind)
        yield int.from_bytes(next(found, b""), "big")


_HEADERS = ((20, b"\x08\x00"), (40, b"\x86\xdd"))
_AROUND = 160
"""Bytes before an inner transport header in which the tunnel's headers lie."""


def _read(file: CaptureFile, offsets: Sequence[int]) -> Iterator[bytes]:
    """Read at most `MOST` bytes at each of these places, ascending; fewer at the file's end."""
    try:
        raw = file.source()
    except OSError:  # gone since it was decoded
        yield from (b"" for _ in offsets)
        return
    with Stream(raw) as stream:
        if stream.compression is None and isinstance(raw, io.FileIO):
            for offset in offsets:
                data = b""
                with suppress(OSError):
                    data = os.pread(raw.fileno(), MOST, offset)
                yield data
            return
        position, held = 0, b""
        for offset in offsets:
            while position + len(held) < offset + MOST and (more := stream.read(1 << 20)):
                keep = max(0, min(len(held), offset - position))
                position, held = position + keep, held[keep:] + more
            yield held[offset - position :][:MOST]


def quoted_ends(icmp: bytes) -> bytes:
    """Addresses and ports of the packet that an ICMP error quotes: 16 + 16 + 2 + 2 bytes, IPv4 mapped; empty if cut.

    Of an echo its identifier, twice, as flows have it.
    """
    quoted = icmp[8:]
    if len(quoted) >= 24 and quoted[0] >> 4 == 4:
        at, echo = (quoted[0] & 15) * 4, quoted[9] == 1
        addresses = MAPPED + quoted[12:16] + MAPPED + quoted[16:20]
    elif len(quoted) >= 44 and quoted[0] >> 4 == 6:
        at, echo, addresses = 40, quoted[6] == 58, quoted[8:40]
    else:
        return b""
    ports = 2 * quoted[at + 4 : at + 6] if echo else quoted[at : at + 4]
    return addresses + ports if len(ports) == 4 else b""


def flow_ends(flows: Flows, flow: int) -> bytes:
    """The same of a flow, originator first."""
    halves = (flows.src_hi[flow], flows.src_lo[flow], flows.dst_hi[flow], flows.dst_lo[flow])
    return b"".join(int(half).to_bytes(8, "big") for half in halves) + int(flows.ports[flow]).to_bytes(
        4, "big"
    )


def turned(ends: bytes) -> bytes:
    """The same, as the other side says it."""
    return ends[16:32] + ends[:16] + ends[34:36] + ends[32:34]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The TCP options that conntrack reads, the largest segment that the sender takes, and its timestamp."""

    any: bool = False
    mss: int | None = None
    wscale: int | None = None
    sack_permitted: bool = False
    sack: tuple[tuple[int, int], ...] = ()
    tsval: int | None = None


def tcp_options(header: bytes) -> Options:
    """Parse the options of a TCP header; what is malformed ends the list, as in the kernel (`tcp_options`)."""
    import dpkt

    if len(header) < 20:
        return Options()
    raw = header[20 : (header[12] >> 4) * 4]
    mss, wscale, tsval, permitted, blocks = None, None, None, False, []
    for option in dpkt.tcp.parse_opts(raw):
        if option is None:
            break
        kind, value = option
        if kind == dpkt.tcp.TCP_OPT_EOL:
            break
        if kind == dpkt.tcp.TCP_OPT_MSS and len(value) == 2:
            mss = int.from_bytes(value, "big")
        elif kind == dpkt.tcp.TCP_OPT_WSCALE and len(value) == 1:
            wscale = value[0]
        elif kind == dpkt.tcp.TCP_OPT_SACKOK:
            permitted = True
        elif kind == dpkt.tcp.TCP_OPT_TIMESTAMP and len(value) == 8:
            tsval = int.from_bytes(value[:4], "big")
        elif kind == dpkt.tcp.TCP_OPT_SACK and len(value) % 8 == 0:
            edges = [int.from_bytes(value[i : i + 4], "big") for i in range(0, len(value), 4)]
            blocks += list(zip(edges[::2], edges[1::2], strict=True))
    return Options(
        any=bool(raw), mss=mss, wscale=wscale, sack_permitted=permitted, sack=tuple(blocks), tsval=tsval
    )
