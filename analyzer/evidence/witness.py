"""Which drop record speaks of which lost packet.

A record that has addresses is compared with the packet itself. One that has none is joined by order alone: a packet is
dropped after it was last seen and before it is sent again, so where as many records as losses lie in a stretch of time and
only one assignment keeps that order, each record has its loss. Where there are more, since packets that were not captured
were dropped as well, but all say the same, so does the packet's own. What could be another's is nobody's.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from analyzer.evidence.drops import DropRecord, meaning

_Timed = tuple[int, DropRecord]
"""A record and its wall time."""


class LostPacket(NamedTuple):
    """A packet that was lost in the node; addresses are those with which it was last seen."""

    proto: str
    """`tcp`, `udp`, ..."""
    src: str
    dst: str
    sport: int | None = None
    dport: int | None = None
    seq: int | None = None
    """TCP's, as the packet has it."""
    ip_id: int | None = None
    """IPv4's; None where the capture does not hold it."""
    last_seen_ns: int = 0
    """Since the epoch, as are the records' times."""
    next_ns: int | None = None
    """When the sender tried again; None where it did not."""


_NOT_LOST = frozenset({"not-a-loss", "receiver", "no-listener"})
"""What happens to packets that have arrived; without addresses they are not told from those of other hosts or pods."""


def join(
    records: Sequence[DropRecord], losses: Sequence[LostPacket], *, certain: bool = True
) -> dict[int, DropRecord]:
    """Find the records of lost packets.

    Args:
        records: Of one node.
        losses: Of the same node; the order does not matter.
        certain: Which records: those that prove a drop, or those that show a last sign of the packet.

    Returns: Index of a loss to its record. A record is given to one loss at most.
    """
    these = [record for record in records if record.certain == certain]
    found = _by_packet([record for record in these if record.src], losses)
    bare = [record for record in these if not record.src and _in_transit(record)]
    return _by_order(bare, losses) | found


def _by_packet(records: Iterable[DropRecord], losses: Sequence[LostPacket]) -> dict[int, DropRecord]:
    """Give each record to the loss that it agrees with; of several the one that was last seen nearest to it in time."""
    index: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for number, loss in enumerate(losses):
        # A record tells less than a packet mostly: it is looked up by the narrowest that it tells.
        for key in _keys(loss.proto, loss.src, loss.sport, loss.dst, loss.dport, loss.seq, loss.ip_id):
            index[key].append(number)
    claims: dict[int, list[DropRecord]] = defaultdict(list)
    for record in records:
        candidates: dict[int, None] = {}
        keys = _keys(
            record.proto, record.src, record.sport, record.dst, record.dport, record.seq, record.ip_id
        )
        for key in keys[:1] if keys[0][0] in ("seq", "id") else keys:
            candidates.update((number, None) for number in index.get(key, ())[:_SAME])
        agreeing = [number for number in candidates if _agrees(record, losses[number])]
        whole = [number for number in agreeing if _tuple(record) == _tuple(losses[number])]
        agreeing = whole or agreeing
        if (chosen := _choose(record, agreeing, losses)) is not None:
            claims[chosen].append(record)
    return {number: _first(claimed, losses[number]) for number, claimed in claims.items()}


_SAME = 64
"""Losses with one sequence number or IP ID that are looked at: a packet is sent again some 15 times (tcp_retries2)."""


def _keys(
    proto: str, src: str, sport: int | None, dst: str, dport: int | None, seq: int | None, ip_id: int | None
) -> list[tuple[object, ...]]:
    """By what a packet is found before or after its translation: it leaves the numbers, and one end at least mostly."""
    numbers = [("seq", proto, seq)] * (seq is not None) + [("id", proto, ip_id)] * (ip_id is not None)
    return [*numbers, ("src", proto, src, sport), ("dst", proto, dst, dport)]


def _tuple(one: DropRecord | LostPacket) -> tuple[str, str, int | None, str, int | None]:
    return one.proto, one.src, one.sport, one.dst, one.dport


def _agrees(record: DropRecord, loss: LostPacket) -> bool:
    """Say whether nothing of the packet contradicts the record, and something that translation leaves is the same.

    A record's sequence number is the loss's by now: by that it was looked up.
    """
    if None not in (record.ip_id, loss.ip_id) and record.ip_id != loss.ip_id:
        return False
    source = (record.src, record.sport) == (loss.src, loss.sport)
    target = (record.dst, record.dport) == (loss.dst, loss.dport)
    # Both ends translated: only numbers of 48 bits together are as good as an address.
    return source or target or bool(record.seq is not None and record.ip_id and loss.ip_id)


def _choose(record: DropRecord, agreeing: Sequence[int], losses: Sequence[LostPacket]) -> int | None:
    """Of the losses that agree with a record choose one, or none where nothing tells them apart."""
    if not agreeing:
        return None
    exact = record.seq is not None or bool(record.ip_id)
    wall = record.wall
    if exact and len(agreeing) == 1:
        return agreeing[0]
    if wall is None:
        # Which of a packet's repetitions it was does not matter.
        flows = {_tuple(losses[number]) for number in agreeing}
        return agreeing[0] if flows == {_tuple(record)} and record.sport is not None else None
    if exact:
        # Sent again, and lost again: the times of two attempts lie further apart than any two clocks of one host.
        distances = sorted((abs(losses[number].last_seen_ns - wall), number) for number in agreeing)
        return distances[0][1] if distances[0][0] < distances[1][0] else None
    within = [number for number in agreeing if _open(losses[number], wall)]
    return within[0] if len(within) == 1 else None


def _open(loss: LostPacket, wall: int) -> bool:
    return loss.last_seen_ns <= wall and (loss.next_ns is None or wall <= loss.next_ns)


def _first(claimed: Sequence[DropRecord], loss: LostPacket) -> DropRecord:
    """Of several records of one loss (several tools, or a copy) take one with a time and a stack, nearest to the packet."""
    return min(
        claimed,
        key=lambda record: (
            record.wall is None,
            not record.stack,
            abs((record.wall or 0) - loss.last_seen_ns),
        ),
    )


def _in_transit(record: DropRecord) -> bool:
    return meaning(record.reason, record.location, record.stack, record.hook).kind not in _NOT_LOST


def _by_order(records: Sequence[DropRecord], losses: Sequence[LostPacket]) -> dict[int, DropRecord]:
    """Join records without addresses, each version of IP and each source by itself."""
    found: dict[int, DropRecord] = {}
    kinds: dict[tuple[str, int | None, str], list[_Timed]] = defaultdict(list)
    for record in records:
        if record.wall is not None:
            kinds[record.source, record.version, record.proto].append((record.wall, record))
    for (_, version, proto), group in kinds.items():
        chosen = [
            number
            for number in range(len(losses))
            if (version is None or version == (6 if ":" in losses[number].src else 4))
            and (not proto or proto == losses[number].proto)
        ]
        group.sort(key=lambda timed: timed[0])
        chosen.sort(key=lambda number: losses[number].last_seen_ns)
        times, runs = [wall for wall, _ in group], _runs(group)
        for block in _blocks(chosen, losses):
            begin = bisect_left(times, losses[block[0]].last_seen_ns)
            ends = [losses[number].next_ns for number in block]
            end = (
                len(times)
                if None in ends
                else bisect_right(times, max(end for end in ends if end is not None))
            )
            forced = _forced(group[begin:end], block, losses) if end - begin == len(block) else {}
            for number, record in (forced or _alike(group, times, runs, block, losses)).items():
                found.setdefault(number, record)
    return found


def _alike(
    records: Sequence[_Timed],
    times: Sequence[int],
    runs: Sequence[int],
    block: Sequence[int],
    losses: Sequence[LostPacket],
) -> dict[int, DropRecord]:
    """Give each loss the first record after it where all until it is sent again say the same, and none is missing.

    Before the first record the packet's own may be missing.
    """
    found: dict[int, DropRecord] = {}
    used = 0
    for number in block:
        loss = losses[number]
        begin = bisect_left(times, loss.last_seen_ns)
        end = len(times) if loss.next_ns is None else bisect_right(times, loss.next_ns)
        first = max(begin, used)
        if first >= end:
            return {}
        if begin and runs[begin] >= end:
            found[number] = records[first][1]
            used = first + 1
    return found


def _runs(records: Sequence[_Timed]) -> list[int]:
    """Of each record where those begin, after it, that say something else."""
    found = [len(records)] * len(records)
    for at in range(len(records) - 2, -1, -1):
        found[at] = found[at + 1] if _says(records[at][1]) == _says(records[at + 1][1]) else at + 1
    return found


def _says(record: DropRecord) -> tuple[str, str, str | None]:
    return record.reason, record.location, record.died_in


def _blocks(chosen: Sequence[int], losses: Sequence[LostPacket]) -> Iterable[list[int]]:
    """Split losses, in order of time, where none of the earlier ones can be dropped any more."""
    block: list[int] = []
    until: int | None = None
    for number in chosen:
        loss = losses[number]
        if until is not None and loss.last_seen_ns > until:
            yield block
            block = []
        if not block:
            until = loss.next_ns
        elif until is not None:
            until = None if loss.next_ns is None else max(until, loss.next_ns)
        block.append(number)
    if block:
        yield block


def _forced(
    records: Sequence[_Timed], block: Sequence[int], losses: Sequence[LostPacket]
) -> dict[int, DropRecord]:
    """Assign as many records as losses, both in order of time, where only one assignment keeps the order.

    The first record can only be of a loss that was seen before it. With one such loss they belong together, which leaves
    the second record with one loss less, and so on. Where several losses were open, which record is whose does not matter
    if all of them say the same.
    """
    found: dict[int, DropRecord] = {}
    waiting: list[int] = []
    held: list[_Timed] = []
    arrived = 0
    for wall, record in records:
        while arrived < len(block) and losses[block[arrived]].last_seen_ns <= wall:
            waiting.append(block[arrived])
            arrived += 1
        held.append((wall, record))
        if len(held) > len(waiting):
            return {}  # a record too many so far: some of them are of other packets
        if len(held) < len(waiting):
            continue
        alike = len({_says(record) for _, record in held}) == 1
        if alike and all(_open(losses[n], at) for n, (at, _) in zip(waiting, held, strict=True)):
            found |= {n: one for n, (_, one) in zip(waiting, held, strict=True)}
        waiting, held = [], []
    return found
