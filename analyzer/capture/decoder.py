"""Feeds records to the scan and owns the columns that it fills."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.columns import FLOW_DTYPES, PACKET_DTYPES, Flows, Packets, Stretch
from analyzer.capture.flowtable import FlowTable
from analyzer.capture.layout import MAX_IFACES, REASONS
from analyzer.capture.reader import Reader, Records
from analyzer.capture.scan import decode
from analyzer.capture.storage import Memory

LATE = 1000
"""One packet in so many may be later than the first of the next file."""
REACH = 1 << 32
"""How far an offset reaches."""


class Decoder:
    """One group of files that belong together: what it has read so far, as columns.

    Files are read one after the other; flows go on from one to the next (rotated captures).
    """

    def __init__(self, storage: Memory, stored: int = 0) -> None:
        """Begin with nothing.

        Args:
            storage: Where the packets' columns shall lie.
            stored: Bytes that all files will have, as they are stored; by them the columns get their length. 0 where it
                is not known.
        """
        self.rows = 0
        self.stretches: list[Stretch] = []
        self._storage = storage
        self._stored = stored
        self._read = 0
        self._packets = {name: storage.empty(0, dtype) for name, dtype in PACKET_DTYPES.items()}
        self._flows = {name: storage.empty(1 << 12, dtype) for name, dtype in FLOW_DTYPES.items()}
        self._table = FlowTable(*(int.from_bytes(os.urandom(8)) | 1 for _ in range(2)))
        self._skipped = np.zeros((MAX_IFACES, len(REASONS)), np.int64)
        self._foreign = np.zeros(1 << 16, np.int64)
        self._unread = np.tile(np.array([np.iinfo(np.int64).max, np.iinfo(np.int64).min]), (MAX_IFACES, 1))
        self._attach(0)

    def read(
        self, reader: Reader, iface: Callable[[str | None], int], progress: Callable[[int], None]
    ) -> None:
        """Decode a whole file.

        Args:
            reader: Where the records come from.
            iface: Gives the number, below `MAX_IFACES`, of an interface's name.
            progress: Called now and then with how many bytes of the underlying file were read since.
        """
        done = 0
        file = self.stretches[-1].file + 1 if self.stretches else 0
        self.stretches.append(Stretch(self.rows, file, 0))
        links, ifaces = np.zeros(0, np.int32), np.zeros(0, np.int32)
        for records in reader.blocks():
            self._read += reader.bytes_read - done
            if new := reader.interfaces[len(links) :]:
                links = np.append(links, np.array([i.link for i in new], np.int32))
                ifaces = np.append(ifaces, np.array([iface(i.name) for i in new], np.int32))
            if records.base + len(records.data) - self.stretches[-1].base > REACH:
                self.stretches.append(Stretch(self.rows, file, records.base))
            self._decode(records, links, ifaces)
            progress(reader.bytes_read - done)
            done = reader.bytes_read

    def recorded_at(self, first: int) -> bool:
        """Say whether the last file that has packets went on after *first*, ns: then what begins there does not follow it.

        A few packets may be later: several processors hand them on, and each has its own moment.
        """
        if not self.rows:
            return False
        row = next(stretch.first_row for stretch in reversed(self.stretches) if stretch.first_row < self.rows)
        times = self._packets["time"][row : self.rows]
        if int(times.max()) == int(times.min()) == first:
            return True
        return int((times > first).sum()) * LATE > len(times)

    def finish(self) -> tuple[Packets, Flows]:
        """Give the columns away, trimmed."""
        count, resized = self._table_count(), self._storage.resized
        del self._table
        packets = Packets(**{name: resized(column, self.rows) for name, column in self._packets.items()})
        flows = Flows(**{name: resized(column, count) for name, column in self._flows.items()})
        del self._packets, self._flows
        return packets, flows

    def skipped(self, iface: int) -> dict[str, int]:
        """Frames of an interface that are no rows, by reason."""
        return {reason: int(n) for reason, n in zip(REASONS, self._skipped[iface], strict=True) if n}

    def unread(self, iface: int) -> tuple[int, int] | None:
        """When the first and the last frame of an interface that is no row was seen, ns; None if all are rows."""
        return (
            (int(self._unread[iface, 0]), int(self._unread[iface, 1])) if self._skipped[iface].any() else None
        )

    def foreign(self) -> dict[int, int]:
        """Frames of all interfaces that are neither IP nor ARP, by EtherType, the most frequent first."""
        kinds = np.flatnonzero(self._foreign)
        return {int(kind): int(self._foreign[kind]) for kind in kinds[np.argsort(-self._foreign[kinds])]}

    def _decode(self, records: Records, links: NDArray[np.int32], ifaces: NDArray[np.int32]) -> None:
        self._reserve(self.rows + records.count)
        columns: Any = [column.data for column in self._packets.values()]
        done, first = 0, self.rows
        while done < records.count:
            limit = len(self._flows["proto"])
            done, self.rows = decode(
                memoryview(records.data),
                records.start.data,
                records.caplen.data,
                records.wirelen.data,
                records.time.data,
                records.interface.data,
                done,
                records.count,
                records.base - self.stretches[-1].base,
                records.first_frame,
                links.data,
                ifaces.data,
                self._table,
                limit,
                self.rows,
                *columns,
                self._skipped.data,
                self._foreign.data,
                self._unread.data,
            )
            if done < records.count:
                self._attach(limit)
        if records.frames is not None:
            rows = self._packets["frame"][first : self.rows]
            rows[:] = records.frames[rows - records.first_frame]

    def _reserve(self, rows: int) -> None:
        """Make room for so many rows, and, once some were read, for as many as the files will probably have.

        At once, since growing step by step would touch the columns' memory twice and more.
        """
        have = len(self._packets["time"])
        if rows > have:
            foreseen = int(rows * self._stored / self._read * 1.05) if have and self._read else 0
            for name, column in self._packets.items():
                self._packets[name] = self._storage.resized(column, max(rows, have + have // 2, foreseen))

    def _table_count(self) -> int:
        return int(self._table.flow_count())

    def _attach(self, count: int) -> None:
        """Give the table longer columns, and slots for half as full.

        Twice as long, or as long as all rows will need that there is room for, if the rest is like what was read.
        """
        if count:
            foreseen = count * len(self._packets["time"]) // max(self.rows, 1)
            size = 1 << (min(max(2 * count, foreseen), 8 * count) - 1).bit_length()
            for name, column in self._flows.items():
                self._flows[name] = self._storage.resized(column, size)
        size = len(self._flows["proto"])
        views: dict[str, Any] = {name: column.data for name, column in self._flows.items()}
        self._table.attach(views, self._storage.zeros(size * 2, np.uint64).data, count)
