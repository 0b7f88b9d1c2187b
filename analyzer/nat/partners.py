"""What each packet, or flow, of a point is at a neighbouring point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Partners:
    """Per row of one point its row at a neighbour, read like a column; -1 where it has none there.

    A bridge has a neighbour per pod, and most of its packets have a partner at one of them: so a column, which is read
    several times as fast, is held only where at least a quarter have one, and else the rows that have a partner.
    """

    __slots__ = ("_count", "_rows", "_there")

    def __init__(
        self, found: NDArray[np.int32], rows: NDArray[np.int32] | None = None, count: int | None = None
    ) -> None:
        """Keep what was found.

        Args:
            found: Partners, -1 for none.
            rows: Whose they are, ascending; None for all rows' in turn.
            count: How many rows there are; None where all are given.
        """
        self._count = len(found) if count is None else count
        self._rows, self._there = rows, found
        paired = found >= 0
        if rows is not None or 4 * int(np.count_nonzero(paired)) < self._count:
            self._rows = np.flatnonzero(paired).astype(np.int32) if rows is None else rows[paired]
            self._there = found[paired]

    def __getitem__(self, rows: Any) -> Any:
        """The partners of some rows: an index array, a slice, or one row."""
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(self._count))
        if self._rows is None:
            return self._there.take(rows)
        if not isinstance(rows, np.ndarray):  # of one row a tenth of the time
            at = self._rows.searchsorted(np.int32(rows))
            return self._there[at] if at < len(self._rows) and self._rows[at] == rows else np.int32(-1)
        if not len(self._rows):
            return np.full(rows.shape, -1, np.int32)
        rows = rows.astype(np.int32, copy=False)  # else the search would first make all of its rows as wide
        at = np.minimum(self._rows.searchsorted(rows), len(self._rows) - 1)
        return np.where(self._rows[at] == rows, self._there[at], np.int32(-1))

    def having(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """Indices into *rows*, which ascend, of those that have a partner; in the time that the fewer of both take."""
        if self._rows is None or len(rows) <= len(self._rows):
            return np.flatnonzero(self[rows] >= 0)
        at = np.searchsorted(rows, self._rows)
        at = at[at < len(rows)]
        having: NDArray[np.int64] = at[rows[at] == self._rows[: len(at)]]
        return having

    def lacking(self) -> NDArray[np.int64]:
        """Rows that have no partner, ascending."""
        if self._rows is None:
            return np.flatnonzero(self._there < 0)
        without = np.ones(self._count, bool)
        without[self._rows] = False
        return np.flatnonzero(without)

    def whole(self) -> NDArray[np.int32]:
        """All rows' partners, as a column."""
        if self._rows is None:
            return self._there
        column = np.full(self._count, -1, np.int32)
        column[self._rows] = self._there
        return column
