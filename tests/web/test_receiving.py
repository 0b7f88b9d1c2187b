"""Bodies to disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from analyzer.web import receiving
from analyzer.web.receiving import PIECE, Body, Receiver, client_name, upload_name
from analyzer.web.refusal import Refusal
from analyzer.web.settings import Settings
from analyzer.web.store import Store


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Receiver]]:
    """Return a function that makes a receiver with limits of the test's own."""
    store = Store(tmp_path)

    def receiver(**limits: Any) -> Receiver:
        return Receiver(store, Settings(data=tmp_path, **{"spare": 0, **limits}), lambda _: None)

    yield receiver
    store.close()


async def body(*pieces: bytes, then: BaseException | None = None) -> AsyncIterator[bytes]:
    """Give pieces, and end as told."""
    for piece in pieces:
        yield piece
    if then:
        raise then


def refused(doing: Callable[[], object] | Awaitable[object]) -> tuple[int, str]:
    """Return the status and the sentence of a refusal."""
    with pytest.raises(Refusal) as caught:
        doing() if callable(doing) else asyncio.run(doing)  # type: ignore[arg-type]
    return caught.value.status, str(caught.value)


async def take(receiver: Receiver, upload: Any, file: Any, offset: int, *pieces: bytes, **how: Any) -> bool:
    """Take one body."""
    transfer = await receiver.begin(upload, file, offset, Body(body(*pieces, **how)))
    try:
        return await transfer.take()
    finally:
        transfer.close()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("eth0.pcap", "eth0.pcap"),
        ("node7/eth0.pcap", "node7/eth0.pcap"),
        ("C:\\captures\\eth0.pcap", "C:/captures/eth0.pcap"),
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/shadow", "etc/shadow"),
        ("a//./b", "a/b"),
        ("\x1b[31mred\u202e.pcap", "[U+001B][31mred[U+202E].pcap"),
        ("", "unnamed"),
        ("..", "unnamed"),
    ],
)
def test_client_names(given: str, name: str) -> None:
    """Folders stay, since they tell points apart; what leads elsewhere or plays tricks goes."""
    assert name == client_name(given)


@given(st.text(max_size=300))
def test_client_names_are_labels(text: str) -> None:
    """Whatever a client says becomes a printable relative name of bounded length."""
    name = client_name(text)
    parts = name.split("/")

    assert 0 < len(name) < 3000
    assert not {"", ".", ".."} & set(parts)
    assert name == client_name(name)
    assert len(upload_name(text)) <= 2000


def test_long_names_keep_their_end() -> None:
    """Of a long name the end tells most: the point, and what kind of file it is."""
    name = client_name("very/" * 1000 + "long" * 200 + "/eth0.pcap")

    assert name.endswith("/eth0.pcap")
    assert len(name) < 2000


def test_in_pieces(make: Callable[..., Receiver]) -> None:
    """A file comes in several bodies of any size, and is whole when its last byte is there."""
    receiver = make()
    upload = receiver.create("")
    file = receiver.declare(upload, "a", 3 * PIECE)

    assert not asyncio.run(take(receiver, upload, file, 0, b"a" * PIECE, b"b" * (PIECE // 2)))
    assert asyncio.run(take(receiver, upload, file, PIECE * 3 // 2, b"c" * (PIECE * 3 // 2)))
    assert [True] == [each.complete for each in receiver.store.files(upload)]
    stored = receiver.store.folder(upload).file(file.number).read_bytes()
    assert b"a" * PIECE + b"b" * (PIECE // 2) + b"c" * (PIECE * 3 // 2) == stored


def test_a_broken_body_keeps_what_came(make: Callable[..., Receiver]) -> None:
    """The bytes before the connection broke are on the disk, also those that filled no piece."""
    receiver = make()
    upload = receiver.create("")
    file = receiver.declare(upload, "a", 100)

    assert 400 == refused(take(receiver, upload, file, 0, b"a" * 60, then=ClientDisconnect()))[0]
    assert 60 == receiver.store.folder(upload).received(file.number)
    assert asyncio.run(take(receiver, upload, file, 60, b"a" * 40))


def test_a_silent_body_is_given_up(make: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection from which nothing comes does not hold its transfer for ever."""
    monkeypatch.setattr(receiving, "SILENCE", 0.01)
    receiver = make()
    upload = receiver.create("")
    file = receiver.declare(upload, "a", 100)

    async def silent() -> AsyncIterator[bytes]:
        yield b"a" * 7
        await asyncio.Event().wait()

    async def go() -> None:
        transfer = await receiver.begin(upload, file, 0, Body(silent()))
        try:
            await transfer.take()
        finally:
            transfer.close()

    assert 408 == refused(go())[0]
    assert 7 == receiver.store.folder(upload).received(file.number)


def test_offsets(make: Callable[..., Receiver]) -> None:
    """A body goes on exactly where the file ends, or not at all; a whole file takes no more."""
    receiver = make()
    upload = receiver.create("")
    file = receiver.declare(upload, "a", 10)

    assert (409, "0 bytes of this file have arrived; go on there, not at 5.") == refused(
        take(receiver, upload, file, 5, b"a")
    )
    asyncio.run(take(receiver, upload, file, 0, b"a" * 10))
    (whole,) = receiver.store.files(upload)
    assert 409 == refused(take(receiver, upload, whole, 10, b"a"))[0]


def test_more_than_announced(make: Callable[..., Receiver]) -> None:
    """A body that goes beyond its file's end is refused; what belongs to the file is kept."""
    receiver = make()
    upload = receiver.create("")
    file = receiver.declare(upload, "a", 10)

    assert (413, "More than the announced 10 bytes came.") == refused(
        take(receiver, upload, file, 0, b"a" * 8, b"a" * 8)
    )
    assert 8 == receiver.store.folder(upload).received(file.number)


def test_limits_of_size_and_number(make: Callable[..., Receiver]) -> None:
    """What would be too large or too many is refused before a byte of it comes; exactly the limit is not."""
    receiver = make(size=100, files=2, uploads=1)
    upload = receiver.create("")
    receiver.declare(upload, "a", 60)

    assert 413 == refused(lambda: receiver.declare(upload, "b", 41))[0]
    receiver.declare(upload, "b", 40)
    assert (413, "An upload may have 2 files; put them into one archive.") == refused(
        lambda: receiver.declare(upload, "c", 0)
    )
    assert (507, "There are 1 uploads, the limit; delete one first.") == refused(lambda: receiver.create(""))


def test_a_file_of_unknown_size_is_limited(make: Callable[..., Receiver]) -> None:
    """A form's file, whose size nobody announced, is stopped at the upload's limit."""
    receiver = make(size=100)
    upload = receiver.create("")
    asyncio.run(take(receiver, upload, receiver.declare(upload, "a", 60), 0, b"a" * 60))
    file = receiver.declare(upload, "b", None)

    assert 413 == refused(take(receiver, upload, file, 0, b"b" * 41))[0]


def test_the_disk_is_not_filled(make: Callable[..., Receiver]) -> None:
    """Uploads stop where the spare room begins, before they begin and in their middle."""
    receiver = make()
    upload = receiver.create("")
    file = receiver.declare(upload, "a", 10)
    full = make(spare=1 << 60)

    assert 507 == refused(lambda: full.create(""))[0]
    assert 507 == refused(lambda: full.declare(upload, "b", 1))[0]
    assert 507 == refused(take(full, upload, file, 0, b"a" * 10))[0]
    assert 0 == receiver.store.folder(upload).received(file.number)


def test_the_later_transfer_goes_on(make: Callable[..., Receiver]) -> None:
    """When a second transfer of a file begins, or its offset is asked for, the first can write no more."""
    receiver = make()
    upload = receiver.create("")
    file = receiver.declare(upload, "a", 2 * PIECE)

    async def go() -> None:
        first = await receiver.begin(upload, file, 0)
        await first.write(b"a" * PIECE)
        second = await receiver.begin(upload, file, PIECE)
        try:
            with pytest.raises(Refusal, match="Another transfer"):
                await first.write(b"x" * PIECE)
            first.close()
            await second.write(b"a" * (PIECE - 1))
            await receiver.interrupt(upload, file)
            with pytest.raises(Refusal, match="Another transfer"):
                await second.flush()
        finally:
            second.close()

    asyncio.run(go())
    assert b"a" * PIECE == receiver.store.folder(upload).file(file.number).read_bytes()
