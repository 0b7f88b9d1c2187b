"""Connection tracking's own log: who made an entry, when it went, and what it translated to.

A log is kept as columns, as a listing is (`analyzer.evidence.table`): a node makes thousands of entries a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from analyzer.evidence.table import ASSURED, OFFLOAD, Entry, Table

EventKind = Literal["NEW", "UPDATE", "DESTROY"]
KINDS: tuple[EventKind, ...] = ("NEW", "UPDATE", "DESTROY")
"""What `EventLog.kind` indexes."""
NO_TIME = np.iinfo(np.int64).min
"""In `EventLog.time`: the line tells none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConntrackEvent:
    """One line of the log."""

    kind: EventKind
    time: int | None
    """Nanoseconds since the epoch; None where the log was made without `-o timestamp`."""
    entry: Entry
    """The entry as it was then."""
    id: int | None
    """The kernel's number of the entry (`-o id`), the same in all its events."""
    by_user: bool
    """Of DESTROY: a program deleted it (`[USERSPACE]`), it did not expire."""
    file: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class EventLog:
    """What `conntrack -E` printed; `len()` counts the events."""

    file: str
    entries: Table
    """The entry of each event, in the order of the log."""
    kind: npt.NDArray[np.uint8]
    time: npt.NDArray[np.int64]
    """Nanoseconds since the epoch, or `NO_TIME`."""
    id: npt.NDArray[np.uint32]
    """0 where it is not told."""
    by_user: npt.NDArray[np.bool_]
    line: npt.NDArray[np.uint32]
    omitted: int = 0
    """Events that were counted only, because the log is too long."""

    def __repr__(self) -> str:
        return f"EventLog(file={self.file!r}, events={len(self)}, omitted={self.omitted})"

    def __len__(self) -> int:
        return len(self.kind)

    def __getitem__(self, number: int) -> ConntrackEvent:
        time = int(self.time[number])
        return ConntrackEvent(
            kind=KINDS[self.kind[number]],
            time=None if time == NO_TIME else time,
            entry=self.entries[number],
            id=int(self.id[number]) or None,
            by_user=bool(self.by_user[number]),
            file=self.file,
            line=int(self.line[number]),
        )

    def __iter__(self) -> Iterator[ConntrackEvent]:
        return (self[number] for number in range(len(self)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One entry from its first event to its last; what happened before and after the log is not known."""

    entry: Entry
    """As of its last event; its reply tuple is what NAT gave: `reply_dst` and `reply_dport` the outer source."""
    made: ConntrackEvent | None
    """None where it was there before the log began."""
    destroyed: ConntrackEvent | None
    """None where it was there still when the log ended."""
    seen: int | None
    """Nanoseconds since the epoch: its last event."""

    @property
    def outer(self) -> tuple[str, int]:
        """The address and port to which the answers go: the connection's source after SNAT."""
        return self.entry.reply_dst, self.entry.reply_dport

    @property
    def target(self) -> tuple[str, int]:
        """The address and port from which the answers come: the connection's destination after DNAT."""
        return self.entry.reply_src, self.entry.reply_sport


def lives(log: EventLog, proto: str, src: str, sport: int, dst: str, dport: int) -> list[Life]:
    """Give the entries that a tuple had, in the order of the log.

    Args:
        log: To look in.
        proto: `tcp`, ...
        src: As a packet has it that belongs to the entry, in either direction, as all of these.
        sport: For ICMP the id, with `dport` 0.
        dst: The destination's address.
        dport: Its port.

    A connection that goes on after its entry was deleted has two, and may have two mappings.
    """
    found: list[Life] = []
    last: dict[int | None, int] = {}
    for number in _rows(log, proto, src, sport, dst, dport):
        event = log[number]
        made = event if event.kind == "NEW" else None
        destroyed = event if event.kind == "DESTROY" else None
        # Ids are pointers, so one that went may come again; without ids a tuple has one entry at a time.
        at = last.get(event.id)
        if at is None or made or found[at].destroyed:
            last[event.id] = len(found)
            found.append(Life(entry=event.entry, made=made, destroyed=destroyed, seen=event.time))
        else:
            before = found[at]
            found[at] = Life(entry=event.entry, made=before.made, destroyed=destroyed, seen=event.time)
    return found


def _rows(log: EventLog, proto: str, src: str, sport: int, dst: str, dport: int) -> list[int]:
    table = log.entries
    if proto not in table.names or src not in table.addresses or dst not in table.addresses:
        return []
    a, b = table.addresses.index(src), table.addresses.index(dst)
    original = (
        (table.orig_src == a)
        & (table.orig_sport == sport)
        & (table.orig_dst == b)
        & (table.orig_dport == dport)
    )
    reply = (
        (table.reply_src == a)
        & (table.reply_sport == sport)
        & (table.reply_dst == b)
        & (table.reply_dport == dport)
    )
    rows: list[int] = np.flatnonzero((table.proto == table.names.index(proto)) & (original | reply)).tolist()
    return rows


def evicted(log: EventLog) -> npt.NDArray[np.bool_]:
    """Say which events tell of an entry that was ended before its time, and by no program: to make room (early_drop) mostly.

    The kernel prints the time that was left (ctnetlink_dump_timeout), which of an expired entry is none. An entry that went
    because an interface of its translation went down looks the same. One that a RST or a SYN ended is in CLOSE, or was assured.
    """
    table = log.entries
    closed = table.names.index("CLOSE") if "CLOSE" in table.names else -1
    mask: npt.NDArray[np.bool_] = (log.kind == KINDS.index("DESTROY")) & ~log.by_user & (table.timeout > 1)
    mask &= (table.state != closed) & (table.flags & (ASSURED | OFFLOAD) == 0)
    return mask


def occupancy(logs: Sequence[EventLog]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Count entries over time, from the events that have a time.

    Returns: Nanoseconds since the epoch, ascending; and how many entries there were after each of these moments, more than
    what is known to have been there when the first event came. Of entries that were there before and did not go the log
    knows nothing, so the count is a lower bound; its changes are exact where the log is whole.
    """
    time = np.concatenate([np.zeros(0, np.int64), *(log.time for log in logs)])
    step = np.concatenate([
        np.zeros(0, np.int64),
        *((log.kind == 0).astype(np.int64) - (log.kind == 2) for log in logs),
    ])  # fmt: skip
    counts = (time != NO_TIME) & (step != 0)
    order = np.argsort(time[counts], kind="stable")
    total = np.cumsum(step[counts][order])
    return time[counts][order], total - min(0, int(total.min(initial=0)))
