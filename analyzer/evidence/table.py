"""A listing of conntrack's table, as columns: a million entries take about 40 MB."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from analyzer.evidence.conntrack_columns import IPV6

ASSURED, UNREPLIED, OFFLOAD = 1, 2, 4
"""Bits of `Table.flags`. Offloaded entries are in a flowtable, with or without hardware."""

_VOTERS = 20_000
"""About so many entries are compared to see which of two listings is later."""

Column = Literal[
    "proto", "state", "orig_src", "orig_dst", "orig_sport", "orig_dport",
    "reply_src", "reply_dst", "reply_sport", "reply_dport",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of the table."""

    proto: str
    state: str
    """Of TCP, SCTP and DCCP, as the kernel calls it: `TIME_WAIT`; else empty."""
    timeout: int | None
    """Seconds left; None for an offloaded entry."""
    assured: bool
    unreplied: bool
    offload: bool
    orig_src: str
    """The tuple of the side that began, before NAT."""
    orig_dst: str
    orig_sport: int
    """For ICMP the id, for protocols without ports 0; `orig_dport` is 0 then."""
    orig_dport: int
    reply_src: str
    """The tuple of the answer, as it arrives: `reply_dst` is the address that SNAT gave."""
    reply_dst: str
    reply_sport: int
    reply_dport: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Table:
    """Conntrack's table at one moment; `len()` counts the entries."""

    file: str
    names: tuple[str, ...]
    """What `proto` and `state` index: `tcp`, `TIME_WAIT`, ...; the first is empty."""
    addresses: tuple[str, ...]
    """What the columns of addresses index; IPv6 in its short form."""
    proto: npt.NDArray[np.uint16]
    state: npt.NDArray[np.uint16]
    timeout: npt.NDArray[np.uint32]
    """Seconds; 0 for an offloaded entry."""
    flags: npt.NDArray[np.uint8]
    """`ASSURED`, `UNREPLIED`, `OFFLOAD`."""
    orig_src: npt.NDArray[np.uint32]
    orig_dst: npt.NDArray[np.uint32]
    orig_sport: npt.NDArray[np.uint16]
    orig_dport: npt.NDArray[np.uint16]
    reply_src: npt.NDArray[np.uint32]
    reply_dst: npt.NDArray[np.uint32]
    reply_sport: npt.NDArray[np.uint16]
    reply_dport: npt.NDArray[np.uint16]
    omitted: int = 0
    """Entries that were counted only, because the listing is too long."""

    def __repr__(self) -> str:
        return f"Table(file={self.file!r}, entries={len(self)}, omitted={self.omitted})"

    def __len__(self) -> int:
        return len(self.proto)

    def __iter__(self) -> Iterator[Entry]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> Entry:
        flags = int(self.flags[number])
        return Entry(
            proto=self.names[self.proto[number]],
            state=self.names[self.state[number]],
            timeout=None if flags & OFFLOAD else int(self.timeout[number]),
            assured=bool(flags & ASSURED),
            unreplied=bool(flags & UNREPLIED),
            offload=bool(flags & OFFLOAD),
            orig_src=self.addresses[self.orig_src[number]],
            orig_dst=self.addresses[self.orig_dst[number]],
            orig_sport=int(self.orig_sport[number]),
            orig_dport=int(self.orig_dport[number]),
            reply_src=self.addresses[self.reply_src[number]],
            reply_dst=self.addresses[self.reply_dst[number]],
            reply_sport=int(self.reply_sport[number]),
            reply_dport=int(self.reply_dport[number]),
        )

    def only(self, **equal: str | int) -> Table:
        """Keep the entries whose columns have these values.

        Args:
            equal: Column to value: `only(proto="tcp", orig_dport=443)`.
        """
        keep = np.ones(len(self), bool)
        for column, value in equal.items():
            keep &= getattr(self, column) == self._code(column, value)
        return self._rows(keep)

    def count_by(self, *columns: Column) -> dict[tuple[str | int, ...], int]:
        """Count the entries that share the values of some columns, the most frequent first."""
        if not columns:
            return {(): len(self)}
        values, counts = np.unique(
            np.column_stack([getattr(self, column) for column in columns]), axis=0, return_counts=True
        )
        order = np.argsort(-counts, kind="stable")
        return {
            tuple(self._value(c, int(v)) for c, v in zip(columns, values[i], strict=True)): int(counts[i])
            for i in order
        }

    def find(self, proto: str, src: str, sport: int, dst: str, dport: int) -> Entry | None:
        """Find the entry that a packet belongs to, in either direction; addresses as the packet has them."""
        sides: tuple[dict[str, str | int], ...] = (
            {"orig_src": src, "orig_dst": dst, "orig_sport": sport, "orig_dport": dport},
            {"reply_src": src, "reply_dst": dst, "reply_sport": sport, "reply_dport": dport},
        )
        for side in sides:
            if len(found := self.only(proto=proto, **side)):
                return found[0]
        return None

    def aged(self, later: Table) -> int:
        """Say by how many entries *later* looks later than this table, less those that look earlier.

        Of an entry that is in both with the same state, the one without traffic in between has less time
        left. Traffic renews it, so one entry proves nothing; their majority does where enough lie idle.
        """
        share = 1 + max(len(self), len(later)) // _VOTERS
        now = self._idle(share)
        votes = 0
        for key, left in later._idle(share).items():
            before = now.get(key, left)
            votes += (left < before) - (left > before)
        return votes

    def _idle(self, share: int) -> dict[tuple[str | int, ...], int]:
        """Give the seconds left of one in *share* entries that hardly ever see traffic again."""
        idle = (self.flags & UNREPLIED > 0) | (self.state == self._code("state", "TIME_WAIT"))
        return {
            (e.proto, e.state, e.orig_src, e.orig_dst, e.orig_sport, e.orig_dport): e.timeout or 0
            for e in self._rows(idle & (self.orig_sport % share == 0))
        }

    def _code(self, column: str, value: str | int) -> int:
        if isinstance(value, int):
            return value
        pool = self.names if column in ("proto", "state") else self.addresses
        return pool.index(value) if value in pool else -1

    def _value(self, column: str, code: int) -> str | int:
        if column in ("proto", "state"):
            return self.names[code]
        return code if column.endswith("port") else self.addresses[code]

    def _rows(self, keep: npt.NDArray[np.bool_]) -> Table:
        columns = {f.name: getattr(self, f.name)[keep] for f in fields(self) if f.name in _COLUMNS}
        return replace(self, **columns)


_COLUMNS = frozenset(f.name for f in fields(Table)) - {"file", "names", "addresses", "omitted"}

TYPES = {
    "proto": "H", "state": "H", "timeout": "I", "flags": "B",
    "orig_src": "q", "orig_dst": "q", "orig_sport": "H", "orig_dport": "H",
    "reply_src": "q", "reply_dst": "q", "reply_sport": "H", "reply_dport": "H",
}  # fmt: skip
"""Column to its type while a text is read, as `array` and numpy name it; addresses are numbered when all are known."""
_CODES = 1 << 16


class Coding:
    """Numbers for the names and addresses of entries, while a text is read."""

    def __init__(self) -> None:
        self.names = {"": 0}
        self.ipv6: dict[str, int] = {}
        """In their short form."""
        self._known: dict[str, int] = {}

    def row(
        self,
        proto: str,
        state: str,
        timeout: int,
        flags: int,
        addresses: Sequence[str],
        ports: Sequence[str | None],
    ) -> tuple[int, ...] | None:
        """Give an entry's columns in the order of `TYPES`; None where its numbers or addresses are none."""
        numbers = [int(port or 0) for port in ports]
        codes = [self._address(address) for address in addresses]
        if max(numbers) >= _CODES or min(codes) < 0 or len(self.names) > _CODES - 2:
            return None
        named = (self.names.setdefault(name, len(self.names)) for name in (proto, state))
        tuples = (*codes[:2], *numbers[:2], *codes[2:], *numbers[2:])
        return *named, min(timeout, 0xFFFFFFFF), flags, *tuples

    def _address(self, text: str) -> int:
        """Number an address: IPv4 by itself, IPv6 in its order from `IPV6` on; -1 where it is none."""
        if text not in self._known:
            try:
                found = ipaddress.ip_address(text)
            except ValueError:
                self._known[text] = -1
            else:
                ipv6 = found.version == 6
                self._known[text] = (
                    IPV6 + self.ipv6.setdefault(str(found), len(self.ipv6)) if ipv6 else int(found)
                )
        return self._known[text]

    def table(self, file: str, columns: Mapping[str, npt.NDArray[np.generic]], omitted: int = 0) -> Table:
        """Make the table of these columns, in which each address is named once."""
        sides = [name for name in TYPES if name.endswith(("src", "dst"))]
        numbers, codes = np.unique(np.concatenate([columns[name] for name in sides]), return_inverse=True)
        told: Any = dict(columns)
        told |= zip(sides, np.split(codes.astype(np.uint32), len(sides)), strict=True)
        ipv6 = list(self.ipv6)
        addresses = tuple(
            ipv6[number - IPV6]
            if number >= IPV6
            else f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            for number in numbers.tolist()
        )
        return Table(file=file, names=tuple(self.names), addresses=addresses, omitted=omitted, **told)
