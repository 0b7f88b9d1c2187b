"""Flows set right: incarnations of a tuple, and who opened each."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.columns import Stretch
from analyzer.capture.layout import REPLY, SYN_X, SYN_Y, SYNACK_X, SYNACK_Y
from analyzer.capture.points import Recording
from analyzer.capture.storage import Memory
from analyzer.connection.passages import ends
from analyzer.flow.point import Point, assemble
from tests.capture.test_scan import decode

A, B = "10.0.0.1", "10.0.0.2"
SYN, SYNACK, ACK, FIN, RST = 0x02, 0x12, 0x10, 0x11, 0x04
Segment = tuple[int, int, int]
"""Who sends it (0 is A), its flags, its sequence number."""


def packet(by: int, flags: int, seq: int, ports: tuple[int, int] = (40000, 80), proto: int = 6) -> bytes:
    """Write an IPv4 packet between A and B, who have these ports."""
    ends = [bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])]
    src, dst = ends[by], ends[1 - by]
    sport, dport = ports[by], ports[1 - by]
    if proto == 6:
        body = struct.pack(">HHIIHHHH", sport, dport, seq, 0, 0x5000 | flags, 64240, 0, 0)
    else:
        body = struct.pack(">HHHH", sport, dport, 8, 0)
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, proto, 0) + src + dst + body


def point(*packets: bytes) -> Point:
    """A point that recorded these packets."""
    made, flows, _ = decode(101, [(p, len(p)) for p in packets])
    return assemble(
        Recording(
            name="cni0",
            role="bridge",
            files=(),
            stretches=(Stretch(0, 0, 0),),
            packets=made,
            flows=flows,
            skipped={},
            dropped=None,
            storage=Memory(),
        )
    )


def segments(*sent: Segment) -> Point:
    """A point that recorded these segments between A and B."""
    return point(*(packet(by, flags, seq) for by, flags, seq in sent))


@pytest.mark.parametrize(
    ("sent", "flows"),
    [
        ([(0, SYN, 1), (1, SYNACK, 9), (0, ACK, 2)], [0, 0, 0]),
        ([(0, SYN, 1), (0, SYN, 1), (0, SYN, 1)], [0, 0, 0]),
        ([(0, SYN, 1), (0, SYN, 500)], [0, 1]),
        ([(0, SYN, 1), (1, SYNACK, 9), (0, ACK, 2), (0, SYN, 500), (1, SYNACK, 900)], [0, 0, 0, 1, 1]),
        ([(0, SYN, 1), (1, SYNACK, 9), (0, SYN, 1), (1, SYNACK, 9)], [0, 0, 0, 0]),
        ([(0, ACK, 1), (0, SYN, 500)], [0, 1]),
        ([(1, ACK, 1), (0, SYN, 500), (1, SYNACK, 9)], [0, 1, 1]),
        ([(0, SYN, 1), (1, SYN, 9), (0, SYNACK, 1), (1, SYNACK, 9), (0, ACK, 2)], [0, 0, 0, 0, 0]),
        ([(0, SYN, 1), (1, SYNACK, 9), (0, FIN, 2), (1, SYN, 700)], [0, 0, 0, 1]),
        ([(0, SYN, 1), (1, RST, 0), (1, SYN, 700), (0, SYNACK, 5)], [0, 0, 1, 1]),
        ([(1, SYNACK, 9), (0, SYN, 1)], [0, 1]),
    ],
    ids=[
        "a handshake", "a retransmitted SYN", "another ISN", "the tuple reused", "everything twice", "a SYN after data",
        "a SYN after the other side's data", "simultaneous open", "the other side opens anew",
        "refused, then the other way round", "a SYN behind a SYN-ACK",
    ],
)  # fmt: skip
def test_incarnations(sent: list[Segment], flows: list[int]) -> None:
    """A SYN with another ISN begins a new flow; a repeated one does not."""
    assert flows == segments(*sent).packets.flow.tolist()


@pytest.mark.parametrize(
    ("packets", "originator"),
    [
        ([packet(0, SYN, 1)], A),
        ([packet(1, SYN, 1)], B),
        ([packet(1, SYNACK, 9), packet(0, ACK, 2)], A),
        ([packet(0, SYNACK, 9), packet(1, ACK, 2)], B),
        ([packet(0, SYN, 1), packet(1, SYN, 9), packet(0, SYNACK, 1)], A),
        ([packet(1, ACK, 9)], A),
        ([packet(0, ACK, 9)], A),
        ([packet(0, ACK, 9, (80, 40000))], B),
        ([packet(0, 0, 0, (53000, 53), 17)], A),
        ([packet(0, 0, 0, (53, 53000), 17)], B),
        ([packet(0, 0, 0, (5353, 5353), 17)], A),
        ([packet(0, 0, 0, (9000, 53000), 17)], A),
        ([packet(0, 0, 0, (53, 123), 17)], A),
    ],
    ids=[
        "SYN", "SYN of B", "SYN-ACK", "SYN-ACK of A", "both", "the server's data", "the client's data", "from port 80",
        "a query", "an answer", "equal ports", "no well-known port", "two well-known ports",
    ],
)  # fmt: skip
def test_originator(packets: list[bytes], originator: str) -> None:
    """Who sent the SYN, or got the SYN-ACK; without them the higher port in TCP, the first sender in UDP."""
    made = point(*packets)

    assert originator == ends(made.flows, 0)[0].rpartition(":")[0]


def test_turned_round() -> None:
    """A flow whose first packet came from the responder is turned: addresses, ports, ISNs, marks and rows."""
    made = segments((1, SYNACK, 9), (0, ACK, 2), (1, ACK, 10))

    assert ("10.0.0.1:40000", "10.0.0.2:80") == ends(made.flows, 0)
    assert (0, 9) == (int(made.flows.isn_x[0]), int(made.flows.isn_y[0]))
    assert SYNACK_Y == made.flows.marks[0] & (SYN_X | SYN_Y | SYNACK_X | SYNACK_Y)
    assert [1, 0, 1] == (made.packets.bits & REPLY).tolist()
    assert ([1], [0, 2], [0, 1, 2]) == (
        made.rows(0, 0).tolist(),
        made.rows(0, 1).tolist(),
        made.rows(0).tolist(),
    )


def test_ports_of_many_flows_stay_with_them() -> None:
    """Turning some flows leaves the others alone."""
    made = point(*(packet(n % 2, SYNACK if n % 3 else SYN, 5, (30000 + n, 80)) for n in range(12)))
    opened_by_a = [(n % 2 == 0) == (n % 3 == 0) for n in range(12)]

    assert [
        (f"{A}:{30000 + n}", f"{B}:80") if by_a else (f"{B}:80", f"{A}:{30000 + n}")
        for n, by_a in enumerate(opened_by_a)
    ] == [ends(made.flows, n) for n in range(12)]


SENT = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from([SYN, SYNACK, ACK, FIN, RST]),
        st.integers(0, 2),
        st.integers(1, 3),
    ),
    max_size=25,
)
"""Who sends, flags, sequence number, and which of A's ports has a part in it."""


def conversations(sent: list[tuple[int, int, int, int]]) -> Point:
    """A point that recorded what `SENT` draws."""
    return point(*(packet(by, flags, seq, (40000 + port, 80)) for by, flags, seq, port in sent))


@given(SENT)
def test_invariants(sent: list[tuple[int, int, int, int]]) -> None:
    """Whatever is sent in whatever order: every row is in one flow, on the side of its sender, in time order."""
    made = conversations(sent)

    assert list(range(len(sent))) == sorted(made.order.tolist())
    assert len(sent) == int(made.sizes().sum()) == len(made.packets)
    for flow in range(len(made.flows)):
        originator = ends(made.flows, flow)[0].rpartition(":")[0]
        for side in (0, 1):
            rows = made.rows(flow, side)
            assert (np.diff(rows) > 0).all()
            assert all(
                (A, B)[sent[row][0]] == (originator if side == 0 else {A: B, B: A}[originator])
                for row in rows
            )
            isns = {sent[row][2] for row in rows if sent[row][1] == SYN}
            # A side that also sends SYN-ACKs, with other numbers, is no TCP; its flows may be anything.
            assert len(isns) <= 1 or any(sent[row][1] == SYNACK for row in rows)


def test_recorded_between_its_packets() -> None:
    """From the first packet to the last, both included, but not between files that are far apart."""
    made = point(*(packet(0, ACK, seq) for seq in range(1, 9)))
    made.packets.time[:] = [1, 2, 3, 4, 10**10, 10**10 + 1, 3 * 10**10, 3 * 10**10 + 1]
    asked = np.array(
        [0, 1, 3, 4, 5, 10**10 - 1, 10**10, 10**10 + 2, 3 * 10**10, 3 * 10**10 + 1, 3 * 10**10 + 2]
    )
    whole = [False, *[True] * 9, False]
    assert whole == made.recorded(asked).tolist()

    files = tuple(Stretch(row, file, 0) for file, row in enumerate((0, 4, 6)))
    made = replace(made, recording=replace(made.recording, stretches=files))
    assert ((4, 10**10), (10**10 + 1, 3 * 10**10)) == made.pauses
    assert [False, True, True, True, False, False, True, False, True, True, False] == made.recorded(
        asked
    ).tolist()


@given(SENT, st.data())
def test_a_part_has_the_packets_of_its_flows(
    sent: list[tuple[int, int, int, int]], data: st.DataObject
) -> None:
    """Of any flows: their packets, their ends, and the rows of each side."""
    whole = conversations(sent)
    wanted = [flow for flow in range(len(whole.flows)) if data.draw(st.booleans())]
    part, rows = whole.part(np.array(wanted, np.int32))

    assert np.flatnonzero(np.isin(whole.packets.flow, wanted)).tolist() == rows.tolist()
    assert whole.packets.seq[rows].tolist() == part.packets.seq.tolist()
    assert [ends(whole.flows, flow) for flow in wanted] == [ends(part.flows, n) for n in range(len(wanted))]
    for number, flow in enumerate(wanted):
        for side in (None, 0, 1):
            assert whole.rows(flow, side).tolist() == rows[part.rows(number, side)].tolist()
