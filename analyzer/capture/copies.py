"""Captures that a bundle has twice: as they are and compressed, under a second name, or copied while they were written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from analyzer.capture.compressed import PIECE, Stream
from analyzer.capture.files import CaptureFile

LEAST = 256
"""Bytes of a head that holds more than what captures without a packet begin with."""
MOST = 4
"""Captures that begin alike and differ with which a further one is compared; each comparison may read both whole."""


def copies(captures: Sequence[CaptureFile], heads: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """Yield the labels of captures that hold nothing but what another one holds, with that one's.

    Points may see the same at the same time (a bridge hands frames on with their timestamps), so captures whose names give them
    different roles, or to different pods, are no copies.

    Args:
        captures: All of a bundle.
        heads: Label to the first bytes, decompressed.
    """
    alike: dict[bytes, list[CaptureFile]] = {}
    for capture in captures:
        if len(heads[capture.label]) >= LEAST:
            alike.setdefault(heads[capture.label], []).append(capture)
    for several in alike.values():
        kept: list[CaptureFile] = []
        # Of equal ones the one that is kept has the best name: it tells a role, and is the shortest.
        for capture in sorted(several, key=lambda one: (not one.point_hint.role, len(one.label))):
            for place, other in enumerate(kept):
                shorter = _shorter(other, capture) if _may_be(other, capture) else None
                if shorter is not None:
                    kept[place] = other if shorter is capture else capture
                    yield shorter.label, kept[place].label
                    break
            else:
                kept += [capture] if len(kept) < MOST else []


def _may_be(one: CaptureFile, other: CaptureFile) -> bool:
    a, b = one.point_hint, other.point_hint
    if a.point == b.point:
        return True
    apart = a.role and b.role and (a.role != b.role or a.role == "pod")
    return not (a.explicit or b.explicit or apart)


def _shorter(one: CaptureFile, other: CaptureFile) -> CaptureFile | None:
    """The one with which the other begins, of two equal ones the other; None if neither does, or cannot be read."""
    try:
        with Stream(one.source()) as a, Stream(other.source()) as b:
            while True:
                mine, others = a.read(PIECE), b.read(PIECE)
                if mine != others:
                    if others.startswith(mine):
                        return one
                    return other if mine.startswith(others) else None
                if len(mine) < PIECE:
                    return other
    except OSError:
        return None
