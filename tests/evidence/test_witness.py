"""Drop records and lost packets: who belongs together, and who cannot be told."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from analyzer.evidence.drops import DropRecord
from analyzer.evidence.witness import LostPacket, join

SECOND = 10**9


def record(at: int | None = None, **told: Any) -> DropRecord:
    """Make a record of wall time; by default as tracefs tells a race's loss."""
    told = {
        "reason": "NETFILTER_DROP",
        "location": "nf_hook_slow",
        "hook": "POSTROUTING",
        "version": 4,
    } | told
    return DropRecord(file="a", line=1, source="tracefs", time=at, clock="wall", offset=0, **told)


def syn(port: int, at: int = 0, **other: Any) -> LostPacket:
    """Make a lost SYN that is sent again a second later."""
    fields: dict[str, Any] = {
        "seq": port * 7,
        "ip_id": port % 65536,
        "last_seen_ns": at,
        "next_ns": at + SECOND,
    }
    return LostPacket("tcp", "10.0.0.1", "192.0.2.1", port, 80, **(fields | other))


def told(loss: LostPacket, at: int | None = None, **other: Any) -> DropRecord:
    """Make a loss's own record."""
    fields: dict[str, Any] = {
        "proto": loss.proto, "src": loss.src, "dst": loss.dst, "sport": loss.sport, "dport": loss.dport,
        "seq": loss.seq, "ip_id": loss.ip_id,
    }  # fmt: skip
    return record(at, **(fields | other))


def test_addresses() -> None:
    """The same packet needs no time at all."""
    one, other = syn(4000), syn(4001)
    mine = told(one)
    assert {1: mine} == join([mine], [other, one])


def test_translated_source() -> None:
    """In POSTROUTING the source is the node's already; destination and numbers stay."""
    loss = syn(4000)
    mine = told(loss, src="192.0.2.10", sport=61000)
    assert {0: mine} == join([mine], [loss])


def test_both_ends_translated() -> None:
    """A service behind the node: sequence number and IP ID are 48 bits; one of them alone is not enough."""
    loss = syn(4000)
    mine = told(loss, src="192.0.2.10", dst="10.0.0.9", dport=8080)
    assert {0: mine} == join([mine], [loss])
    assert {} == join([told(loss, src="192.0.2.10", dst="10.0.0.9", dport=8080, ip_id=None)], [loss])
    query = loss._replace(proto="udp", seq=None)
    assert {} == join([told(query, src="192.0.2.10", dst="10.0.0.9", dport=8080)], [query])


def test_less_than_the_packet() -> None:
    """A rule's trace has no sequence number, Cilium no numbers at all and no time: the packet is found by what is told."""
    one, again, other = syn(4000), syn(4000, SECOND, ip_id=4001), syn(4002)
    traced = told(one, seq=None)
    assert {0: traced} == join([traced], [one, again, other])
    named = told(one, seq=None, ip_id=None)
    assert {0: named} == join([named], [one, again, other])
    assert {} == join([told(one, seq=None, ip_id=None, src="192.0.2.10", sport=61000)], [one, again, other])
    ping = LostPacket("icmp", "10.0.0.1", "192.0.2.1")
    assert {} == join([told(ping)], [ping]), "another one of these two hosts would be told alike"


def test_translated_without_numbers() -> None:
    """One end that translation left and the time find a packet; where two were on their way, nothing does."""
    loss = syn(4000)
    by_target = told(loss, 5, seq=None, ip_id=None, src="192.0.2.10", sport=61000)
    by_source = told(loss, 5, seq=None, ip_id=None, dst="10.0.0.9", dport=8080)
    for mine in (by_target, by_source):
        assert {0: mine} == join([mine], [loss])
        assert {} == join([mine], [loss, syn(4000, ip_id=4001)])
        assert {} == join([mine], [syn(4000, at=6)])


def test_contradictions() -> None:
    """Another sequence number, IP ID or protocol is another packet, whatever else agrees."""
    loss = syn(4000)
    for other in ({"seq": 1}, {"ip_id": 1}, {"proto": "udp", "seq": None}):
        assert {} == join([told(loss, 5, **other)], [loss])


def test_repeated_packet() -> None:
    """The same SYN lost twice over IPv6, which has no ID: each record is of the attempt next to it."""
    first = syn(4000, ip_id=None)
    second = first._replace(last_seen_ns=SECOND, next_ns=3 * SECOND)
    early, late = told(first, 30_000), told(first, SECOND - 5_000)  # the clocks differ by some microseconds
    assert {0: early, 1: late} == join([late, early], [first, second])
    assert {} == join([told(first, SECOND // 2)], [first, second]), "as near to the one as to the other"


def test_udp_without_id() -> None:
    """Only the time tells packets of one flow apart; with two that were on their way nobody can."""
    first = LostPacket("udp", "2001:db8::1", "2001:db8::2", 5000, 53, last_seen_ns=0, next_ns=5 * SECOND)
    mine = told(first, SECOND, version=6)
    assert {0: mine} == join([mine], [first])
    assert {} == join([mine], [first, first._replace(last_seen_ns=1)])
    assert {} == join([told(first, 9 * SECOND, version=6)], [first])


def test_uncertain_records_prove_nothing() -> None:
    """A last sign of a packet is no drop."""
    loss = syn(4000)
    hint = told(loss, certain=False)
    assert {} == join([hint], [loss])
    assert {0: hint} == join([hint], [loss], certain=False)


def test_by_order() -> None:
    """Without addresses: one record between sighting and repetition; none before or after it."""
    loss = syn(4000, at=100)
    for at in (100, 130, 100 + SECOND):
        assert {0: record(at)} == join([record(at)], [loss])
    v6 = loss._replace(src="2001:db8::1", dst="2001:db8::2")
    assert {0: record(130, version=6)} == join([record(130, version=6)], [v6])
    assert {} == join([record(99)], [loss])
    assert {} == join([record(101 + SECOND)], [loss])
    assert {} == join([record(130), record(140)], [loss]), "one of them is another packet's"
    assert {} == join([record(130, version=6)], [loss])
    assert {} == join([record(None)], [loss])


def test_by_order_one_after_the_other() -> None:
    """Each is dropped before the next one comes, though all are repeated much later."""
    losses = [syn(4000 + n, at=1000 * n) for n in range(20)]
    records = [record(1000 * n + 30, cpu=n) for n in range(20)]
    assert dict(enumerate(records)) == join(records[::-1], losses)


def test_by_order_at_once() -> None:
    """Two at once: whose record is whose does not matter while both say the same; else nobody can tell."""
    losses = [syn(4000, at=0), syn(4001, at=10)]
    assert {0, 1} == join([record(30), record(40)], losses).keys()
    assert {} == join([record(30), record(40, hook="FORWARD")], losses)


def test_by_order_of_different_drops() -> None:
    """One was dropped before the next was seen: each has its own record, whatever that says."""
    losses = [syn(4000, at=0), syn(4001, at=100)]
    records = [record(30), record(130, hook="FORWARD")]
    assert dict(enumerate(records)) == join(records, losses)


def test_by_order_far_apart() -> None:
    """A record too many among the first losses makes the later ones no less certain, nor does one that never ends."""
    first, later = syn(4000, at=0), syn(4001, at=10 * SECOND)
    records = [record(30), record(40), record(10 * SECOND + 30)]
    assert {1: records[2]} == join(records, [first, later])
    assert {0: records[0], 1: records[2]} == join(records[::2], [first, later])
    assert {1: records[2]} == join(records, [first._replace(next_ns=None), later])
    assert {0: records[0], 1: records[2]} == join(records[::2], [first._replace(next_ns=None), later])


def test_by_order_among_drops_of_others() -> None:
    """Packets that were not captured were dropped as well: what all records say while a packet can have died is true of it."""
    losses = [syn(4000, at=SECOND), syn(4001, at=SECOND + 50)]
    alike = [record(SECOND * n // 4) for n in range(1, 12)]
    other = record(SECOND + 60, hook="FORWARD")

    assert {0: alike[3], 1: alike[4]} == join(alike, losses)
    assert {} == join([*alike, other], losses), "one of them died otherwise"
    assert {} == join(alike[4:], losses), "recording may have begun later"
    assert {} == join([alike[0], alike[6]], losses), "a record is missing"


def test_copies_of_packets_that_arrived_do_not_count() -> None:
    """A closing socket frees what it got."""
    noise = record(40, reason="QUEUE_PURGE", location="sk_stream_kill_queues", hook=None)
    closed = record(40, reason="NOT_SPECIFIED", location="tcp_v4_rcv", hook=None)
    loss = syn(4000, at=0)
    assert {0: record(30)} == join([record(30), noise, closed], [loss])
    assert {} == join([noise], [loss]) == join([closed], [loss])


def test_two_tools_beside_each_other() -> None:
    """Records with addresses are better; the others are joined to what these miss, and count all losses."""
    losses = [syn(4000, at=0), syn(4001, at=1000)]
    exact = told(losses[0], 31)
    assert {0: exact, 1: record(1030)} == join([record(30), record(1030), exact], losses)


@given(st.data())
def test_never_another_packets_record(data: st.DataObject) -> None:
    """Whatever is recorded, lost or missing: a record with addresses goes to its own packet, and no record to two."""
    count = data.draw(st.integers(0, 6))
    losses = [
        syn(4000 + n % 3, at=n * data.draw(st.sampled_from((10, SECOND))), ip_id=n + 1) for n in range(count)
    ]
    records = []
    for number in data.draw(st.lists(st.integers(0, 9), max_size=8)):
        if number < count:
            records.append(told(losses[number], losses[number].last_seen_ns + 5, cpu=number))
        else:
            records.append(record(data.draw(st.integers(0, 3 * SECOND)), cpu=number))
    found = join(records, losses)
    for number, mine in found.items():
        if mine.src:
            assert number == mine.cpu
        else:
            loss = losses[number]
            assert loss.last_seen_ns <= (mine.wall or 0) <= (loss.next_ns or 0)
    assert len(found) == len({id(mine) for mine in found.values()})


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=12), st.randoms())
def test_order_does_not_matter(gaps: list[int], dice: Any) -> None:
    """Shuffled records and losses give the same."""
    at, losses, records = 0, [], []
    for number, gap in enumerate(gaps):
        at += gap
        losses.append(syn(4000 + number, at=at))
        records.append(record(at + dice.randint(0, 2000), cpu=number))
    found = {losses[n]: r for n, r in join(records, losses).items()}
    order = list(range(len(losses)))
    dice.shuffle(order)
    dice.shuffle(records)
    again = join(records, [losses[n] for n in order])
    assert found.keys() == {losses[order[n]] for n in again}
    assert sorted(r.time or 0 for r in found.values()) == sorted(r.time or 0 for r in again.values())


@given(st.lists(st.integers(50, 5000), min_size=1, max_size=30))
def test_what_order_forces_is_found(gaps: list[int]) -> None:
    """Where every loss has its record before the next loss is seen, all are joined rightly."""
    at, losses, records = 0, [], []
    for number, gap in enumerate(gaps):
        losses.append(syn(4000 + number, at=at))
        records.append(record(at + gap // 2, cpu=number))
        at += gap
    assert dict(enumerate(records)) == join(records, losses)
