"""Numbers that stand for addresses, packets and flows, and how sets of them are compared."""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzer.capture.columns import views
from analyzer.flow import joining

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_FACTOR = int.from_bytes(os.urandom(8)) | 1
"""Which place of a table a key has is nobody's to choose; results do not depend on it."""
PER_BUCKET = 4
"""Keys that share a place of `Buckets`, about: they fit into a line of the processor's cache."""


def scramble(values: NDArray[Any], salt: int) -> NDArray[np.uint64]:
    """A 64-bit hash, salted so that equal fields of different kinds differ."""
    wide = np.ascontiguousarray(values, np.uint64)
    hashes = np.empty(len(wide), np.uint64)
    joining.scramble(wide.data, salt, hashes.data)
    return hashes


def address_key(hi: NDArray[Any], lo: NDArray[Any]) -> NDArray[np.uint64]:
    """One number per 128-bit address."""
    return scramble(hi, 2) ^ scramble(lo, 3)


def halves(text: str) -> tuple[int, int]:
    """The upper and the lower 64 bits of an address, IPv4 mapped; a ValueError for what is none."""
    found = ipaddress.ip_address(text)
    number = int(found) if found.version == 6 else 0xFFFF00000000 | int(found)
    return number >> 64, number & 0xFFFFFFFFFFFFFFFF


def keys_of(texts: Iterable[str]) -> NDArray[np.uint64]:
    """The `address_key` of each address."""
    both = np.array([halves(text) for text in texts], np.uint64).reshape(-1, 2)
    return address_key(both[:, 0], both[:, 1])


def is_v4(hi: NDArray[Any], lo: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each 128-bit address is an IPv4-mapped one; `::`, from which IPv6 asks whether its address is free, is not."""
    mapped: NDArray[np.bool_] = (hi == 0) & (lo >> np.uint64(32) == 0xFFFF)
    return mapped


def among(values: NDArray[np.uint64], those: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether each value is one of those; both are keys of this module. In linear time, other than `np.isin`, which sorts."""
    found = np.zeros(len(values), np.uint8)
    joining.contains(*views(those), _FACTOR, *views(_slots(those), values, found))
    return found.view(bool)


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """Each value once, ascending. As `np.unique`, which from numpy 2.3 on takes 100 times as long where most occur once."""
    ordered = np.sort(values)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]


def repeated(values: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which values occur more than once; they are keys of this module, or as good."""
    ordered = np.sort(values)
    return among(values, ordered[1:][ordered[1:] == ordered[:-1]])


def distinct_rows(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Each row once, ascending, and which of them each row is. As `np.unique(axis=0)`, in a quarter of the time."""
    order = np.lexsort(values.T[::-1])
    ordered = values[order]
    new = np.append(True, (ordered[1:] != ordered[:-1]).any(1))[: len(ordered)]
    of = np.empty(len(order), np.int64)
    of[order] = np.cumsum(new) - 1
    return ordered[new], of


def unique_join(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the values that occur exactly once in each, in the order of *a*; both are keys of this module."""
    partner = np.full(len(a), -1, np.int32)
    joining.join(*views(a, b), _FACTOR, *views(_slots(a), partner))
    i = np.flatnonzero(partner >= 0)
    return i, partner[i].astype(np.int64)


def _slots(keys: NDArray[np.uint64]) -> NDArray[np.int32]:
    return np.full(2 << len(keys).bit_length(), -1, np.int32)


class Buckets:
    """Which values have a key: asked for many times."""

    def __init__(self, keys: NDArray[np.uint64], values: NDArray[np.int32]) -> None:
        """Arrange keys of this module, each with a value that is not negative."""
        self._begin = np.zeros((1 << (len(keys) // PER_BUCKET).bit_length()) + 1, np.int64)
        self._keys, self._values = np.empty_like(keys), np.empty_like(values)
        joining.bucket(*views(keys, values), _FACTOR, *views(self._begin, self._keys, self._values))

    def mark(self, wanted: NDArray[np.uint64], found: NDArray[np.uint8]) -> None:
        """Set *found* to 1 at the values that have one of these keys."""
        joining.mark(distinct(wanted).data, _FACTOR, *views(self._begin, self._keys, self._values, found))
