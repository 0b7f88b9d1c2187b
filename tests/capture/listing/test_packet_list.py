"""The packet list of tshark and Wireshark is read as the capture that it was printed from is."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.capture.listing.listed import Listed, Notes
from analyzer.capture.listing.packet_list import packets, shifts
from tests.capture.listing.printing import compared
from tests.conftest import CASES

ABSOLUTE = ["-o", "tcp.relative_sequence_numbers:FALSE"]


def read(*lines: str) -> tuple[list[Listed], Notes]:
    """Read some lines."""
    notes = Notes()
    numbered = list(enumerate(lines, 1))
    return list(packets(numbered, notes, shifts(numbered))), notes


@pytest.mark.tshark
@pytest.mark.parametrize("name", ["snat-race/eth0", "next-hop/veth-a", "late-ack/eth0"])
@pytest.mark.parametrize(
    ("options", "untold"),
    [
        (["-t", "e", *ABSOLUTE], ()),
        (["-t", "ad", *ABSOLUTE], ()),
        (["-t", "e"], ("seq", "ack")),
        ([*ABSOLUTE], ("time",)),
    ],
    ids=["epoch", "date", "relative numbers", "relative times"],
)
def test_real_output(options: list[str], untold: tuple[str, ...], name: str, tmp_path: Path) -> None:
    """Every row with what its columns tell; windows as they were sent, since the SYNs tell their shifts."""
    capture = CASES[name.split("/")[0]].folder / f"{name.split('/')[1]}.pcap"
    expected, actual = compared(
        ["tshark", "-n", *options], capture, tmp_path / "eth0.txt", "ttl", "ip_id", *untold
    )

    assert expected == actual


LINE = "{0} 1.000000 10.0.0.1 → 10.0.0.2 TCP 66 2000 → 80 [ACK] Seq={1} Ack=1 Win={2} Len=0 TSval=7 TSecr=8"


@pytest.mark.parametrize(
    "line",
    [
        "    4 0.205498894   192.0.2.10 → 192.0.2.100  TCP 74 20000 → 80 [SYN] Seq=0 Win=64240 Len=0 MSS=1460",
        "      4 0.205498894    192.0.2.10            192.0.2.100           TCP      74     20000 → 80 [SYN] Seq=0 Win=64240 "
        "Len=0 MSS=1460",
        "4 0.205498894 192.0.2.10 -> 192.0.2.100 TCP 74 20000 > 80 [SYN] Seq=0 Win=64240 Len=0 MSS=1460",
        "4   0.205498894   192.0.2.10 -> 192.0.2.100  TCP 74 20000→http [SYN] Seq=0 Win=64240 Len=0 MSS=1460",
        "4 0.205498894 192.0.2.10 → 192.0.2.100 TCP 74 [TCP Retransmission] [TCP Port numbers reused] 20000 → 80 [SYN] Seq=0 "
        "Win=64240 Len=0 MSS=1460",
        '"4","0.205498894","192.0.2.10","192.0.2.100","TCP","74","20000  >  80 [SYN] Seq=0 Win=64240 Len=0 MSS=1460"',
    ],
    ids=["tshark", "Wireshark", "older", "no spaces", "marked", "CSV"],
)
def test_forms_of_a_line(line: str) -> None:
    """What various releases print, export and mark."""
    (found,), notes = read(line)

    assert (4, 205498894, "192.0.2.10", 20000, 80, 2) == (
        found.number, found.time, found.src, found.sport, found.dport, found.flags
    )  # fmt: skip
    assert (bytes.fromhex("020405b4"), True, 0) == (found.options, notes.relative, notes.strange)


def test_windows_larger_than_a_header_holds_are_scaled() -> None:
    """Without the SYNs the least shift is taken that fits all of a side's windows."""
    found, notes = read(LINE.format(1, 26, 173056), LINE.format(2, 26, 8397824))

    assert [676, 32804] == [packet.window for packet in found]
    assert "window" in notes.lacks


def test_a_segment_told_by_what_it_carries_is_next_in_line() -> None:
    """Of the only connection between two hosts; of two it could be of either."""
    http = "3 1.2 10.0.0.1 → 10.0.0.2 HTTP 166 GET / HTTP/1.1"
    found, notes = read(LINE.format(1, 26, 500), http)
    assert (26, 1, 100, 2000) == (found[1].seq, found[1].ack, found[1].length, found[1].sport)
    assert (1, 0) == (notes.inferred, notes.portless)

    found, notes = read(LINE.format(1, 26, 500), LINE.format(2, 5, 500).replace("2000", "2001"), http)
    assert (2, 0, 1) == (len(found), notes.inferred, notes.portless)


def test_dns_has_no_ports_in_the_list() -> None:
    """Such lines are counted, not guessed at; and so are those that are none."""
    found, notes = read(
        "1 0.1 10.0.0.1 → 10.0.0.2 DNS 76 Standard query 0x0001 A registry.example", "...", "prose"
    )

    assert ([], 1, 1, 3) == (found, notes.portless, notes.strange, notes.first_strange)
