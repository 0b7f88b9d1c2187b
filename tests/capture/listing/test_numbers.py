"""Numbers of a listing: absolute where the base is known, consistent where it is not."""

from __future__ import annotations

from analyzer.capture.listing.listed import Listed
from analyzer.capture.listing.numbers import Asked, Numbers

A, B = ("10.0.0.1", 2000), ("10.0.0.2", 80)
NOBODY = "0.0.0.0"  # noqa: S104


def segment(
    src: tuple[str, int] = A,
    dst: tuple[str, int] = B,
    *,
    flags: int = 16,
    seq: int | None = None,
    ack: int = 0,
    length: int = 0,
) -> Listed:
    """A segment as printed."""
    return Listed(
        number=1, time=0, src=src[0], dst=dst[0], sport=src[1], dport=dst[1], proto=6, flags=flags, seq=seq, ack=ack,
        length=length,
    )  # fmt: skip


def through(numbers: Numbers, *segments: Listed) -> list[tuple[int | None, int | None]]:
    """Numbers and acknowledgements as they are made."""
    for one in segments:
        numbers.tcpdump(one)
    return [(one.seq, one.ack) for one in segments]


def test_a_listing_that_begins_mid_connection() -> None:
    """Tcpdump prints the first segment that it sees as it is, and counts from it."""
    found = through(
        Numbers(),
        segment(seq=3_000_000_000, ack=7_000_000, length=100),
        segment(B, A, ack=100),
        segment(seq=100, ack=1, length=50),
    )

    assert [(3_000_000_000, 7_000_000), (7_000_000, 3_000_000_100), (3_000_000_100, 7_000_000)] == [
        (seq, ack) for seq, ack in found
    ]


def test_an_excerpt_without_its_beginning_is_consistent() -> None:
    """Small numbers all along are relative to one that nobody knows: they stay what they are."""
    found = through(
        Numbers(),
        segment(seq=5001, ack=1, length=100),
        segment(seq=5101, ack=1, length=100),
        segment(B, A, ack=5201),
    )

    assert [5001, 5101] == [seq for seq, _ in found[:2]]
    assert 5201 == found[2][1]


def test_numbers_wrap() -> None:
    """A base just below 2**32."""
    found = through(
        Numbers(),
        segment(flags=2, seq=4_294_967_290),
        segment(B, A, flags=18, seq=1_000_000_000, ack=4_294_967_291),
        segment(seq=1, ack=1, length=100),
        segment(B, A, ack=101),
    )

    assert [(4_294_967_291, 1_000_000_001), (1_000_000_001, 95)] == found[2:]


def test_a_second_connection_of_the_same_ports_has_its_own_base() -> None:
    """Its SYN begins anew; the same SYN once more does not."""
    numbers = Numbers()
    opened = (
        segment(flags=2, seq=1_000_000),
        segment(B, A, flags=18, seq=2_000_000_000, ack=1_000_001),
        segment(flags=2, seq=1_000_000),
        segment(ack=1),
    )
    again = (
        segment(flags=2, seq=9_000_000),
        segment(B, A, flags=18, seq=3_000_000_000, ack=9_000_001),
        segment(ack=1),
    )

    assert (1_000_001, 2_000_000_001) == through(numbers, *opened)[-1]
    assert (9_000_001, 3_000_000_001) == through(numbers, *again)[-1]


def test_the_only_connection_of_two_hosts() -> None:
    """Two of them, and neither is meant."""
    numbers = Numbers()
    numbers.plain(segment(seq=1, ack=1))
    assert (A, B) == numbers.only(A[0], B[0])
    assert (B, A) == numbers.only(B[0], A[0])
    numbers.plain(segment(("10.0.0.1", 2001), B, seq=1, ack=1))
    assert None is numbers.only(A[0], B[0])


def test_a_reply_of_arp_is_for_who_asked() -> None:
    """And for nobody where no one did."""
    asked = Asked()
    request = Listed(number=1, time=0, src="10.0.0.1", dst="10.0.0.2", proto=0, flags=1)
    replies = [
        Listed(number=2, time=0, src=of, dst=NOBODY, proto=0, flags=2) for of in ("10.0.0.2", "10.0.0.3")
    ]
    for packet in (request, *replies):
        asked.follow(packet)

    assert ["10.0.0.1", NOBODY] == [reply.dst for reply in replies]
