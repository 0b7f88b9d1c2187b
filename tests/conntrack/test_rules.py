"""The state table's exceptions: resets, repeated handshakes, simultaneous opens."""

from __future__ import annotations

import pytest
from talk import CLIENT, SERVER, Start

from analyzer.conntrack import CLASSIC, MODERN, Generation
from analyzer.conntrack.generation import LINUX_4_15, LINUX_5_14, LINUX_6_1
from analyzer.conntrack.states import ACK, FIN, RST, SYN

C, S = CLIENT + 1, SERVER + 1


def test_exact_reset_closes(start: Start, generation: Generation) -> None:
    """A RST whose sequence number is the other side's ack closes."""
    talk = start(generation).handshake()
    talk.client(ACK, C, S, payload=100)
    talk.server(ACK, S, C + 100)

    assert talk.client(RST, C + 100).after == "CLOSE"


@pytest.mark.parametrize(
    ("generation", "after"), [(LINUX_4_15, "CLOSE"), (CLASSIC, "ESTABLISHED"), (MODERN, "ESTABLISHED")]
)
def test_reset_elsewhere_in_the_window(start: Start, generation: Generation, after: str) -> None:
    """Since 5.1 such a RST leaves the connection established, with ten seconds to live."""
    talk = start(generation).handshake()
    talk.client(ACK, C, S)
    judged = talk.server(RST, S + 10)

    assert ("accept", after, 10) == (judged.verdict, judged.after, judged.timeout)


def test_good_segment_restores_a_doubted_connection(start: Start, generation: Generation) -> None:
    """What answers a doubtful RST lets the connection live on, though the RST's place counts as sent."""
    talk = start(generation).handshake()
    talk.server(RST, S + 10)
    assert talk.client(ACK, C, S).timeout == 300

    assert talk.client(ACK, C, S + 10).timeout == 432_000


def test_reset_in_a_train_closes(start: Start, generation: Generation) -> None:
    """A RST right behind the same side's last segment closes, though the data is not acknowledged."""
    talk = start(generation).handshake()
    talk.client(ACK, C, S)
    talk.server(ACK, S, C, payload=19)

    assert talk.server(RST | ACK, S + 19, C).after == "CLOSE"


@pytest.mark.parametrize(("acknowledged", "after"), [(False, "CLOSE"), (True, "ESTABLISHED")])
def test_reset_above_what_was_acknowledged(start: Start, acknowledged: bool, after: str) -> None:
    """A RST within the window, of another number than expected, closes only what was not established."""
    talk = start(MODERN)
    talk.client(SYN, CLIENT)
    talk.server(SYN | ACK, SERVER, C)
    if acknowledged:
        talk.client(ACK, C, S)
        talk.server(ACK, S, C)

    assert after == talk.client(RST, C + 100).after


def test_reset_below_what_was_acknowledged(start: Start, generation: Generation) -> None:
    """A RST older than the other side's ack is INVALID, by as much as it is older, be_liberal or not."""
    for be_liberal in (False, True):
        talk = start(generation, be_liberal=be_liberal).handshake()
        judged = talk.server(RST, S - 1)

        assert judged.verdict == "invalid"
        assert (
            judged.test,
            judged.bound,
            judged.short_by,
            judged.reason,
        ) == ("invalid-rst", S, 1, "invalid rst")


@pytest.mark.parametrize(
    ("generation", "verdict"), [(CLASSIC, "invalid"), (LINUX_5_14, "accept"), (MODERN, "accept")]
)
def test_invalid_resets_may_be_believed(start: Start, generation: Generation, verdict: str) -> None:
    """The sysctl `nf_conntrack_tcp_ignore_invalid_rst`, where it exists, leaves them to the window check."""
    talk = start(generation, ignore_invalid_rst=True).handshake()

    assert verdict == talk.server(RST, S - 1).verdict


@pytest.mark.parametrize(
    ("generation", "verdict"), [(CLASSIC, "invalid"), (LINUX_5_14, "accept"), (MODERN, "accept")]
)
def test_resets_of_a_closing_connection(start: Start, generation: Generation, verdict: str) -> None:
    """Since 5.14 no RST is checked once a FIN was seen: the ports may be in use again."""
    talk = start(generation).handshake()
    talk.client(FIN | ACK, C, S)

    assert verdict == talk.server(RST, S - 500_000).verdict


@pytest.mark.parametrize(
    ("generation", "verdict"), [(CLASSIC, "invalid"), (LINUX_5_14, "accept"), (MODERN, "accept")]
)
def test_reset_that_answers_an_ignored_syn(start: Start, generation: Generation, verdict: str) -> None:
    """Since 5.14 the old connection's ack does not disqualify the RST that refuses the new SYN."""
    talk = start(generation).handshake()
    talk.client(ACK, C, S)
    assert talk.client(SYN, CLIENT + 700_000).verdict == "ignore"

    assert verdict == talk.server(RST | ACK, 0, CLIENT + 700_001).verdict


@pytest.mark.parametrize(("generation", "verdict"), [(LINUX_6_1, "accept"), (MODERN, "invalid")])
def test_own_reset_does_not_answer_an_ignored_syn(start: Start, generation: Generation, verdict: str) -> None:
    """A simultaneous SYN and a RST from the same side: found by comparing with 6.18.44."""
    talk = start(generation)
    talk.client(SYN, 0, 2**32 - 1, window=29_200, wscale=14)
    talk.server(SYN, 3_340_959_664, window=1352, wscale=7)

    assert verdict == talk.server(RST, 0, payload=9000).verdict


@pytest.mark.parametrize(
    ("generation", "verdict", "after"), [(LINUX_6_1, "invalid", "SYN_SENT"), (MODERN, "accept", "CLOSE")]
)
def test_reset_that_answers_a_challenge_ack(
    start: Start, generation: Generation, verdict: str, after: str
) -> None:
    """A half-open server acknowledges something old, and the client refuses that before it tries again."""
    talk = start(generation)
    talk.client(SYN, CLIENT)
    assert talk.server(ACK, SERVER, CLIENT + 700_000).verdict == "ignore"
    judged = talk.client(RST, CLIENT + 700_000)

    assert (verdict, after) == (judged.verdict, judged.after)


@pytest.mark.parametrize(
    ("generation", "verdict"), [(CLASSIC, "invalid"), (LINUX_5_14, "accept"), (MODERN, "accept")]
)
def test_reset_of_number_zero_before_assurance(start: Start, generation: Generation, verdict: str) -> None:
    """A RST with sequence number 0 refuses a SYN: the other side's ack does not count against it."""
    talk = start(generation)
    talk.client(SYN, CLIENT)
    talk.server(SYN | ACK, 2**32 - 500, C)
    talk.client(ACK, C, 2**32 - 499)
    talk.connection.entry.assured = False  # type: ignore[union-attr]
    talk.client(ACK, C, 2**32 - 499)
    talk.server(ACK, 2**32 - 499, C, payload=1000)
    talk.client(ACK, C, 501)
    talk.connection.entry.assured = False  # type: ignore[union-attr]

    assert verdict == talk.server(RST, 0).verdict


def test_syn_in_an_established_connection_is_ignored(start: Start, generation: Generation) -> None:
    """The client may know better: its SYN passes, and changes nothing."""
    talk = start(generation).handshake()
    judged = talk.client(SYN, CLIENT + 900_000)

    assert (
        judged.verdict,
        judged.test,
        judged.after,
        judged.ct_state,
        judged.timeout,
    ) == ("ignore", "", "ESTABLISHED", "established", None)
    expected = {
        "5.10": "invalid packet ignored in state ESTABLISHED",
        "6.1": "packet (index 0) in dir 0 ignored, state ESTABLISHED",
    }
    assert expected[generation.name] == judged.reason


def test_answered_syn_resynchronises(start: Start, generation: Generation) -> None:
    """Once the server answers the ignored SYN, the entry is that of the new connection."""
    talk = start(generation).handshake()
    isn = CLIENT + 900_000
    talk.client(SYN, isn, window=500, wscale=5, sack_permitted=True)
    judged = talk.server(SYN | ACK, SERVER + 900_000, isn + 1, wscale=6)

    assert (judged.verdict, judged.before, judged.after) == ("accept", "ESTABLISHED", "SYN_RECV")
    assert (isn + 1, 500, 5, True) == (
        talk.side(False).end,
        talk.side(False).max_window,
        talk.side(False).scale,
        talk.side(False).takes_sack,
    )
    assert talk.client(ACK, isn + 1, SERVER + 900_001).after == "ESTABLISHED"
    assert talk.server(ACK, SERVER + 900_001, isn + 1, payload=9).verdict == "accept"


def test_syn_ack_for_another_number_does_not(start: Start, generation: Generation) -> None:
    """A SYN-ACK that acknowledges anything else is ignored like the SYN."""
    talk = start(generation).handshake()
    talk.client(SYN, CLIENT + 900_000)

    assert talk.server(SYN | ACK, SERVER + 900_000, CLIENT + 900_002).verdict == "ignore"


def test_only_a_syn_ack_resynchronises(start: Start, generation: Generation) -> None:
    """An ACK is ignored in SYN_SENT, whatever it acknowledges."""
    for number in (0, C):
        talk = start(generation)
        talk.client(SYN, CLIENT)
        judged = talk.server(ACK, SERVER, number)

        assert ("ignore", "SYN_SENT") == (judged.verdict, judged.after)


def test_only_behind_an_ignored_syn(start: Start, generation: Generation) -> None:
    """A repeated SYN-ACK acknowledges the last number of the other side as well, and changes nothing."""
    talk = start(generation).handshake()
    judged = talk.server(SYN | ACK, SERVER, C)

    assert ("ignore", "ESTABLISHED") == (judged.verdict, judged.after)


@pytest.mark.parametrize(("generation", "liberal"), [(LINUX_4_15, False), (CLASSIC, True), (MODERN, True)])
def test_leniency_outlives_a_resynchronisation(start: Start, generation: Generation, liberal: bool) -> None:
    """The answering side of a picked-up connection stays lenient: found by comparing with 5.10.223."""
    talk = start(generation)
    talk.client(ACK, C, 1, payload=1460, window=1)
    talk.client(SYN, 1_785_593_981, wscale=9, window=0)
    talk.server(SYN | ACK, 1_286_869_996, 1_785_593_982, window=64_240, options=True, wscale=9)

    assert liberal == (talk.server(ACK, 1_286_869_998, 2_613_751_337, window=1).verdict == "accept")


def test_reply_syn_is_invalid(start: Start, generation: Generation) -> None:
    """A SYN from the server's side of an established connection is not believed at all."""
    talk = start(generation).handshake()
    judged = talk.server(SYN, SERVER + 900_000)

    assert (judged.verdict, judged.test, judged.ct_state) == ("invalid", "invalid-state", "invalid")
    expected = {"5.10": "invalid state", "6.1": "packet (index 0) in dir 1 invalid, state ESTABLISHED"}
    assert expected[generation.name] == judged.reason


def test_challenge_ack_does_not_end_the_last_ack(start: Start, generation: Generation) -> None:
    """The ACK after an ignored SYN answers that SYN, and not the last FIN; the next one may."""
    talk = start(generation).handshake()
    talk.client(FIN | ACK, C, S)
    talk.server(FIN | ACK, S, C + 1)
    talk.client(SYN, CLIENT + 900_000)
    challenge = talk.server(ACK, S + 1, C + 1)

    assert (
        challenge.verdict,
        challenge.reason,
        challenge.after,
    ) == ("ignore", "challenge-ack ignored", "LAST_ACK")
    assert talk.client(ACK, C + 1, S + 1).after == "TIME_WAIT"


@pytest.mark.parametrize(
    ("generation", "after"), [(LINUX_4_15, "SYN_RECV"), (CLASSIC, "ESTABLISHED"), (MODERN, "ESTABLISHED")]
)
def test_simultaneous_open(start: Start, generation: Generation, after: str) -> None:
    """Both sides send SYN, then SYN-ACK; since 5.0 the replying side's ACK establishes."""
    talk = start(generation)
    states = [
        talk.client(SYN, CLIENT).after,
        talk.server(SYN, SERVER).after,
        talk.client(SYN | ACK, CLIENT, S).after,
        talk.server(SYN | ACK, SERVER, C).after,
        talk.server(ACK, S, C).after,
    ]

    assert ["SYN_SENT", "SYN_SENT2", "SYN_RECV", "SYN_RECV", after] == states


def test_reset_that_acknowledges_nothing(start: Start, generation: Generation) -> None:
    """An acknowledgement of 0 in a RST is none, and no bound is asked of it."""
    talk = start(generation).handshake()
    talk.client(ACK, C, S)

    assert "CLOSE" == talk.server(RST | ACK, S, 0).after


def test_a_crossed_syn_that_is_acknowledged(start: Start) -> None:
    """Of a simultaneous open the replying side's SYN-ACK does not establish, only its ACK does."""
    talk = start(MODERN)
    talk.client(SYN, CLIENT)
    talk.server(SYN, SERVER)

    assert "SYN_RECV" == talk.server(SYN | ACK, SERVER, C).after


def test_client_ack_before_any_answer_is_invalid(start: Start, generation: Generation) -> None:
    """In SYN_SENT only the server may acknowledge, and is ignored."""
    talk = start(generation)
    talk.client(SYN, CLIENT)

    assert talk.client(ACK, C, S).test == "invalid-state"
    assert talk.server(ACK, SERVER, 5).verdict == "ignore"


def test_repeated_fin_of_one_side_moves_on(start: Start, generation: Generation) -> None:
    """The table does not know who sent the first FIN."""
    talk = start(generation).handshake()
    talk.client(FIN | ACK, C, S)

    assert talk.client(FIN | ACK, C, S).after == "LAST_ACK"
