"""What tcpdump prints is read as the capture that it was printed from is."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.capture.listing.listed import Listed, Notes
from analyzer.capture.listing.tcpdump import packets
from tests.capture.listing.printing import compared
from tests.conftest import CASES

CAPTURES = (
    "snat-race/eth0",
    "next-hop/veth-a",
    "clean/cni0",
    "late-ack/eth0",
    "stale-entry/veth-a",
    "clean/eth0",
)
# Of a segment without data tcpdump prints no sequence number: what its sender sent next is right in all of these.
OPTIONS = {
    "plain": (["-tt"], ("frame", "ttl", "ip_id")),
    "link layer": (["-e", "-tttt"], ("frame", "ttl", "ip_id")),
    "verbose": (["-v", "-tt"], ("frame",)),
    "verbose, link layer": (["-ve", "-tt"], ("frame",)),
    "absolute": (["-S", "-tt"], ("frame", "ttl", "ip_id")),
    "times of day": ([], ("frame", "ttl", "ip_id", "time")),
    "since the packet before": (["-ttt"], ("frame", "ttl", "ip_id", "time")),
    "since the first": (["-ttttt"], ("frame", "ttl", "ip_id", "time")),
    "numbered": (["-#", "-tt"], ("ttl", "ip_id")),
}


@pytest.mark.tshark
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", CAPTURES)
def test_real_output(options: str, name: str, tmp_path: Path) -> None:
    """Every row, with every column that tcpdump was asked to print."""
    chosen, untold = OPTIONS[options]
    capture = CASES[name.split("/")[0]].folder / f"{name.split('/')[1]}.pcap"
    expected, actual = compared(["tcpdump", "-nn", *chosen], capture, tmp_path / "eth0.txt", *untold)

    assert expected == actual


@pytest.mark.tshark
@pytest.mark.parametrize("options", [["-ttt"], ["-ttttt"]])
def test_times_keep_their_distances(options: list[str], tmp_path: Path) -> None:
    """Whatever they count from, and though packets of several processors are out of order."""
    capture = CASES["snat-race"].folder / "eth0.pcap"
    expected, actual = compared(["tcpdump", "-nn", *options, "--nano"], capture, tmp_path / "eth0.txt")

    assert 2 > max(abs(e.time - expected[0].time - a.time) for e, a in zip(expected, actual, strict=True))


def read(*lines: str) -> tuple[list[Listed], Notes]:
    """Read some lines."""
    notes = Notes()
    return list(packets(enumerate(lines, 1), notes)), notes


def tcp(src: str, dst: str, rest: str) -> str:
    """A line of a segment."""
    return f"11:48:39.575820 IP {src} > {dst}: Flags {rest}, win 502, length 0"


def test_interfaces_of_any(tmp_path: Path) -> None:
    """Each packet says where it was seen; `?` is an interface that was gone."""
    found, notes = read(
        "11:48:44.888464 veth-a In  IP 10.244.0.11.20000 > 192.0.2.100.80: Flags [S], seq 5, win 64240, length 0",
        "11:48:44.888470 ?     Out IP 10.244.0.11.20000 > 192.0.2.100.80: Flags [S], seq 5, win 64240, length 0",
        "11:48:44.888480 eth0  Out ifindex 4 6a:a3:bb:af:02:e1 ethertype IPv4 (0x0800), length 80: "
        "192.0.2.10.20000 > 192.0.2.100.80: Flags [S], seq 5, win 64240, length 0",
    )

    assert ["veth-a", None, "eth0"] == [packet.interface for packet in found]
    assert bytes.fromhex("6aa3bbaf02e1") == found[2].mac_src
    assert 0 == notes.strange


def test_numbers_are_absolute_again() -> None:
    """SYN-ACK and SYN are printed as they are, what follows is relative to them; -S prints all as it is."""
    relative, _ = read(
        tcp("10.0.0.1.2000", "10.0.0.2.80", "[S], seq 1000"),
        tcp("10.0.0.2.80", "10.0.0.1.2000", "[S.], seq 9000000, ack 1001"),
        tcp("10.0.0.1.2000", "10.0.0.2.80", "[.], ack 1"),
        tcp("10.0.0.1.2000", "10.0.0.2.80", "[F.], seq 1, ack 1"),
        tcp("10.0.0.2.80", "10.0.0.1.2000", "[.], ack 2"),
    )
    absolute, _ = read(
        tcp("10.0.0.1.2000", "10.0.0.2.80", "[S], seq 1000"),
        tcp("10.0.0.2.80", "10.0.0.1.2000", "[S.], seq 9000000, ack 1001"),
        tcp("10.0.0.1.2000", "10.0.0.2.80", "[.], ack 9000001"),
        tcp("10.0.0.1.2000", "10.0.0.2.80", "[F.], seq 1001, ack 9000001"),
        tcp("10.0.0.2.80", "10.0.0.1.2000", "[.], ack 1002"),
    )

    expected = [(1000, None), (9000000, 1001), (1001, 9000001), (1001, 9000001), (9000001, 1002)]
    assert expected == [(packet.seq, packet.ack) for packet in relative]
    assert expected == [(packet.seq, packet.ack) for packet in absolute]


def test_midnight_is_the_next_day() -> None:
    """Times of day go on."""
    found, notes = read(
        "23:59:59.900000 IP 10.0.0.1.5 > 10.0.0.2.6: UDP, length 3",
        "00:00:00.100000 IP 10.0.0.1.5 > 10.0.0.2.6: UDP, length 3",
    )

    assert 200_000_000 == found[1].time - found[0].time
    assert notes.dateless


def test_what_a_tunnel_carries_is_the_packet() -> None:
    """VXLAN's inner packet stands on a line of its own, GRE's and IPIP's behind the outer addresses."""
    inner = "IP 10.244.0.11.20000 > 10.244.1.5.80: Flags [S], seq 5, win 64240, length 0"
    found, notes = read(
        "11:48:44.888464 IP 10.0.0.1.40000 > 10.0.0.2.8472: OTV, flags [I] (0x08), overlay 0, instance 1",
        inner,
        f"11:48:44.888465 IP 10.0.0.1 > 10.0.0.2: GREv0, length 64: {inner}",
        f"11:48:44.888466 IP 10.0.0.1 > 10.0.0.2: {inner}",
    )

    assert [("10.244.0.11", 20000, 5)] * 3 == [(packet.src, packet.sport, packet.seq) for packet in found]
    assert 0 == notes.strange


def test_an_error_quotes_with_v() -> None:
    """The header that the error is about stands on the lines below."""
    (found,), _ = read(
        "12:43:49.050407 IP (tos 0xc0, ttl 64, id 1, offset 0, flags [none], proto ICMP (1), length 88)",
        "    10.244.0.1 > 10.244.0.11: ICMP host 198.51.100.20 unreachable, length 68",
        "\tIP (tos 0x0, ttl 63, id 39752, offset 0, flags [DF], proto TCP (6), length 60)",
        "    10.244.0.11.30000 > 198.51.100.20.80: Flags [S], cksum 0x3575 (correct), seq 1780964248, win 64240, length 0",
    )

    assert ((3, 1), 60, 64, 1) == (found.icmp, found.length, found.ttl, found.ip_id)
    assert bytes.fromhex("75300050") == (found.payload or b"")[20:24]


def test_what_is_not_understood_is_counted_with_its_first_line() -> None:
    """Names for addresses, text between packets, a protocol that is not known."""
    found, notes = read(
        "11:48:44.888464 IP 10.0.0.1.5 > 10.0.0.2.6: UDP, length 3",
        "what is this?",
        "11:48:44.888464 IP client.example.http > 10.0.0.2.6: UDP, length 3",
        "11:48:44.888464 IP 10.0.0.1 > 10.0.0.2: something",
    )

    assert (1, 3, 2) == (
        sum(packet.src == "10.0.0.1" for packet in found),
        notes.strange,
        notes.first_strange,
    )


def test_a_question_of_dns_is_told_in_full() -> None:
    """Number, name and type; of other datagrams the payload is unknown."""
    (found,), notes = read(
        "11:48:44.888464 IP 10.244.0.11.40851 > 10.96.0.10.53: 4711+ AAAA? registry.example. (34)"
    )

    assert 34 == found.length
    assert (
        bytes.fromhex("1267 0100 0001 0000 0000 0000") + b"\x08registry\x07example\0\0\x1c\0\x01"
        == found.payload
    )
    assert "payload" in notes.lacks
