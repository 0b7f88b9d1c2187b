"""A listing is a capture: its rows have its numbers, its caveats say what it leaves open."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.capture.bundle import Bundle
from analyzer.capture.points import Recording, record
from analyzer.capture.storage import Memory
from analyzer.report import evidence
from tests.capture.listing.printing import printed
from tests.conftest import CASES, analysed


def recorded(*paths: Path) -> list[Recording]:
    """Read listings as the captures of a bundle."""
    return record(Bundle.open(paths).captures, lambda _: {}, {}, lambda _: None, Memory())


def test_frames_are_the_listings_own() -> None:
    """117893 to 117914, as tshark numbered them."""
    (found,) = recorded(CASES["late-ack-seed"].folder / "eth0.txt")

    assert list(range(117893, 117915)) == found.packets.frame.tolist()
    assert {"ttl", "ip_id", "window", "payload"} == found.lacks


def test_caveats_name_the_line(tmp_path: Path) -> None:
    """One for what it cannot tell, one for what was not understood."""
    line = "1795175319.500000 IP 10.0.0.1.5 > 10.0.0.2.6: Flags [S], seq 5, win 64240, length 0\n"
    (tmp_path / "eth0.txt").write_text(line + "what?\n" + line)
    (found,) = recorded(tmp_path)

    assert (
        "eth0.txt: a packet listing without IP ID, TTL; these are not compared with other captures",
        "eth0.txt: 1 line was not understood, the first is line 2",
    ) == found.caveats


def test_the_evidence_capture_holds_its_packets(tmp_path: Path) -> None:
    """They are found again by the listing's numbers."""
    written = evidence.write(analysed("late-ack-seed"), tmp_path / "evidence.pcapng")

    assert (0, True) == (written.left_out, written.packets > 2)


@pytest.mark.tshark
@pytest.mark.parametrize(
    "command",
    [
        ["tcpdump", "-nn", "-tt"],
        ["tcpdump", "-nnvS", "-tttt"],
        ["tshark", "-n", "-t", "e"],
        ["tshark", "-n", "-T", "json"],
    ],
    ids=["tcpdump", "tcpdump -v", "tshark", "tshark -T json"],
)
@pytest.mark.parametrize(
    "listings", [("cni0", "eth0"), ("eth0",)], ids=["listings alone", "beside a capture"]
)
def test_a_race_in_listings(command: list[str], listings: tuple[str, ...], tmp_path: Path) -> None:
    """What the captures tell, listings of them tell, too; relative numbers beside absolute ones accuse nobody."""
    folder, relative = CASES["snat-race"].folder, command[:4] == ["tshark", "-n", "-t", "e"]
    for path in CASES["snat-race"].captures:
        if path.stem in listings:
            printed(command, path, tmp_path / f"{path.stem}.txt")
        elif path.stem == "cni0":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    for path in folder.iterdir():
        if ".pcap" not in path.name and path.name not in ("case.toml", "truth.json"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    analysis = analyze(tmp_path)
    vanished = sum(len(incident.findings) for incident in analysis.incidents)

    beside = "cni0" not in listings

    assert vanished == (0 if relative and beside else CASES["snat-race"].expect["counts"]["syn_vanished"])
