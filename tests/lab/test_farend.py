"""The TCP server of our own, against a kernel's TCP."""

from __future__ import annotations

import socket
from contextlib import closing
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.utils import checksum

from analyzer.lab import farend
from analyzer.lab.farend import ACK, FIRST_SEQ, PSH, Arrived, FarEnd
from analyzer.lab.node import V4, built


@given(st.binary(max_size=200))
def test_the_checksum_is_that_of_rfc_1071(data: bytes) -> None:
    """Scapy has the second opinion."""
    assert checksum(data) == farend.checksum(data)


@given(st.data(), st.integers(0, 2**32 - 1), st.lists(st.integers(1, 70_000), min_size=1, max_size=12))
def test_the_order_of_arrival_does_not_matter(data: st.DataObject, first: int, lengths: list[int]) -> None:
    """Overtaken, repeated, in other pieces, around 2^32: what is there grows, and is whole when every byte has come."""
    sizes = [0, *accumulate(lengths)]
    pieces = [(a, b - a) for a, b in pairwise(sizes)]
    joined = [(a, b - a) for a, b in zip(sizes, sizes[2:], strict=False)]
    again = data.draw(st.lists(st.sampled_from([*pieces, *joined]), max_size=6))
    arrived, there = Arrived(first), 0
    for begin, length in data.draw(st.permutations([*pieces, *again])):
        arrived.add((first + begin) % 2**32, length)
        before, there = there, (arrived.upto - first) % 2**32
        assert before <= there
        assert there in sizes
    assert sizes[-1] == there


def test_nothing_is_there_beyond_a_missing_byte() -> None:
    """What came early counts when the gap closes, and not before."""
    arrived = Arrived(100)
    arrived.add(111, 10)
    assert arrived.upto == 100
    arrived.add(100, 10)
    assert arrived.upto == 110
    arrived.add(110, 1)
    assert arrived.upto == 121


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
