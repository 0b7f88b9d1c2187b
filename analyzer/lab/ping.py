"""One ICMP echo, from a raw socket: unprivileged ones are off in a new namespace (ping_group_range)."""

from __future__ import annotations

import socket
import struct
from contextlib import closing

from analyzer.lab.farend import checksum
from analyzer.lab.node import V4, V6, Addresses


def ping(version: Addresses, number: int) -> None:
    """Ask the server for an echo and wait for it; runs in the namespace that is entered.

    Args:
        version: IPv4 or IPv6.
        number: The sequence number of the echo.
    """
    protocol, request, reply = (
        (socket.IPPROTO_ICMPV6, 128, 129) if version is V6 else (socket.IPPROTO_ICMP, 8, 0)
    )
    message = struct.pack("!BBHHH", request, 0, 0, 0x1234, number) + b"lostsyn " * 7
    if version is V4:  # the kernel fills in the checksum of ICMPv6 alone
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    with closing(socket.socket(version.family, socket.SOCK_RAW, protocol)) as client:
        client.settimeout(5)
        client.connect((version.server, 0))
        client.send(message)
        while True:
            answer = client.recv(2048)
            if version is V4:
                answer = answer[(answer[0] & 15) * 4 :]
            if answer[0] == reply:
                return
