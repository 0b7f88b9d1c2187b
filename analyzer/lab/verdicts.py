"""The kernel's word on which packets were INVALID.

The node's rule `ct state invalid log group 5` hands a copy of each packet that conntrack called INVALID to
nfnetlink_log, and tcpdump records that group. It stands in PREROUTING, so it tells of packets that arrive;
the RST with which the host answers is INVALID too and counts in `conntrack -S`, but is not listed here.
"""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from analyzer.errors import LostsynError
from analyzer.lab.namespaces import Namespace
from analyzer.lab.node import INVALID_GROUP

_NFULA_PAYLOAD = 9  # include/uapi/linux/netfilter/nfnetlink_log.h
_FLAGS = "FSRPAUEC"


@contextmanager
def logged(where: Namespace, file: Path) -> Iterator[None]:
    """Record the nflog group of a namespace into *file* during a `with` block.

    Raises:
        LostsynError: tcpdump does not record it.
    """
    argv = [*f"tcpdump -n -Z root --immediate-mode -i nflog:{INVALID_GROUP} -w".split(), str(file)]
    with where.entered():
        process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, start_new_session=True)
    with process:
        try:
            assert process.stderr is not None
            said = ""
            while "listening on" not in said:
                if not (line := process.stderr.readline()):
                    raise LostsynError(f"tcpdump does not record what is INVALID: {said.strip()}")
                said += line
            yield
            process.send_signal(signal.SIGINT)
            process.wait(20)
        finally:
            process.kill()


def read(file: Path) -> list[dict[str, Any]]:
    """The recorded packets, in order: addresses and, of TCP, ports, flags, seq, ack.

    Without a time: the group is handed over in batches and tcpdump stamps the hand-over.
    """
    return [_describe(packet) for packet in _packets(file.read_bytes())]


def _packets(data: bytes) -> Iterator[bytes]:
    """IP packets of a pcap of link type NFLOG (239), written on this machine: TLVs in host order."""
    at = 24
    while at < len(data):
        length = struct.unpack_from("=I", data, at + 8)[0]
        record = data[at + 16 : at + 16 + length]
        at += 16 + length
        tlv = 4  # family, version, resource id
        while tlv + 4 <= length:
            size, kind = struct.unpack_from("=HH", record, tlv)
            if kind == _NFULA_PAYLOAD:
                yield record[tlv + 4 : tlv + size]
            tlv += max(4, (size + 3) & ~3)


def _describe(packet: bytes) -> dict[str, Any]:
    if packet[0] >> 4 == 4:
        header, protocol, family, at, size = (packet[0] & 15) * 4, packet[9], socket.AF_INET, 12, 4
    else:
        header, protocol, family, at, size = 40, packet[6], socket.AF_INET6, 8, 16
    told: dict[str, Any] = {
        "src": socket.inet_ntop(family, packet[at : at + size]),
        "dst": socket.inet_ntop(family, packet[at + size : at + 2 * size]),
        "protocol": protocol,
    }
    if protocol == socket.IPPROTO_TCP:
        sport, dport, seq, ack, _, flags = struct.unpack_from("!HHIIBB", packet, header)
        letters = "".join(letter for bit, letter in enumerate(_FLAGS) if flags >> bit & 1)
        told |= {"sport": sport, "dport": dport, "flags": letters, "seq": seq, "ack": ack}
    return told
