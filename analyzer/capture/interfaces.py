"""The interfaces of a file, or of a group of files: their numbers, and the packets of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from analyzer.capture import layout, naming, splitting
from analyzer.capture.columns import PACKET_DTYPES, Flows, Packets, views
from analyzer.capture.reader import Reader
from analyzer.capture.storage import Memory

BEYOND = layout.BEYOND
"""The number of whatever is not told apart: a file can claim a million interfaces, and each costs more than its packets."""


@dataclass(frozen=True, slots=True)
class Named:
    """Which interface a number stands for."""

    name: str | None
    """pcapng's if_name; None where the file has none that is one."""
    position: int
    """Of several nameless ones in a file's section, which."""
    own: bool
    """Whether it is what the file is called by: it has no name, or that of the file."""


@dataclass(slots=True)
class Interfaces:
    """Numbers the interfaces of a group of files; the same name has the same number in every file.

    An interface without a name is what its file is called by. So a file of tcpdump, which knows no names, and one of dumpcap
    after it are one point.
    """

    file: naming.Hint | None = None
    """What the files' name says."""
    interfaces: list[Named] = field(default_factory=list)
    """By number."""
    numbers: dict[str | int, int] = field(default_factory=dict)
    """By name, or by position of those without one."""
    _inner: str | None = None
    """What the pod calls the interface that a file of a pod is called by."""

    @property
    def names(self) -> list[str | None]:
        """By number."""
        return [interface.name for interface in self.interfaces]

    def of(self, name: str | None, position: int = 0) -> int:
        """The number of the interface of that name; `BEYOND` for those past the first ones.

        Args:
            name: As the file has it.
            position: Tells those without a name apart.
        """
        own = name is None or naming.nameless(name) or self._is_file(name)
        key = position if name is None or naming.nameless(name) else 0 if own else name
        iface = self.numbers.get(key)
        if iface is None:
            iface = self.numbers[key] = min(len(self.interfaces), BEYOND)
            if iface < BEYOND:
                given = None if name is None or naming.nameless(name) else name
                self.interfaces.append(Named(given, position, own))
        elif iface == BEYOND:
            pass
        elif key == 0 and own and name and not self.interfaces[iface].name and not naming.nameless(name):
            self.interfaces[iface] = Named(name, 0, own)
        return iface

    def reading(self, reader: Reader) -> Reading:
        """Number the interfaces of one file."""
        return Reading(self, reader)

    def _is_file(self, name: str) -> bool:
        if self.file is None:
            return False
        if self.file.role == "pod" and not self.file.explicit and naming.role_of(name) == "uplink":
            self._inner = self._inner or name
            return name == self._inner
        return name == self.file.point


@dataclass(slots=True)
class Reading:
    """The interfaces of one file, numbered as they are met."""

    ifaces: Interfaces
    reader: Reader
    found: list[int] = field(default_factory=list)
    """Number of each of the reader's interfaces."""
    _unnamed: dict[int, int] = field(default_factory=dict)
    """How many nameless ones each section has had."""

    def of(self, name: str | None) -> int:
        """The number of the next interface, which has that name."""
        position = 0
        if name is None or naming.nameless(name):
            section = self.reader.interfaces[len(self.found)].section
            position = self._unnamed.get(section, 0)
            self._unnamed[section] = position + 1
        self.found.append(self.ifaces.of(name, position))
        return self.found[-1]

    def iface(self, index: int) -> int:
        """The number of the interface at *index*, also of one that no packet followed."""
        while len(self.found) <= index:
            self.of(self.reader.interfaces[len(self.found)].name)
        return self.found[index]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one interface has."""

    packets: Packets
    flows: Flows
    first_rows: tuple[int, ...]
    """Of each stretch; where it would be, if it has none here."""


def split(packets: Packets, flows: Flows, first_rows: Sequence[int], storage: Memory) -> dict[int, Part]:
    """Take several interfaces apart.

    Args:
        packets: Of all interfaces; its columns are used up.
        flows: Of all interfaces.
        first_rows: Of each stretch of the files.
        storage: Where the columns lie.

    Returns: By interface number, of those that have a flow; of too many, the ones with the fewest packets are one, `BEYOND`.
    """
    ifaces, part_of = np.unique(flows.iface, return_inverse=True)
    if len(ifaces) > BEYOND:
        _keep_most(ifaces, part_of.astype(np.int32), packets, flows)
        ifaces, part_of = np.unique(flows.iface, return_inverse=True)
    if len(ifaces) < 2:
        return {
            int(iface): Part(packets=packets, flows=flows, first_rows=tuple(first_rows)) for iface in ifaces
        }
    part_of = part_of.astype(np.int32)
    by_part = np.argsort(part_of, kind="stable")
    count = np.bincount(part_of)
    ends = np.cumsum(count)
    sizes = np.zeros(len(ifaces), np.int64)
    splitting.count(*views(packets.flow, part_of, sizes))
    begins = np.cumsum(sizes) - sizes
    cursors, firsts = begins.copy(), []
    to: NDArray[np.int32] = storage.empty(len(packets), np.int32)
    for begin, stop in pairwise([*first_rows, len(packets)]):
        firsts.append(cursors - begins)
        splitting.place(*views(packets.flow[begin:stop], part_of, cursors, to[begin:stop]))
    number = np.empty(len(flows), np.int32)
    number[by_part] = np.arange(len(flows)) - np.repeat(ends - count, count)
    flows = flows.take(by_part, storage)  # once: an interface is a slice of it, and costs next to nothing
    np.take(number, packets.flow, out=packets.flow, mode="clip")  # "raise" would copy
    _scatter(packets, to, storage)
    return {
        int(iface): Part(
            packets=packets.between(begin, begin + size),
            flows=flows.between(first_flow, end),
            first_rows=tuple(int(first[n]) for first in firsts),
        )
        for n, (iface, begin, size, first_flow, end) in enumerate(
            zip(ifaces, begins, sizes, (0, *ends[:-1]), ends, strict=True)
        )
    }


def _keep_most(ifaces: NDArray[np.int32], part_of: NDArray[np.int32], packets: Packets, flows: Flows) -> None:
    """Give all interfaces but those with the most packets to `BEYOND`."""
    sizes = np.zeros(len(ifaces), np.int64)
    splitting.count(*views(packets.flow, part_of, sizes))
    sizes[ifaces == BEYOND] = 0
    fewest = np.argsort(sizes, kind="stable")[: len(ifaces) - BEYOND]
    gone = np.zeros(len(ifaces), bool)
    gone[fewest] = True
    flows.iface[gone[part_of]] = BEYOND


def _scatter(packets: Packets, to: NDArray[np.int32], storage: Memory) -> None:
    """Reorder every column; each goes into the memory of the one before it of its width."""
    for width in (8, 4, 2, 1):
        spare = storage.empty(len(to), f"u{width}")
        for name, dtype in PACKET_DTYPES.items():
            column = getattr(packets, name)
            if column.itemsize == width:
                items = column.view(spare.dtype)
                splitting.scatter(*views(items, to, spare))
                setattr(packets, name, spare.view(dtype))
                spare = items
