"""A listing as a stream: pcapng of any text, in bounded memory."""

from __future__ import annotations

import io
import tracemalloc
from typing import get_args

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.listing import translation
from analyzer.capture.listing.recognising import Form, Listing
from analyzer.capture.listing.translation import Translation
from analyzer.capture.reader import Reader

DUMP = "11:48:39.575820 IP 10.0.0.1.{port} > 10.0.0.2.6: Flags [S], seq 5, win 64240, length 0\n"


def of(text: bytes, form: Form, most: int = 1 << 30) -> Translation:
    """Translate a text in memory."""
    return Translation(Listing(form=form, open=lambda: io.BytesIO(text), most=most))


@given(st.binary(max_size=400), st.sampled_from(get_args(Form)))
def test_any_bytes(data: bytes, form: Form) -> None:
    """Whatever a file holds, what comes out is a whole pcapng."""
    out = of(data, form).read()
    reader = Reader(lambda: io.BytesIO(out), name="x")

    assert all(records.count for records in reader.blocks())
    assert [] == reader.caveats


def test_what_tcpdump_says_of_itself() -> None:
    """The interface's name and what the kernel dropped are taken, other lines are known."""
    text = (
        "root@node:~# sudo timeout 5 tcpdump -i eth0 -nn\n"
        "tcpdump: verbose output suppressed\nlistening on eth0, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n"
        + DUMP.format(port=5)
        + "^C\n1 packet captured\n7 packets received by filter\n6 packets dropped by kernel\n"
    )
    made = of(text.encode(), "tcpdump")
    out = made.read()

    assert b"eth0" in out
    assert (6, 0, 1) == (made.notes.dropped, made.notes.strange, made.notes.packets)


@pytest.mark.parametrize("encoded", ["utf-8-sig", "utf-16"])
def test_encodings_and_line_ends(encoded: str) -> None:
    """A shell on Windows writes UTF-16 and CR LF."""
    made = of((DUMP.format(port=5) * 3).replace("\n", "\r\n").encode(encoded), "tcpdump")
    made.read()

    assert (3, 0) == (made.notes.packets, made.notes.strange)


def test_a_line_without_end_takes_no_memory() -> None:
    """It is one line that is not understood."""
    text = b"x" * (16 << 20)
    tracemalloc.start()
    try:
        made = of(text, "packet list")
        made.read()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert 1 == made.notes.strange
    assert peak < 64 * translation.LINE


def test_no_more_is_read_than_it_may_cost() -> None:
    """And it is said."""
    line = DUMP.format(port=5).encode()
    whole, part = (of(zstandard.compress(line * 100), "tcpdump", most) for most in (100 * len(line), 4096))
    for made in (whole, part):
        made.read()

    assert (100, None) == (whole.notes.packets, whole.damage)
    assert part.notes.packets < 100
    assert "only its first 4096 bytes were read" == part.damage


def test_numbers_are_taken_in_order() -> None:
    """As many as were asked for, and the rest later."""
    made = of("".join(DUMP.format(port=port) for port in range(5)).encode(), "tcpdump")
    made.read()

    assert ([1, 2], [3, 4, 5]) == (made.take(2).tolist(), made.take(9).tolist())
