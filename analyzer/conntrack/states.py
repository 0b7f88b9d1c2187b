"""The states of a tracked TCP connection and what each packet does to them.

The transitions are the same in every tree read, from 4.4 to 7.2 (`tcp_conntracks`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Literal

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))


class State(StrEnum):
    """As `conntrack -L` names them."""

    NONE = "NONE"
    SYN_SENT = "SYN_SENT"
    SYN_RECV = "SYN_RECV"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT = "FIN_WAIT"
    CLOSE_WAIT = "CLOSE_WAIT"
    LAST_ACK = "LAST_ACK"
    TIME_WAIT = "TIME_WAIT"
    CLOSE = "CLOSE"
    SYN_SENT2 = "SYN_SENT2"


CLOSING = frozenset({State.FIN_WAIT, State.CLOSE_WAIT, State.LAST_ACK, State.TIME_WAIT, State.CLOSE})
"""States whose entry may be given up early (`tcp_can_early_drop`)."""


class Kind(IntEnum):
    """What a packet is to the state table; the number is the `index` of the kernel's log lines."""

    SYN = 0
    SYN_ACK = 1
    FIN = 2
    ACK = 3
    RST = 4
    NONE = 5


def kind_of(flags: int) -> Kind:
    """Classify TCP flags; RST wins over SYN, SYN over FIN, FIN over ACK."""
    if flags & RST:
        return Kind.RST
    if flags & SYN:
        return Kind.SYN_ACK if flags & ACK else Kind.SYN
    if flags & FIN:
        return Kind.FIN
    return Kind.ACK if flags & ACK else Kind.NONE


_LEGAL = frozenset({SYN, SYN | URG, SYN | ACK, RST, RST | ACK, FIN | ACK, FIN | ACK | URG, ACK, ACK | URG})


def legal(flags: int) -> bool:
    """Say whether conntrack accepts this combination of flags; PSH, ECE and CWR never matter."""
    return flags & (FIN | SYN | RST | ACK | URG) in _LEGAL


Outcome = State | Literal["ignore", "invalid"]

_SHORT: Mapping[str, Outcome] = {
    "SS": State.SYN_SENT,
    "SR": State.SYN_RECV,
    "ES": State.ESTABLISHED,
    "FW": State.FIN_WAIT,
    "CW": State.CLOSE_WAIT,
    "LA": State.LAST_ACK,
    "TW": State.TIME_WAIT,
    "CL": State.CLOSE,
    "S2": State.SYN_SENT2,
    "ig": "ignore",
    "--": "invalid",
}

# Columns: NONE SYN_SENT SYN_RECV ESTABLISHED FIN_WAIT CLOSE_WAIT LAST_ACK TIME_WAIT CLOSE SYN_SENT2
_ORIGINAL = """
    SYN      SS SS ig ig ig ig ig SS SS S2
    SYN_ACK  -- -- SR -- -- -- -- -- -- SR
    FIN      -- -- FW FW LA LA LA TW CL --
    ACK      ES -- ES ES CW CW TW TW CL --
    RST      -- CL CL CL CL CL CL CL CL CL
    NONE     -- -- -- -- -- -- -- -- -- --
"""
_REPLY = """
    SYN      -- S2 -- -- -- -- -- SS -- S2
    SYN_ACK  -- SR ig ig ig ig ig ig ig SR
    FIN      -- -- FW FW LA LA LA TW CL --
    ACK      -- ig SR ES CW CW TW TW CL ig
    RST      -- CL CL CL CL CL CL CL CL CL
    NONE     -- -- -- -- -- -- -- -- -- --
"""


def _parse(rows: str) -> dict[tuple[Kind, State], Outcome]:
    return {
        (Kind[name], state): _SHORT[cell]
        for name, *cells in map(str.split, rows.strip().splitlines())
        for state, cell in zip(State, cells, strict=True)
    }


TRANSITIONS: tuple[Mapping[tuple[Kind, State], Outcome], ...] = (
    MappingProxyType(_parse(_ORIGINAL)),
    MappingProxyType(_parse(_REPLY)),
)
"""By direction (0 original, 1 reply), then by kind of packet and present state."""

TIMEOUTS: Mapping[State, int] = MappingProxyType(
    {
        State.SYN_SENT: 120,
        State.SYN_RECV: 60,
        State.ESTABLISHED: 432_000,
        State.FIN_WAIT: 120,
        State.CLOSE_WAIT: 60,
        State.LAST_ACK: 30,
        State.TIME_WAIT: 120,
        State.CLOSE: 10,
        State.SYN_SENT2: 120,
    }
)
"""Seconds that an entry lives after a packet left it in a state: the kernel's defaults."""
