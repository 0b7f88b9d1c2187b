"""Text in the ladder: the lines beside a packet, and the addresses at a NAT boundary, clear of the arrows."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from analyzer.connection.model import Fate, Passage
from analyzer.report.lanes import changes
from analyzer.report.words import printable, short

_WIDTH = 31  # characters of a note
_MONO = 6.7  # width of a character of an address
_LINE = 13.0
_CLEAR = 10.0  # between the boundary and an address
# Distances of the first baseline from the boundary mark that are tried, nearest first.
_TRIES = (18.0, -9.0, 27.0, -18.0, 36.0, -27.0, 45.0, -36.0)

_WHY = {"partner": "other connection", "offender": "judged INVALID", "host-reset": "sent by the host"}


class Segment(NamedTuple):
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float


class Box(NamedTuple):
    """The room of a text."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One line of text at a boundary."""

    text: str
    x: float
    y: float
    anchor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Relabel:
    """A NAT boundary that a packet crosses."""

    x: float
    y: float
    addresses: tuple[Address, ...]
    """On the inner and on the outer side; none where the ladder has named this translation already."""
    full: str


def notes(passage: Passage) -> tuple[str, ...]:
    """Return the lines beside a packet: why it is shown, and what became of it."""
    text = printable(passage.note, 120) or _WHY.get(
        passage.role, passage.role if passage.role != "context" else ""
    )
    lost = passage.fate.value.replace("-", " ")
    if passage.fate is not Fate.PASSED and passage.role != "offender" and lost not in text:
        text = f"{text}, {lost}" if text else lost
    return tuple(textwrap.wrap(text, _WIDTH, max_lines=3, placeholder=" …"))


def touches(segment: Segment, box: Box) -> bool:
    """Say whether *segment* passes through *box*."""
    left, right = sorted((segment.x1, segment.x2))
    if right < box.left or left > box.right:
        return False
    if left == right:
        ys = [segment.y1, segment.y2]
    else:
        slope = (segment.y2 - segment.y1) / (segment.x2 - segment.x1)
        ys = [segment.y1 + slope * (x - segment.x1) for x in (max(left, box.left), min(right, box.right))]
    return min(ys) <= box.bottom and max(ys) >= box.top


def relabels(
    passages: Sequence[Passage],
    xs: Sequence[Sequence[float]],
    ys: Sequence[Sequence[float]],
    drawn: Sequence[Sequence[Segment]],
    bottom: float,
) -> list[tuple[Relabel, ...]]:
    """Name the addresses wherever they change, each translation once, where the fewest arrows pass.

    Args:
        passages: The packets that are drawn.
        xs: Of their sightings.
        ys: Of their sightings.
        drawn: Of each packet, the lines that the text should not touch.
        bottom: No text stands lower.

    Returns:
        For each packet, the boundaries that it crosses.
    """
    lines = [line for way in drawn for line in way]
    taken: list[Box] = []
    named: set[tuple[str, str]] = set()
    placed: list[tuple[Relabel, ...]] = []
    for row, passage in enumerate(passages):
        foreign = [line for other, way in enumerate(drawn) if other != row for line in way]
        mine = []
        for place, (before, after) in enumerate(pairwise(passage.sightings)):
            x1, x2 = xs[row][place : place + 2]
            renamed = changes(before, after)
            if x2 < x1:  # The inner address comes first, whichever way the packet goes.
                renamed = [(inner, outer) for outer, inner in renamed]
            if not renamed or x1 == x2:
                continue
            x, y = (x1 + x2) / 2, (ys[row][place] + ys[row][place + 1]) / 2
            new = [pair for pair in renamed if pair not in named]
            named.update(new)
            addresses: list[Address] = []
            for side, anchor in ((0, "end"), (1, "start")):
                texts = [short(pair[side], 47) for pair in new]
                addresses += _clear(texts, x, y, anchor, lines, foreign, taken, bottom)
            full = short("; ".join(f"{inner} is {outer} outside" for inner, outer in renamed), 300)
            mine.append(Relabel(x=round(x, 1), y=round(y, 1), addresses=tuple(addresses), full=full))
        placed.append(tuple(mine))
    return placed


def _clear(
    texts: Sequence[str],
    x: float,
    y: float,
    anchor: str,
    lines: Sequence[Segment],
    foreign: Sequence[Segment],
    taken: list[Box],
    bottom: float,
) -> list[Address]:
    """Place one side's texts where they touch the least, with no *foreign* line between them and the mark."""
    if not texts:
        return []
    width, height = max(map(len, texts)) * _MONO, (len(texts) - 1) * _LINE
    left = x - _CLEAR - width if anchor == "end" else x + _CLEAR

    def box(offset: float) -> Box:
        top = y + offset - 9 - (height if offset < 0 else 0)
        return Box(left, top, left + width, top + 11 + height)

    def cost(offset: float) -> int:
        room = box(offset)
        overlaps = sum(
            other.left < room.right
            and room.left < other.right
            and other.top < room.bottom
            and room.top < other.bottom
            for other in taken
        )
        reach = Box(room.left, min(room.top, y), room.right, max(room.bottom, y))
        crossed = sum(touches(line, room) for line in lines) + sum(touches(line, reach) for line in foreign)
        return crossed + 3 * overlaps + 9 * (room.bottom > bottom)

    best = box(min(_TRIES, key=cost))
    taken.append(best)
    at = x - _CLEAR if anchor == "end" else x + _CLEAR
    return [
        Address(text=text, x=round(at, 1), y=round(best.top + 9 + _LINE * number, 1), anchor=anchor)
        for number, text in enumerate(texts)
    ]
