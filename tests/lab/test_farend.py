"""The TCP server of our own, against a kernel's TCP."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.utils import checksum

from analyzer.lab.farend import ACK, FIRST_SEQ, PSH, FarEnd, _checksum
from analyzer.lab.node import V4, built


@given(st.binary(max_size=200))
def test_the_checksum_is_that_of_rfc_1071(data: bytes) -> None:
    """Scapy has the second opinion."""
    assert checksum(data) == _checksum(data)


def _talk() -> bytes:
    with socket.create_connection((V4.server, 80), timeout=5) as client:
        client.sendall(b"four")
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(64), b""))


@pytest.mark.kernel
def test_a_kernel_client_connects_sends_receives_and_ends() -> None:
    """Handshake, data both ways and FIN both ways, with the numbers that TCP wants."""
    with built() as net, closing(FarEnd(net.outside, V4.server, 80)) as far:
        task = net.a.start(_talk)
        far.accept()
        while far.total < 4:
            far.receive()
        far.send(ACK | PSH, payload=b"done")
        assert far.seq == FIRST_SEQ + 1 + 4
        while far.total < 5:
            far.receive()
        assert far.total == 5, "four bytes and the FIN"
        far.end()
        assert task.result(10) == b"done"
