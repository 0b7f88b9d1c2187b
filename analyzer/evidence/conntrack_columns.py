"""Lines of `conntrack -L` to columns, without an object for each: a full table has 262,144 of them.

Only lines of the usual form are taken, those with both tuples and ports; whoever calls reads the others one by one.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

IPV6 = 1 << 32
_PAD = 128
"""Bytes behind the text that are read without a check."""
_HEAD = 48
"""Characters before the first tuple."""
_WORD = 24
_ADDRESS = 48
_BETWEEN, _BEHIND = 300, 600
_SPACE, _EQUALS, _BRACKET = 32, 61, 91
_FURTHER = {"UNREPLIE": b"D]", "HW_OFFLO": b"AD]"}
"""What flags have that are longer than a word of eight bytes."""
_PROTO = re.compile(rb"[a-z][\w-]{0,15}")
_STATE = re.compile(rb"[A-Z][A-Z0-9_]{1,20}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Entries of the usual form."""

    starts: Ints
    """Where each line begins, the others included."""
    lines: Ints
    """Number of the line that each entry stands in."""
    proto: Ints
    """Indexes `names`, as `state` does."""
    state: Ints
    names: list[str]
    """The first is empty."""
    timeout: Ints
    assured: npt.NDArray[np.bool_]
    unreplied: npt.NDArray[np.bool_]
    offload: npt.NDArray[np.bool_]
    addresses: tuple[Ints, ...]
    """Source and destination, of the original and of the reply: IPv4 as a number, IPv6 as `IPV6` plus its place in `known`."""
    known: list[str]
    ports: tuple[Ints, ...]


def columns(text: bytes) -> Columns:
    """Read what can be read at once."""
    data = np.frombuffer(text + b"\n" * _PAD, np.uint8)
    ends = np.flatnonzero(data[: len(text) + 1] == 10)
    starts = np.concatenate(([0], ends[:-1] + 1))
    keys = _keys(data)
    usual = np.ones(len(starts), bool)
    at: dict[str, Ints] = {}
    of = {name: np.searchsorted(starts, positions, "right") - 1 for name, positions in keys.items()}
    for name in ("src", "dst", "sport", "dport"):
        usual &= np.bincount(of[name], minlength=len(starts)) == 2
    usual &= np.bincount(of["use"], minlength=len(starts)) == 1
    lines = np.flatnonzero(usual)
    for name, positions in keys.items():
        at[name] = positions[usual[of[name]]].reshape(len(lines), 1 if name == "use" else 2) + 1
    fits = np.ones(len(lines), bool)
    before = [at["src"][:, 0], at["src"][:, 1]]
    values: list[list[Ints]] = [[], []]
    addresses: list[Ints] = []
    known: dict[str, int] = {}
    last = before
    for side in (0, 1):
        behind = at["src"][:, side]
        for name in ("src", "dst"):
            begins = at[name][:, side]
            fits &= behind == begins - (0 if name == "src" else 5)
            code, behind = _addresses(data, begins, known)
            fits &= code >= 0
            addresses.append(code)
        for name in ("sport", "dport"):
            begins = at[name][:, side]
            fits &= behind == begins - 7
            port, behind, is_one = _numbers(data, begins, 5)
            fits &= is_one & (port < 1 << 16)
            values[side].append(port)
        fits &= data[behind] == _SPACE
        last[side] = behind
    second, use = at["src"][:, 1], at["use"][:, 0]
    fits &= (second - 5 >= last[0]) & (second - 5 - last[0] <= _BETWEEN)
    fits &= (use - 5 >= last[1]) & (use - 5 - last[1] <= _BEHIND) & _digit(data[use])
    heads = _heads(data, starts[lines], at["src"][:, 0] - 5)
    fits &= heads.fits
    flags = _flags(data, starts, lines, second, last[1])
    return Columns(
        starts=starts,
        lines=lines[fits],
        proto=heads.proto[fits],
        state=heads.state[fits],
        names=heads.names,
        timeout=heads.timeout[fits],
        assured=flags["ASSURED]"][fits],
        unreplied=flags["UNREPLIE"][fits],
        offload=flags["OFFLOAD]"][fits] | flags["HW_OFFLO"][fits],
        addresses=tuple(code[fits] for code in addresses),
        known=list(known),
        ports=tuple(port[fits] for side in values for port in side),
    )


def _keys(data: Bytes) -> dict[str, Ints]:
    """Find the keys that an entry of the usual form has: positions of their `=`."""
    equals = np.flatnonzero(data == _EQUALS)
    equals = equals[equals >= 8]
    word = _eight(data, equals - 8)
    found = {}
    for name in ("src", "dst", "use", "sport", "dport"):
        wanted = int.from_bytes(f" {name}".encode(), "big")
        mask = np.uint64((1 << 8 * (len(name) + 1)) - 1)
        found[name] = equals[(word & mask) == np.uint64(wanted)]
    return found


def _eight(data: Bytes, begins: Ints) -> npt.NDArray[np.uint64]:
    """Read the eight bytes from each place on as one number."""
    return np.ndarray(len(data) - 7, ">u8", data, strides=(1,))[begins].astype(np.uint64)


def _digit(byte: Bytes) -> npt.NDArray[np.bool_]:
    return (byte >= 48) & (byte <= 57)


def _window(data: Bytes, begins: Ints, most: int) -> Bytes:
    """Cut out so many bytes from each place on, each a row."""
    return np.lib.stride_tricks.sliding_window_view(data, most)[begins]


def _numbers(data: Bytes, begins: Ints, most: int) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
    """Read decimal numbers of at most so many digits: values, where they end, and whether there is one."""
    digits = _window(data, begins, most + 1) - np.uint8(48)  # what is below wraps round, and is none
    value: npt.NDArray[Any] = np.zeros(len(begins), np.int32 if most < 9 else np.int64)
    length = np.zeros(len(begins), np.int64)
    going = np.ones(len(begins), bool)
    for place in range(most):
        digit = digits[:, place]
        going &= digit < 10
        if not going.any():
            break
        value = np.where(going, value * 10 + digit, value)
        length += going
    return value, begins + length, (length > 0) & ~(going & (digits[:, most] < 10))


def _addresses(data: Bytes, begins: Ints, known: dict[str, int]) -> tuple[Ints, Ints]:
    """Read addresses, -1 for what is none; and tell where they end."""
    number = np.zeros(len(begins), np.int64)
    at, fits = begins, np.ones(len(begins), bool)
    table, words = _octets(), np.ndarray(len(data) - 3, ">u4", data, strides=(1,))
    for octet in range(4):
        place = (words[at].astype(np.uint32) >> 8) - np.uint32(
            48 << 16
        )  # what is below wraps round, and is none
        known_one = table[np.minimum(place, len(table) - 1)]
        fits &= known_one > 0
        number = number << 8 | known_one >> 2
        at = at + (known_one & 3)
        fits &= data[at] == (46 if octet < 3 else _SPACE)
        at = at + (octet < 3)
    codes = np.full(len(begins), -1, np.int64)
    codes[fits] = number[fits]
    if not fits.all():
        others = np.flatnonzero(~fits)
        words, lengths = _words(data, begins[others], _ADDRESS)
        code, said = _distinct(words)
        numbers = np.array([_number(one, known) for one in said], np.int64)
        codes[others] = numbers[code]
        at = at.copy()
        at[others] = begins[others] + lengths
    return codes, at


@cache
def _octets() -> npt.NDArray[np.uint16]:
    """Three characters, the first a digit, to four times the octet they begin with plus its length; 0, the last too, for none."""
    table = np.zeros((10, 256, 256), np.uint16)
    others = [byte for byte in range(256) if not 48 <= byte <= 57]
    for value in range(256):
        first, *rest = (48 + int(digit) for digit in str(value))
        told = value << 2 | len(rest) + 1
        if not rest:
            table[first - 48, others, :] = told
        elif len(rest) == 1:
            table[first - 48, rest[0], others] = told
        else:
            table[first - 48, rest[0], rest[1]] = told
    return np.append(table, np.uint16(0))


def _number(said: bytes, known: dict[str, int]) -> int:
    try:
        address = str(ipaddress.ip_address(said.decode("ascii", "replace")))
    except ValueError:
        return -1
    return IPV6 + known.setdefault(address, len(known)) if b":" in said and b"%" not in said else -1


def _words(data: Bytes, begins: Ints, most: int) -> tuple[Bytes, Ints]:
    """Cut out words, filled up with zeros, and their lengths; one that is too long is cut."""
    window = _window(data, begins, most)
    inside = np.logical_and.accumulate(window > _SPACE, axis=1)
    return np.where(inside, window, 0).astype(np.uint8), inside.sum(axis=1)


def _distinct(words: Bytes) -> tuple[Ints, list[bytes]]:
    """Number words, each a row, by their order; sorting cannot be made slow as a hash table can."""
    if not len(words):
        return np.zeros(0, np.int64), []
    parts = np.ascontiguousarray(words).view(">u8").astype(np.uint64)
    order = np.lexsort(parts.T[::-1])
    ordered = parts[order]
    new = np.concatenate(([False], (ordered[1:] != ordered[:-1]).any(axis=1)))
    codes = np.empty(len(words), np.int64)
    codes[order] = np.cumsum(new)
    firsts = order[np.concatenate(([0], np.flatnonzero(new)))]
    return codes, [words[row].tobytes().rstrip(b"\0") for row in firsts]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heads:
    fits: npt.NDArray[np.bool_]
    proto: Ints
    state: Ints
    names: list[str]
    timeout: Ints


def _heads(data: Bytes, starts: Ints, ends: Ints) -> _Heads:
    """Read what stands before the first tuple: `ipv4     2 tcp      6 119 SYN_SENT `."""
    window = _window(data, starts, _HEAD)
    within = np.arange(_HEAD) < (ends - starts)[:, None]
    inside = (window > _SPACE) & within
    begins = inside.copy()
    begins[:, 1:] &= ~inside[:, :-1]
    count = begins.sum(axis=1)
    fits = (ends - starts <= _HEAD) & begins[:, 0] & (count >= 2)
    fits &= ~((window < _SPACE) & within).any(axis=1)  # only a space parts words
    _, column = np.nonzero(begins)
    first = np.concatenate(([0], np.cumsum(count)))[:-1]
    column = np.concatenate((column, [0, 0, 0, 0, 0, 0]))

    def word(number: Ints) -> Ints:
        """Where a line's word begins; where the line has fewer, somewhere in the text."""
        return starts + column[np.minimum(first + number, len(column) - 1)]

    family = window[:, :4]
    listed = (family[:, :3] == np.frombuffer(b"ipv", np.uint8)).all(axis=1) & np.isin(family[:, 3], (52, 54))
    listed &= window[:, 4] == _SPACE
    base = np.where(listed, 2, 0)
    left = count - base
    fits &= (left >= 2) & (left <= 4)
    for place in (1, *(() if not listed.any() else (-1,))):
        begin = word(base + place) if place > 0 else word(np.ones_like(base))
        _, end, is_one = _numbers(data, begin, 10)
        ok = is_one & (data[end] == _SPACE)
        fits &= ok if place > 0 else ok | ~listed
    third = word(base + 2)
    timed = (left >= 3) & _digit(data[third])
    timeout, end, is_one = _numbers(data, third, 10)
    fits &= ~timed | (is_one & (data[end] == _SPACE))
    stated = left >= np.where(timed, 4, 3)
    fits &= (left <= 3) | timed
    proto_code, protos = _distinct(_words(data, word(base), _WORD)[0])
    state_code, states = _distinct(
        _words(data, np.where(stated, word(base + 2 + timed), word(base)), _WORD)[0]
    )
    fits &= np.array([_PROTO.fullmatch(one) is not None for one in protos], bool)[proto_code]
    fits &= ~stated | np.array([_STATE.fullmatch(one) is not None for one in states], bool)[state_code]
    names = {"": 0}
    proto = np.array([_named(one, names) for one in protos], np.int64)[proto_code]
    state = np.array([_named(one, names) for one in states], np.int64)[state_code]
    return _Heads(
        fits=fits,
        proto=proto,
        state=np.where(stated, state, 0),
        names=list(names),
        timeout=np.where(timed, np.minimum(timeout, 0xFFFFFFFF), 0),
    )


def _named(said: bytes, names: dict[str, int]) -> int:
    return names.setdefault(said.decode("ascii", "replace"), len(names))


def _flags(
    data: Bytes, starts: Ints, lines: Ints, second: Ints, behind: Ints
) -> dict[str, npt.NDArray[np.bool_]]:
    """Tell which entries have which flag, each where it belongs: UNREPLIED between the tuples, others behind."""
    brackets = np.flatnonzero(data == _BRACKET)
    word = _eight(data, brackets + 1)
    of = np.searchsorted(starts, brackets, "right") - 1
    number = np.full(len(starts), -1, np.int64)
    number[lines] = np.arange(len(lines))
    found = {}
    for name in ("ASSURED]", "UNREPLIE", "OFFLOAD]", "HW_OFFLO"):
        these = word == np.uint64(int.from_bytes(name.encode(), "big"))
        for place, byte in enumerate(_FURTHER.get(name, b""), 9):
            these &= data[brackets + place] == byte
        entry = number[of[these]]
        position = brackets[these][entry >= 0]
        entry = entry[entry >= 0]
        right = position < second[entry] if name == "UNREPLIE" else position >= behind[entry]
        found[name] = np.zeros(len(lines), bool)
        found[name][entry[right]] = True
    return found
