"""The account in words: the four numbers, why some connections cannot be told, how much of each gap was recorded."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.connection.model import Account
from analyzer.connection.reasons import CODES, REASONS
from analyzer.incident.model import Coverage
from analyzer.report.words import between, count, duration, short

_WHY = {
    "alone": "only one point on their path was captured",
    "local": "they are for this node itself, or for a pod on it whose own interface was not captured",
    "untold": "no captured point shows how far they got",
    "unwatched": "a point on their path did not record all of them",
    "station": "a neighbour on their way is asked for by ARP in vain or was never heard, or two pods have one address",
    "entry": "they left for an endpoint that fell silent, and their entry may be stale: the rules and the table would tell",
    "unfinished": "the capture ends before it can be told",
    "not-recording": "nothing shows that the next point was recording then",
    "not-captured": "the next point on their path was not captured",
    "one-direction": "the next point recorded the other direction only",
    "undecoded": "frames of the next point could not be decoded",
    "filtered": "the next point seems to have been recorded with a filter",
    "ambiguous": "they cannot be told apart from others, or routed from bridged",
    "way-unknown": "they may have passed a point that was not captured",
}
OUTCOMES = {
    "ok": "worked",
    "delayed": "answered late",
    "refused": "refused",
    "timed-out": "sent, no reply",
    "reset": "reset",
    "stalled": "stalled",
    "unfinished": "not finished",
    "unanswered": "sent, no reply",
    "one-way": "one-way",
}
"""Outcomes as a sentence names them."""

WAITED = {
    "node": "lost on this node",
    "network": "slow or failed without a loss on this node",
    "server": "slow at the server",
    "untold": "the captures cannot tell",
    "unmatched": "not among the captured connections",
}
"""Where the time of a slow request went, by its verdict."""


def why(code: str) -> str:
    """Complete "cannot tell: ..." for a code of `Account.why_unknown`."""
    return _WHY.get(code) or (REASONS[CODES[code]].says if code in CODES else short(code, 60))


def numbers(account: Account) -> list[tuple[str, int, str]]:
    """Return what the account says, as (class, connections, label), without zeros."""
    open_, cut = account.open, account.unknown - account.open
    found = [
        ("all", account.connections, "connections"),
        ("worked", account.worked, "worked"),
        ("node", account.node, "delayed or failed because of this node"),
        ("outside", account.outside, "failed or delayed outside this node or at the peer"),
        ("open", open_, "failed, cannot tell where"),
        ("cut", cut, "still open when the capture ends"),
    ]
    return [row for row in found if row[1] or row[0] == "all"]


def line(account: Account) -> str:
    """Return the account in one line: `240 connections: 234 worked, 6 delayed or failed because of this node`."""
    first, *parts = numbers(account)
    told = ", ".join(f"{number:,} {label}" for _, number, label in parts)
    return count(first[1], "connection") + (f": {told}" if told else "")


def whys(account: Account) -> list[str]:
    """Return why connections cannot be told, the most frequent reason first: `5: only one point ...`."""
    told = sorted(account.why_unknown.items(), key=lambda item: -item[1])
    return [f"{count(number, 'connection')}: {why(code)}" for code, number in told if number]


def outcomes(found: dict[str, int], refusals: Sequence[tuple[str, int]] = ()) -> str:
    """Return outcomes with their numbers, the most frequent first: `12 sent, no reply; 3 refused: RST by the peer`."""
    sums: dict[str, int] = {}
    for code, number in found.items():
        name = OUTCOMES.get(code, code)
        sums[name] = sums.get(name, 0) + number
    how = ", ".join(f"{number:,} {short(says, 80)}" for says, number in refusals)
    if len(refusals) == 1:
        how = short(refusals[0][0], 80)
    return "; ".join(
        f"{number:,} {name}" + (f": {how}" if how and name == OUTCOMES["refused"] else "")
        for name, number in sorted(sums.items(), key=lambda item: -item[1])
    )


def waits(account: Account) -> list[str]:
    """Return where connections waited in this node: `2 connections waited up to 1.8 s between cni0 and eth0, on the way out`."""
    return [
        f"{count(one.connections, 'connection')} waited up to {duration(one.longest)}"
        f"{between(one.gap)}, on the way {'out' if one.outward else 'in'}"
        for one in account.waited
    ]


def coverage(one: Coverage) -> str:
    """Return `eth0 recorded 0.06 of 2.60 s; cannot tell for 223 of 246 packets from cni0: nothing shows ...`."""
    other = next((name for name in one.gap if name != one.point), one.gap[0])
    reason = why(max(one.why, key=lambda code: one.why[code])) if one.why else ""
    return (
        f"{short(one.point, 40)} recorded {one.recorded / 1e9:.2f} of {one.whole / 1e9:.2f} s; cannot tell for "
        f"{one.open:,} of {count(one.packets, 'request or reply', 'requests and replies')} from {short(other, 40)}"
        + (f": {reason}" if reason else "")
    )
