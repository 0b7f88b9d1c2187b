"""The state table."""

from __future__ import annotations

import pytest

from analyzer.conntrack.states import (
    ACK,
    FIN,
    PSH,
    RST,
    SYN,
    TIMEOUTS,
    TRANSITIONS,
    URG,
    Kind,
    State,
    kind_of,
    legal,
)

NAMES = {
    "NO": State.NONE,
    "SS": State.SYN_SENT,
    "SR": State.SYN_RECV,
    "ES": State.ESTABLISHED,
    "FW": State.FIN_WAIT,
    "CW": State.CLOSE_WAIT,
    "LA": State.LAST_ACK,
    "TW": State.TIME_WAIT,
    "CL": State.CLOSE,
    "S2": State.SYN_SENT2,
    "IG": "ignore",
    "IV": "invalid",
}
# By present state this time: what SYN, SYN+ACK, FIN, ACK, RST and none do there.
ORIGINAL = """
    NO SS IV IV ES IV IV
    SS SS IV IV IV CL IV
    SR IG SR FW ES CL IV
    ES IG IV FW ES CL IV
    FW IG IV LA CW CL IV
    CW IG IV LA CW CL IV
    LA IG IV LA TW CL IV
    TW SS IV TW TW CL IV
    CL SS IV CL CL CL IV
    S2 S2 SR IV IV CL IV
"""
REPLY = """
    NO IV IV IV IV IV IV
    SS S2 SR IV IG CL IV
    SR IV IG FW SR CL IV
    ES IV IG FW ES CL IV
    FW IV IG LA CW CL IV
    CW IV IG LA CW CL IV
    LA IV IG LA TW CL IV
    TW SS IG TW TW CL IV
    CL IV IG CL CL CL IV
    S2 S2 SR IV IG CL IV
"""


@pytest.mark.parametrize(("reply", "table"), [(False, ORIGINAL), (True, REPLY)])
@pytest.mark.parametrize("row", range(10))
def test_transitions_row_by_row(reply: bool, table: str, row: int) -> None:
    """From each state, each kind of packet leads where the kernel's table says."""
    present, *cells = table.strip().splitlines()[row].split()

    assert [NAMES[cell] for cell in cells] == [TRANSITIONS[reply][kind, NAMES[present]] for kind in Kind]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (SYN, Kind.SYN),
        (SYN | ACK, Kind.SYN_ACK),
        (SYN | FIN | ACK, Kind.SYN_ACK),
        (FIN, Kind.FIN),
        (FIN | ACK, Kind.FIN),
        (ACK | PSH, Kind.ACK),
        (RST | SYN | FIN | ACK, Kind.RST),
        (0, Kind.NONE),
        (PSH | URG, Kind.NONE),
    ],
)
def test_kind_by_priority(flags: int, expected: Kind) -> None:
    """RST wins over SYN, SYN over FIN, FIN over ACK."""
    assert expected is kind_of(flags)


def test_legal_flags() -> None:
    """Nine combinations of FIN, SYN, RST, ACK and URG are legal, with or without PSH, ECE and CWR."""
    expected = {SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG}

    assert expected == {flags & (FIN | SYN | RST | ACK | URG) for flags in range(256) if legal(flags)}
    assert sum(map(legal, range(256))) == 9 * 8


def test_every_state_has_a_timeout() -> None:
    """Only the state of no entry has none."""
    assert set(State) - {State.NONE} == set(TIMEOUTS)
