"""Connections whose beginning no capture shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.conntrack import (
    CLASSIC,
    MODERN,
    Connection,
    Generation,
    Judgement,
    Seen,
    Segment,
    Settings,
    State,
    infer_scales,
)
from analyzer.conntrack.entry import Side
from analyzer.conntrack.states import ACK, FIN, RST, SYN

# The upload of moby/libnetwork#1090, as the host's interface showed it: direction, seq, ack, payload.
# The client is the one with data; its late acknowledgement of 10110467 is the fourth of the server's.
UPLOAD = [
    ("server", 26, 10069055, 0),
    ("client", 10194987, 26, 19724),
    ("server", 26, 10149475, 0),
    ("client", 10214711, 26, 64260),
    ("client", 10278971, 26, 43560),
    ("server", 26, 10110467, 0),
    ("server", 26, 10160447, 0),
    ("server", 26, 10194987, 0),
    ("client", 10322531, 26, 20700),
    ("server", 26, 10204983, 0),
    ("server", 26, 10320383, 0),
    ("client", 10343231, 26, 64260),
    ("client", 10407491, 26, 64260),
    ("server", 26, 10322531, 0),
]
LATE = 5
SERVER_WINDOW, CLIENT_WINDOW, SHIFT = 1352, 336, 7


def upload(shift: int = 0) -> list[Segment]:
    """Write the upload as segments, windows as on the wire unless *shift* says how they were scaled."""
    return [
        Segment(
            reply=side == "server",
            time=number * 1000,
            seq=seq,
            ack=ack,
            flags=ACK,
            window=(SERVER_WINDOW if side == "server" else CLIENT_WINDOW) << shift,
            payload=payload,
        )
        for number, (side, seq, ack, payload) in enumerate(UPLOAD)
    ]


def judge_all(
    generation: Generation, segments: list[Segment], original: Seen, reply: Seen
) -> list[Judgement]:
    """Replay segments from the middle of a connection."""
    connection = Connection.adopt(generation, Settings(), original=original, reply=reply)
    return [connection.judge(segment) for segment in segments]


def test_data_in_flight_proves_the_shift() -> None:
    """173056 bytes in flight under a window field of 1352 need a shift of 7."""
    assert infer_scales(upload()) == (0, SHIFT)


def test_an_older_acknowledgement_moves_no_right_edge() -> None:
    """Acknowledgements that were overtaken say nothing about the window at hand."""
    segments = [
        Segment(reply=True, time=0, seq=1, ack=1000, flags=ACK, window=100),
        Segment(reply=True, time=1, seq=1, ack=100, flags=ACK, window=1),
        Segment(reply=False, time=2, seq=1000, ack=1, flags=ACK, window=10, payload=100),
    ]

    assert infer_scales(segments) == (0, 0)


def test_a_window_probe_proves_no_shift() -> None:
    """One byte beyond the window is how a sender asks whether it has opened."""
    segments = [
        Segment(reply=True, time=0, seq=1, ack=100, flags=ACK, window=10),
        Segment(reply=False, time=1, seq=110, ack=1, flags=ACK, window=10, payload=1),
    ]

    assert infer_scales(segments) == (0, 0)


def test_handshakes_and_resets_prove_no_shift() -> None:
    """Numbers that do not belong to the data are left out."""
    segments = [
        Segment(reply=True, time=0, seq=1, ack=100, flags=ACK, window=10),
        Segment(reply=False, time=1, seq=9000, ack=1, flags=SYN, window=10, payload=500),
        Segment(reply=False, time=2, seq=9000, ack=1, flags=4, window=10, payload=500),
    ]

    assert infer_scales(segments) == (0, 0)


@pytest.mark.parametrize(("generation", "verdict"), [(CLASSIC, "invalid"), (MODERN, "ignore")])
def test_late_ack_of_the_upload(generation: Generation, verdict: str) -> None:
    """The late ACK is 39008 bytes under the bound; up to 6.0 that is INVALID, later it is let through."""
    original, reply = (Seen(scale=scale) for scale in infer_scales(upload()))
    judged = judge_all(generation, upload(), original, reply)
    late = judged[LATE]

    assert [verdict] == [judgement.verdict for judgement in judged if judgement.verdict != "accept"]
    assert (verdict, "ack-under-lower-bound", 10149475, 39008) == (
        late.verdict,
        late.test,
        late.bound,
        late.short_by,
    )
    assert (late.ack_lower, late.ack_upper, late.ack, late.window) == (10149475, 10322531, 10110467, 173056)
    assert not late.certain


def test_scaled_windows_need_no_shift() -> None:
    """A caller who has the windows in bytes gives them so."""
    known = Seen(scale=0, scale_known=True)
    late = judge_all(CLASSIC, upload(SHIFT), known, known)[LATE]

    assert (late.test, late.bound, late.short_by) == ("ack-under-lower-bound", 10149475, 39008)


def test_what_was_seen_before_seeds_the_bounds() -> None:
    """The same judgement comes of the late ACK alone, if the caller says what preceded it."""
    original = Seen(end=10322531, window=43008, ack=26, scale_known=True)
    reply = Seen(end=26, window=173056, ack=10149475, scale_known=True)
    late = judge_all(CLASSIC, upload(SHIFT)[LATE : LATE + 1], original, reply)[0]

    assert (late.verdict, late.bound, late.short_by) == ("invalid", 10149475, 39008)


def test_an_unknown_wider_window_would_have_passed_it() -> None:
    """Had the server ever offered 212064 bytes, the late ACK was fine: hence the doubt."""
    original = Seen(end=10322531, window=43008, ack=26, scale_known=True)
    for window, verdict in ((212_063, "invalid"), (212_064, "accept")):
        reply = Seen(end=26, window=window, ack=10149475, scale_known=True)
        late = judge_all(CLASSIC, upload(SHIFT)[LATE : LATE + 1], original, reply)[0]

        assert verdict == late.verdict


def test_data_acknowledged_before_it_was_seen_is_not_judged() -> None:
    """Acknowledgements of what was sent before the capture are no finding until the ends are known."""
    segments = [
        Segment(
            reply=False, time=0, seq=1000, ack=50, flags=ACK, window=500, payload=100
        ),  # a retransmission
        Segment(reply=True, time=1, seq=50, ack=90_000, flags=ACK, window=500),  # fills the last hole
        Segment(reply=True, time=2, seq=50, ack=90_001, flags=ACK, window=500),
    ]
    judged = judge_all(MODERN, segments, Seen(scale_known=True), Seen(scale_known=True))

    assert [judgement.verdict for judgement in judged] == ["accept", "accept", "invalid"]
    assert (judged[2].test, judged[2].bound, judged[2].certain) == ("ack-over-upper-bound", 90_000, False)


def test_handshakes_teach_an_adopted_connection_nothing() -> None:
    """A SYN in it is the state table's affair."""
    segments = [
        Segment(reply=False, time=0, seq=1000, flags=SYN, window=500),
        Segment(reply=False, time=1, seq=70_000, ack=50, flags=ACK, window=500),
    ]

    assert [said.verdict for said in judge_all(MODERN, segments, Seen(), Seen())] == ["ignore", "accept"]


def test_a_reset_teaches_an_adopted_connection_nothing() -> None:
    """What a RST claims is judged by what was known before it."""
    segments = [
        Segment(reply=False, time=0, seq=1000, ack=50, flags=ACK, window=500),
        Segment(reply=True, time=1, seq=50, ack=1000, flags=ACK, window=500),
        Segment(reply=True, time=2, seq=50, ack=5000, flags=RST | ACK, window=500),
    ]

    assert judge_all(MODERN, segments, Seen(), Seen())[2].test == "ack-over-upper-bound"


@pytest.mark.parametrize(("known", "verdict"), [(True, "invalid"), (False, "accept")])
def test_data_beyond_a_window_counts_once_the_shift_is_known(known: bool, verdict: str) -> None:
    """The right edge of a window is as good as its shift."""
    segments = [
        Segment(reply=True, time=0, seq=50, ack=1000, flags=ACK, window=500),
        Segment(reply=False, time=1, seq=5000, ack=50, flags=ACK, window=500, payload=900),
    ]
    judged = judge_all(MODERN, segments, Seen(), Seen(scale_known=known))

    assert verdict == judged[1].verdict


def test_an_adopted_connection_is_assured_and_may_send_what_was_offered() -> None:
    """What was seen of both sides is the entry; a side may send up to the edge of the window that the other offered."""
    client, server = Seen(end=1000, window=500, ack=50, scale=2), Seen(end=50, window=700, ack=900, scale=3)
    entry = Connection.adopt(MODERN, Settings(), original=client, reply=server).entry

    assert entry is not None
    assert (True, True, State.ESTABLISHED) == (entry.seen_reply, entry.assured, entry.state)
    knows = {"scales": True, "takes_sack": True}
    assert entry.sides == (
        Side(end=1000, max_end=1600, max_window=500, scale=2, max_ack=50, **knows),
        Side(end=50, max_end=550, max_window=700, scale=3, max_ack=900, **knows),
    )


def test_an_adopted_side_of_which_nothing_was_seen_begins_at_nothing() -> None:
    """Its first segment tells; before it, no edge of a window is known."""
    entry = Connection.adopt(MODERN, Settings(), original=Seen(end=1000), reply=Seen()).entry

    assert entry is not None
    assert [(1000, 1000), (0, 0)] == [(side.end, side.max_end) for side in entry.sides]


def test_the_close_of_an_adopted_connection_is_followed() -> None:
    """Adoption is a beginning like any other: the state table goes on from there."""
    connection = Connection.adopt(MODERN, Settings(), original=Seen(), reply=Seen())
    fin = Segment(reply=False, time=0, seq=1000, ack=50, flags=FIN | ACK, window=500)

    assert connection.judge(fin).after == "FIN_WAIT"
    assert connection.judge(replace(fin, reply=True, time=1, seq=50, ack=1001)).after == "LAST_ACK"
    assert connection.judge(replace(fin, time=2, seq=1001, ack=51, flags=ACK)).after == "TIME_WAIT"


def test_a_new_connection_on_the_same_ports_is_known_from_its_start() -> None:
    """With the reopened entry the doubt ends."""
    connection = Connection.adopt(MODERN, Settings(), original=Seen(), reply=Seen(), state=State.TIME_WAIT)
    fin = Segment(reply=False, time=0, seq=1000, ack=50, flags=FIN | ACK, window=500)
    connection.judge(fin)
    connection.entry.sides[0].began_close = True  # type: ignore[union-attr]
    connection.judge(Segment(reply=False, time=1, seq=9000, flags=SYN, window=500))
    connection.judge(Segment(reply=True, time=2, seq=70_000, ack=9001, flags=SYN | ACK, window=500))
    late = connection.judge(Segment(reply=True, time=3, seq=70_001, ack=9001 - 66_001, flags=ACK, window=500))

    assert (late.test, late.certain) == ("ack-under-lower-bound", True)


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 1460), st.floats(0, 1)), min_size=2, max_size=40),
    begins=st.integers(0, 38),
    wraps=st.integers(0, 50_000),
    generation=st.sampled_from((CLASSIC, MODERN)),
)
def test_an_orderly_connection_is_accepted_from_wherever_it_is_seen(
    steps: list[tuple[bool, int, float]], begins: int, wraps: int, generation: Generation
) -> None:
    """Data in order and acknowledgements that lag are accepted, at whatever segment the capture begins."""
    sent = [2**32 - wraps, 7000]
    acked = list(sent)
    segments = []
    for time, (reply, payload, progress) in enumerate(steps):
        outstanding = sent[not reply] - acked[not reply]
        acked[not reply] += int(outstanding * progress)
        payload = min(payload, acked[reply] + 30_000 - sent[reply])
        numbers = {"seq": sent[reply] % 2**32, "ack": acked[not reply] % 2**32}
        segments.append(Segment(reply=reply, time=time, flags=ACK, window=30_000, payload=payload, **numbers))
        sent[reply] += payload
    known = Seen(scale_known=True)

    assert {said.verdict for said in judge_all(generation, segments[begins:], known, known)} <= {"accept"}
