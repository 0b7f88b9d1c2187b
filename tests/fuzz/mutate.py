"""Changes bytes the way damage and malice do: at random, and along the structure of captures, archives and texts."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Sequence

NUMBERS = (0, 1, 2, 7, 8, 15, 16, 63, 64, 127, 128, 255, 256, 1023, 1500, 4096, 32767, 32768, 65535, 65536)
LARGE = (2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 10**30)
TOKEN = re.compile(rb"[A-Za-z_]+|\d+|[^\sA-Za-z_\d]")
WORDS = (
    b"\0", b"\r", b"\t", b"\x1b[2J", b"::", b"[", b"{", b"}", b'"', b"'", b"\\", b"/", b"/128", b"/33", b"-1", b"1e999",
    b"NaN", b"null", b"true", b"0x", b"255.255.255.255", b"::ffff:1.2.3.4", b"fe80::1%eth0", b"\xe2\x80\xae", b"\xff",
    b"\xed\xb2\x80", b"*", b"!", b"@", b"\xf0\x9f\x92\xa9", "\u0663".encode(), b"=", b",", b"\n\n", b" " * 300,
)  # fmt: skip


def mutate(seed: bytes, others: Sequence[bytes], rng: random.Random, most: int = 1 << 17) -> bytes:
    """Return *seed* with one to a few changes; *others* are what is spliced in."""
    data = bytearray(seed)
    for _ in range(1 + int(rng.expovariate(0.5))):
        rng.choice(_ways(data))(data, others, rng)
    del data[most:]
    return bytes(data)


Way = Callable[[bytearray, Sequence[bytes], random.Random], None]


def _ways(data: bytearray) -> list[Way]:
    ways: list[Way] = [_flip, _number, _cut, _repeat, _splice, _zero]
    if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1"):
        return ways + [_record] * 6
    if data[:4] == b"\n\r\r\n":
        return ways + [_block] * 6
    if data[:2] not in (b"PK", b"\x1f\x8b", b"\x28\xb5", b"\xfd7") and data[257:262] != b"ustar":
        return ways + [_token, _line] * 3
    return ways


def _place(data: bytearray, rng: random.Random, width: int = 1) -> int:
    """Where to: the first bytes, which are headers, more often than the rest."""
    top = max(len(data) - width, 0)
    return rng.randint(0, min(top, 64) if rng.random() < 0.3 else top)


def _flip(data: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _number(data: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    width, order = rng.choice([1, 2, 4, 8]), rng.choice(["little", "big"])
    at = _place(data, rng, width)
    value = rng.choice(NUMBERS + LARGE) % (1 << 8 * width)
    data[at : at + width] = value.to_bytes(width, order)  # type: ignore[arg-type]


def _cut(data: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    at = _place(data, rng)
    if rng.random() < 0.3:
        del data[at:]
    else:
        del data[at : at + rng.choice(NUMBERS[1:16])]


def _repeat(data: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    at, size = _place(data, rng), rng.choice(NUMBERS[1:16])
    data[at:at] = data[at : at + size] * rng.choice([1, 1, 2, 30])


def _splice(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    other = rng.choice(others)
    begin, at = rng.randint(0, len(other)), _place(data, rng)
    data[at:at] = other[begin : begin + rng.choice(NUMBERS[1:])]


def _zero(data: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    at, size = _place(data, rng), rng.choice(NUMBERS[1:10])
    data[at : at + size] = bytes([rng.choice([0, 255])]) * len(data[at : at + size])


def _token(data: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    """Put a word or an extreme number in a word's place."""
    found = TOKEN.search(data, _place(data, rng))
    if found:
        digits = found[0].isdigit() and rng.random() < 0.7
        new = str(rng.choice(NUMBERS + LARGE)).encode() if digits else rng.choice(WORDS)
        data[found.start() : found.end()] = new


def _line(data: bytearray, others: Sequence[bytes], rng: random.Random) -> None:
    """Repeat, leave out, move or borrow a line."""
    lines = bytes(data).split(b"\n")
    at = rng.randrange(len(lines))
    way = rng.randrange(4)
    if way == 0:
        lines[at:at] = [lines[at]] * rng.choice([1, 2, 50])
    elif way == 1:
        del lines[at]
    elif way == 2:
        lines.insert(rng.randint(0, len(lines)), lines.pop(at))
    else:
        lines.insert(at, rng.choice(rng.choice(others).split(b"\n")))
    data[:] = b"\n".join(lines)


def _record(data: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    """Change a packet of a pcap file, and keep its lengths true: what is behind the container shall be reached."""
    at, places = 24, []
    while at + 16 <= len(data) and (size := struct.unpack_from("<I", data, at + 8)[0]) <= len(data) - at - 16:
        places.append((at, size))
        at += 16 + size
    if places:
        at, size = rng.choice(places)
        frame = data[at + 16 : at + 16 + size]
        _frame(frame, rng)
        struct.pack_into("<I", data, at + 8, len(frame))
        if rng.random() < 0.2:
            struct.pack_into("<I", data, at + rng.choice([0, 4, 12]), rng.choice(NUMBERS + LARGE) % (1 << 32))
        data[at + 16 : at + 16 + size] = frame
        if rng.random() < 0.2:
            data += data[at : at + 16 + len(frame)]


def _block(data: bytearray, _: Sequence[bytes], rng: random.Random) -> None:
    """Change, repeat or leave out a block of a pcapng file, and keep its lengths true."""
    at, places = 0, []
    while at + 12 <= len(data):
        size = struct.unpack_from("<I", data, at + 4)[0]
        if size < 12 or size % 4 or size > len(data) - at:
            break
        places.append((at, size))
        at += size
    if not places:
        return
    at, size = rng.choice(places)
    body = data[at + 8 : at + size - 4]
    if rng.random() < 0.2:
        data[at:at] = data[at : at + size]
    elif rng.random() < 0.1:
        del data[at : at + size]
    else:
        _frame(body, rng)
        body += bytes(-len(body) % 4)
        total = struct.pack("<I", len(body) + 12)
        data[at + 4 : at + size] = total + body + total


def _frame(frame: bytearray, rng: random.Random) -> None:
    """Change what headers are made of."""
    way = rng.randrange(5)
    if way == 0:
        _flip(frame, (), rng)
    elif way == 1:
        _number(frame, (), rng)
    elif way == 2:
        del frame[rng.randint(0, len(frame)) :]
    elif way == 3:
        at = rng.randint(0, len(frame))
        frame[at:at] = bytes(rng.choices([0, 1, 2, 8, 255], k=rng.choice([1, 4, 20, 40])))
    elif len(frame) > 24:
        frame[rng.choice([12, 14, 16, 20, 23])] = rng.choice(
            [0, 4, 6, 8, 17, 41, 44, 47, 50, 51, 58, 69, 96, 129, 132, 255]
        )
