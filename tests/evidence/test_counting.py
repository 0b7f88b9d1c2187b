"""Counters in the order in which they grew, and what was counted in between."""

from __future__ import annotations

from analyzer.evidence.counting import Counters, Group, dotted, in_order, read


def counters(file: str, group: Group = "protocol", of: str = "", **values: int) -> Counters:
    """Make a snapshot; `Udp_InErrors` stands for `Udp.InErrors`."""
    named = {name.replace("__", "."): value for name, value in values.items()}
    return Counters(group=group, of=of, values=named, source="nstat", file=file)


def test_order() -> None:
    """What was counted tells which file is the later one, whatever they are called; gauges do not count."""
    late, early = (
        counters("a", Udp__InErrors=9, Tcp__CurrEstab=1),
        counters("b", Udp__InErrors=2, Tcp__CurrEstab=50),
    )
    other = counters("c", "interface", "eth0", rx_dropped=1)

    assert (other, early, late) == in_order([late, other, early])


def test_reading() -> None:
    """A counter rose between the first snapshot that has it and the last."""
    row = in_order(
        [counters("a", Udp__InErrors=9), counters("b", Udp__InErrors=2), counters("c", Ip__InReceives=1)]
    )
    (reading,) = read(row, "Udp.InErrors")

    assert (2, 9, 7, ("b", "a")) == (reading.first, reading.last, reading.rose, reading.files)
    assert () == read(row, "Udp.InCsumErrors")


def test_one_snapshot() -> None:
    """One value says how many there ever were, not how many there were lately."""
    (reading,) = read([counters("a", Udp__InErrors=9)], "Udp.InErrors")

    assert (9, None) == (reading.last, reading.rose)


def test_interfaces_apart() -> None:
    """Each interface has a reading of its own."""
    row = [
        counters("a", "interface", name, rx_dropped=number) for number, name in enumerate(("eth0", "eth1"))
    ]

    assert [("eth0", 0), ("eth1", 1)] == [(reading.of, reading.last) for reading in read(row, "rx_dropped")]
    assert ["eth1"] == [reading.of for reading in read(row, "rx_dropped", "eth1")]


def test_names() -> None:
    """The protocol is told from the counter, the longer name first."""
    said = ("UdpInCsumErrors", "Udp6InErrors", "IpExtInNoRoutes", "IpInReceives", "TcpExtPAWSEstab", "Other")

    assert [
        "Udp.InCsumErrors",
        "Udp6.InErrors",
        "IpExt.InNoRoutes",
        "Ip.InReceives",
        "TcpExt.PAWSEstab",
        "Other",
    ] == [dotted(name) for name in said]
