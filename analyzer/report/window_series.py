"""The numbers of the window chart: what the other side had sent, the bounds, each ACK, the one that fell out.

Sequence numbers are compared modulo 2**32 (RFC 9293 section 3.4): all are unwrapped around the judged packet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from analyzer.incident.model import Finding, WindowPoint

JUDGED = 12
"""Packets that fell out of the window, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What a window chart draws, in nanoseconds and unwrapped sequence numbers."""

    by_ack: bool
    """Whether acks are drawn against their bounds; else sequence numbers."""
    culprit: WindowPoint
    """The first packet that fell out."""
    rows: tuple[WindowPoint, ...]
    """All packets drawn, in time order."""
    judged: tuple[WindowPoint, ...]
    """Those that fell out, of the culprit's direction and test."""
    mine: tuple[WindowPoint, ...]
    """Packets of the culprit's direction that have the number drawn."""
    upper: tuple[tuple[int, int], ...]
    """(time, bound), each holding until the next."""
    lower: tuple[tuple[int, int], ...]

    @property
    def quantity(self) -> str:
        """What the vertical axis counts."""
        return "acknowledged byte" if self.by_ack else "sequence number"

    @property
    def sender(self) -> str:
        """Whose data the acks are about."""
        return "client" if self.culprit.reply == self.by_ack else "server"

    def value(self, number: int) -> int:
        """Return a 32-bit number, unwrapped."""
        return _unwrap(self.culprit.ack if self.by_ack else self.culprit.seq)(number)

    def number(self, row: WindowPoint) -> int:
        """Return the number of a packet that is drawn."""
        if self.by_ack:
            return self.value(row.ack)
        return self.value(row.end if row.test == "seq-under-lower-bound" else row.seq)


def build(finding: Finding, limit: int) -> Series | None:
    """Choose what is drawn of the window of *finding*; None where it has no judged packet.

    Args:
        finding: Its `window` rows. A failed test on acks draws acks against their bounds; one on sequence
            numbers draws sequence numbers against the bound that was failed.
        limit: Most rows: those nearest in time to the judged packet.
    """
    rows = sorted(finding.window, key=lambda row: row.time)
    judged = [row for row in rows if row.verdict == "invalid" and row.test and "R" not in row.flags]
    if not judged:
        return None
    culprit = judged[0]
    by_ack = culprit.test.startswith("ack")
    rows = sorted(
        sorted(rows, key=lambda row: abs(row.time - culprit.time))[:limit], key=lambda row: row.time
    )
    # One chart has one axis: failed tests of the other direction or quantity belong to another.
    axis = (culprit.reply, culprit.test[:3])
    judged = [row for row in judged if (row.reply, row.test[:3]) == axis and row in rows][:JUDGED]
    mine = [
        row for row in rows if row.reply == culprit.reply and "R" not in row.flags and (row.ack or not by_ack)
    ]
    value = _unwrap(culprit.ack if by_ack else culprit.seq)
    if by_ack:
        upper = _sent(rows, culprit, value)
        lower = _lower(upper, _bounds(mine, value, ("", "ack-under-lower-bound")))
    else:  # Only the failed test's own bound is about sequence numbers.
        upper = _bounds(judged, value, ("seq-over-upper-bound",))
        lower = _bounds(judged, value, ("seq-under-lower-bound",))
    return Series(
        by_ack=by_ack,
        culprit=culprit,
        rows=tuple(rows),
        judged=tuple(judged),
        mine=tuple(mine),
        upper=tuple(upper),
        lower=tuple(lower),
    )


def _unwrap(reference: int) -> Callable[[int], int]:
    """Return the map from a 32-bit number to the nearest integer to *reference* that is congruent to it."""

    def value(number: int) -> int:
        return reference + (number - reference + 2**31) % 2**32 - 2**31

    return value


def _sent(
    rows: Iterable[WindowPoint], culprit: WindowPoint, value: Callable[[int], int]
) -> list[tuple[int, int]]:
    """Return (time, upper bound of acks) at each packet: what the other side has sent by then."""
    steps: list[tuple[int, int]] = []
    for row in rows:
        if row.reply == culprit.reply:
            told = row.bound if row.test == "ack-over-upper-bound" else row.upper
        else:
            told = None if "R" in row.flags or row.verdict == "invalid" else row.end
        if told is not None:
            steps.append((row.time, max(value(told), steps[-1][1]) if steps else value(told)))
    return steps


def _bounds(
    rows: Iterable[WindowPoint], value: Callable[[int], int], tests: tuple[str, ...]
) -> list[tuple[int, int]]:
    """Return (time, bound) of the packets whose bound belongs to one of *tests*."""
    return [(row.time, value(row.bound)) for row in rows if row.bound is not None and row.test in tests]


def _lower(upper: list[tuple[int, int]], told: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return (time, lower bound of acks): as *told* at the judged packets, parallel to *upper* between them.

    The kernel subtracts the largest window that the acknowledging side has offered (`td_maxwin`) from what
    the other side has sent; between two judged packets only the latter moves.
    """
    steps: list[tuple[int, int]] = []
    bounds = dict(told)
    window: int | None = None
    for time, sent in upper:
        if time in bounds:
            window = sent - bounds[time]
        if window is not None:
            steps.append((time, sent - window))
    return steps
