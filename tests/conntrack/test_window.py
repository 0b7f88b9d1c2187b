"""The four tests, to the byte."""

from __future__ import annotations

from dataclasses import replace

import pytest
from talk import CLIENT, SERVER, Start, Talk

from analyzer.conntrack import CLASSIC, MODERN, Generation
from analyzer.conntrack.generation import LINUX_6_0
from analyzer.conntrack.states import ACK, FIN, RST, SYN

# After the handshake the client may send what fits the server's window, and the other way round.
C, S = CLIENT + 1, SERVER + 1
CLIENT_WINDOW, SERVER_WINDOW = 10_000, 20_000
LATE = {"5.10": "invalid", "6.1": "ignore"}


def numbers(talk: Talk) -> tuple[str, str, int | None, int]:
    """Take the last judgement's numbers."""
    last = talk.said[-1]
    return last.verdict, last.test, last.bound, last.short_by


def test_first_bound_to_the_byte(start: Start, generation: Generation) -> None:
    """Data may begin at the right edge of the window, and not a byte later."""
    talk = start(generation).handshake()
    edge = C + SERVER_WINDOW
    assert talk.client(ACK, edge, S, payload=0).verdict == "accept"
    talk.client(ACK, edge + SERVER_WINDOW + 1, S)

    assert numbers(talk) == ("invalid", "seq-over-upper-bound", edge, SERVER_WINDOW + 1)


def test_second_bound_to_the_byte(start: Start, generation: Generation) -> None:
    """Old data passes while its end is within one window of the receiver."""
    talk = start(generation).handshake()
    talk.client(ACK, C, S, payload=15_000)
    talk.server(ACK, S, C + 15_000)
    talk.client(ACK, C + 15_000, S, payload=15_000)
    bound = C + 30_000 - SERVER_WINDOW
    assert talk.client(ACK, bound - 100, S, payload=100).verdict == "accept"
    talk.client(ACK, bound - 101, S, payload=100)

    assert numbers(talk) == (LATE[generation.name], "seq-under-lower-bound", bound, 1)


def test_third_bound_to_the_byte(start: Start, generation: Generation) -> None:
    """All that was sent may be acknowledged, and not a byte more."""
    talk = start(generation).handshake()
    talk.client(ACK, C, S, payload=500)
    talk.server(ACK, S, C + 501)

    assert numbers(talk) == ("invalid", "ack-over-upper-bound", C + 500, 1)
    assert talk.server(ACK, S, C + 500).verdict == "accept"


def test_fourth_bound_to_the_byte(start: Start, generation: Generation) -> None:
    """An acknowledgement may be 66000 bytes behind where the window is smaller than that."""
    talk = start(generation).handshake()
    bound = C - 66_000
    assert talk.server(ACK, S, bound).verdict == "accept"
    talk.server(ACK, S, bound - 1)

    assert numbers(talk) == (LATE[generation.name], "ack-under-lower-bound", bound, 1)


def test_fourth_bound_beyond_zero(start: Start, generation: Generation) -> None:
    """Numbers go round: a bound below 0 is told as the number that a packet has."""
    talk = start(generation)
    talk.client(SYN, 100)
    talk.server(SYN | ACK, SERVER, 101)
    talk.client(ACK, 101, S)
    bound = (101 - 66_000) % 2**32
    assert talk.server(ACK, S, bound).verdict == "accept"
    talk.server(ACK, S, bound - 1)

    assert numbers(talk) == (LATE[generation.name], "ack-under-lower-bound", bound, 1)


def test_fourth_bound_follows_the_largest_window(start: Start, generation: Generation) -> None:
    """A side that once offered more than 66000 bytes may be that late, whatever it offers now."""
    talk = start(generation).handshake(wscale=7)
    talk.server(ACK, S, C, window=1352)  # 173056 bytes
    talk.server(ACK, S, C, window=1)
    assert talk.server(ACK, S, C - 173_056, window=1).verdict == "accept"
    talk.server(ACK, S, C - 173_057, window=1)

    assert numbers(talk) == (LATE[generation.name], "ack-under-lower-bound", C - 173_056, 1)


@pytest.mark.parametrize("generation", [CLASSIC, MODERN], ids=["5.10", "6.1"])
def test_worked_case_seen_from_its_syn(start: Start, generation: Generation) -> None:
    """The numbers of moby/libnetwork#1090: 39008 bytes under the bound."""
    talk = start(generation)
    isn = 10_149_475 - 1
    options = {"wscale": 7, "options": True}
    talk.client(SYN, isn, **options)
    talk.server(SYN | ACK, 25, isn + 1, window=64_000, **options)
    talk.server(ACK, 26, isn + 1, window=1352)
    talk.client(ACK, isn + 1, 26, payload=173_056)
    late = talk.server(ACK, 26, 10_110_467, window=1352)

    assert numbers(talk) == (LATE[generation.name], "ack-under-lower-bound", 10_149_475, 39_008)
    assert (late.ack_lower, late.ack_upper, late.ack) == (10_149_475, 10_322_531, 10_110_467)
    assert late.certain


def test_log_lines_are_the_kernels(start: Start) -> None:
    """Older kernels name the test, newer ones its exclusive bound too."""
    for generation, expected in (
        (CLASSIC, "ACK is under the lower bound (possible overly delayed ACK)"),
        (MODERN, f"ignored ACK under lower bound {C - 66_001} (possible overly delayed)"),
    ):
        talk = start(generation).handshake()

        assert expected == talk.server(ACK, S, C - 70_000).reason
    for generation, expected in (
        (CLASSIC, "ACK is over the upper bound (ACKed data not seen yet)"),
        (MODERN, f"ACK is over upper bound {C + 1} (ACKed data not seen yet)"),
    ):
        talk = start(generation).handshake()

        assert expected == talk.server(ACK, S, C + 9).reason
    for generation, expected in (
        (CLASSIC, "SEQ is under the lower bound (already ACKed data retransmitted)"),
        (MODERN, f"SEQ is under lower bound {S - CLIENT_WINDOW - 1} (already ACKed data retransmitted)"),
    ):
        talk = start(generation).handshake()

        assert expected == talk.server(ACK, S - 70_000, C).reason
    for generation, expected in (
        (CLASSIC, "SEQ is over the upper bound (over the window of the receiver)"),
        (MODERN, f"SEQ is over upper bound {S + CLIENT_WINDOW + 1} (over the window of the receiver)"),
    ):
        talk = start(generation).handshake()

        assert expected == talk.server(ACK, S + 70_000, C).reason


@pytest.mark.parametrize(
    ("generation", "verdict", "test"),
    [(CLASSIC, "invalid", "seq-under-lower-bound"), (MODERN, "invalid", "ack-over-upper-bound")],
)
def test_which_of_two_failures_is_named(
    start: Start, generation: Generation, verdict: str, test: str
) -> None:
    """Newer kernels ask test III before II, so that both failing is INVALID and not ignored."""
    talk = start(generation).handshake()
    judged = talk.server(ACK, S - 70_000, C + 1)

    assert (verdict, test) == (judged.verdict, judged.test)


@pytest.mark.parametrize(
    ("generation", "verdict", "answer", "reason"),
    [
        (CLASSIC, "invalid", "invalid", "SEQ is over the upper bound (over the window of the receiver)"),
        (LINUX_6_0, "invalid", "accept", "20000 bytes more than expected"),
        (MODERN, "ignore", "accept", "20000 bytes more than expected"),
    ],
)
def test_small_overshoot(
    start: Start, generation: Generation, verdict: str, answer: str, reason: str
) -> None:
    """Data that ends within one window beyond the window may be acknowledged, from 6.0 on."""
    talk = start(generation).handshake()
    edge = C + SERVER_WINDOW
    overshoot = talk.client(ACK, edge + 1, S, payload=SERVER_WINDOW - 2)

    assert (verdict, "seq-over-upper-bound", reason) == (overshoot.verdict, overshoot.test, overshoot.reason)
    assert answer == talk.server(ACK, S, edge + SERVER_WINDOW - 1).verdict


@pytest.mark.parametrize(
    ("payload", "ack", "verdict"),
    [
        (SERVER_WINDOW - 2, S, "ignore"),
        (SERVER_WINDOW - 1, S, "invalid"),
        (9, S + 1, "invalid"),
        (9, S - 70_000, "invalid"),
    ],
)
def test_overshoot_allowance_to_the_byte(start: Start, payload: int, ack: int, verdict: str) -> None:
    """The data's end plus one may be a window beyond the right edge, and not a byte more, if its acknowledgement is right."""
    edge = C + SERVER_WINDOW
    judged = start(MODERN).handshake().client(ACK, edge + 1, ack, payload=payload)

    assert (verdict, edge, 1) == (judged.verdict, judged.bound, judged.short_by)


@pytest.mark.parametrize(("generation", "answer"), [(LINUX_6_0, "invalid"), (MODERN, "accept")])
def test_overshoot_of_a_liberal_side(start: Start, generation: Generation, answer: str) -> None:
    """With be_liberal an overshoot passes; that it may be acknowledged is remembered from 6.1 on."""
    talk = start(generation, be_liberal=True).handshake()
    talk.client(ACK, C + SERVER_WINDOW + 1, S, payload=100)
    talk.connection.settings = replace(talk.connection.settings, be_liberal=False)

    assert answer == talk.server(ACK, S, C + SERVER_WINDOW + 101).verdict


def test_sack_edge_counts_as_the_ack(start: Start, generation: Generation) -> None:
    """A late ACK passes if its SACK block reaches into the bounds, and none may reach beyond them."""
    talk = start(generation).handshake()
    talk.client(ACK, C, S, payload=20_000)
    judged = talk.server(ACK, S, C - 80_000, sack=((C + 10, C + 20), (C + 4000, C + 5000)))

    assert (judged.verdict, judged.ack) == ("accept", C + 5000)
    assert talk.server(ACK, S, C, sack=((C + 10, C + 20_001),)).test == "ack-over-upper-bound"


def test_sack_is_read_only_where_it_was_permitted(start: Start, generation: Generation) -> None:
    """Without SACK-permitted in the other side's SYN the block is not read."""
    talk = start(generation).handshake(sack=False)
    talk.client(ACK, C, S, payload=20_000)

    assert LATE[generation.name] == talk.server(ACK, S, C - 80_000, sack=((C, C + 5000),)).verdict


def test_sack_widens_the_largest_window_for_good(start: Start, generation: Generation) -> None:
    """One late ACK with a SACK block makes the next plain late ACK acceptable."""
    talk = start(generation).handshake()
    talk.client(ACK, C, S, payload=20_000)
    assert talk.server(ACK, S, C - 80_000).verdict != "accept"
    talk.server(ACK, S, C - 80_000, sack=((C, C + 20_000),))

    assert talk.side(True).max_window == 100_000 + SERVER_WINDOW
    assert talk.server(ACK, S, C - 80_000).verdict == "accept"


def test_data_beyond_the_window_widens_it(start: Start, generation: Generation) -> None:
    """Data that begins inside and ends outside the window passes, and the window is taken to be larger."""
    talk = start(generation).handshake()
    talk.client(ACK, C + SERVER_WINDOW, S, payload=700)

    assert talk.side(True).max_window == SERVER_WINDOW + 700


def test_closed_window_admits_one_byte(start: Start, generation: Generation) -> None:
    """A window of 0 counts as 1: the probe of it is legal."""
    talk = start(generation).handshake()
    talk.client(ACK, C, S, payload=SERVER_WINDOW)
    talk.server(ACK, S, C + SERVER_WINDOW, window=0)

    assert talk.side(False).max_end == C + SERVER_WINDOW + 1
    assert talk.client(ACK, C + SERVER_WINDOW + 1, S).verdict == "accept"


def test_failed_segments_teach_nothing(start: Start, generation: Generation) -> None:
    """What fails moves no bound, with be_liberal neither."""
    for be_liberal, verdict in ((False, "invalid"), (True, "accept")):
        talk = start(generation, be_liberal=be_liberal).handshake()
        before = replace(talk.side(False)), replace(talk.side(True))

        assert verdict == talk.client(ACK, C + 200_000, S, payload=10, window=65_535).verdict
        assert before == (talk.side(False), talk.side(True))


def test_windows_are_scaled_only_if_both_sides_scale(start: Start, generation: Generation) -> None:
    """A SYN-ACK without the option switches scaling off for both."""
    talk = start(generation)
    talk.client(SYN, CLIENT, wscale=7)
    talk.server(SYN | ACK, SERVER, C, options=True)

    assert (talk.side(False).scale, talk.side(True).scale) == (0, 0)


def test_windows_of_syns_are_never_scaled(start: Start, generation: Generation) -> None:
    """The option takes effect after the handshake."""
    talk = start(generation)
    syn = talk.client(SYN, CLIENT, wscale=7)
    answer = talk.server(SYN | ACK, SERVER, C, wscale=2)
    plain = talk.client(ACK, C, S)

    assert [syn.window, answer.window, plain.window] == [10_000, 20_000, 10_000 << 7]


def test_keepalive_reply_met_first(start: Start) -> None:
    """The first segment of a side, met mid-stream, may acknowledge the byte before a keepalive."""
    for generation, verdict in ((replace(CLASSIC, keepalive_reply=False), "invalid"), (CLASSIC, "accept")):
        talk = start(generation)
        talk.client(ACK, C - 1, S)
        # The replying side is lenient after a pickup; without that the byte counts.
        talk.side(True).liberal = False

        assert verdict == talk.server(ACK, S, C).verdict


def test_new_number_before_the_handshake_ends(start: Start, generation: Generation) -> None:
    """A client that gives up on its first SYN may try with a higher number; nothing bounds a lower one before an answer."""
    talk = start(generation)
    talk.client(SYN, CLIENT)

    assert talk.client(SYN, CLIENT - 5000).verdict == "accept"
    talk.client(SYN, CLIENT + 5000)
    assert talk.server(SYN | ACK, SERVER, CLIENT + 5001).verdict == "accept"


@pytest.mark.parametrize(("generation", "scale"), [(LINUX_6_0, 0), (MODERN, 7)])
def test_repeated_syn_keeps_its_scale(start: Start, generation: Generation, scale: int) -> None:
    """The server, not yet heard, has not declined scaling: some kernels thought it had."""
    talk = start(generation)
    talk.client(SYN, CLIENT, wscale=7)
    talk.client(SYN, CLIENT + 5000, wscale=7)

    assert scale == talk.side(False).scale


def test_older_kernels_restart_a_side_without_syn(start: Start) -> None:
    """Up to 5.16 data beyond the end restarts the replying side in SYN_RECV, wherever it lies."""
    for generation, verdict in ((CLASSIC, "accept"), (MODERN, "invalid")):
        talk = start(generation)
        talk.client(SYN, CLIENT)
        talk.server(SYN | ACK, SERVER, C)

        assert verdict == talk.server(ACK, S + 1_000_000, C, payload=10).verdict


def test_reset_without_numbers_is_given_some(start: Start, generation: Generation) -> None:
    """A RST that refuses a SYN has sequence number 0, which is no number of its side."""
    talk = start(generation)
    talk.client(SYN, CLIENT)

    assert talk.server(RST | ACK, 0, C).verdict == "accept"
    assert talk.connection.entry is None


def test_the_acknowledgement_of_a_reset(start: Start, generation: Generation) -> None:
    """A RST that acknowledges 0 acknowledges nothing; any other number must be one that was sent."""
    for ack, verdict in ((0, "accept"), (C + 501, "invalid")):
        assert verdict == start(generation).handshake().server(RST | ACK, S, ack).verdict


def test_what_has_no_ack_acknowledges_nothing(start: Start, generation: Generation) -> None:
    """A FIN without ACK after data of the other side leaves the highest acknowledgement as it was."""
    talk = start(generation).handshake()
    talk.server(ACK, S, C, payload=100)
    talk.client(FIN, C)

    assert S == talk.side(False).max_ack


def test_fin_takes_a_number(start: Start, generation: Generation) -> None:
    """The FIN itself may be acknowledged."""
    talk = start(generation).handshake()
    talk.client(FIN | ACK, C, S)

    assert talk.server(ACK, S, C + 1).verdict == "accept"
    assert talk.server(ACK, S, C + 2).test == "ack-over-upper-bound"


def test_retransmissions_are_counted(start: Start, generation: Generation) -> None:
    """The same ACK over and over, and nothing else, counts."""
    talk = start(generation).handshake()
    for expected in (1, 2, 3):
        talk.client(ACK, C, S)

        assert talk.connection.entry is not None
        assert expected == talk.connection.entry.last.retrans
    talk.client(ACK, C, S, window=9999)

    assert talk.connection.entry.last.retrans == 0
