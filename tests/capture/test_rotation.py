"""Files that follow each other are one point, files that overlap never are."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer.capture.bundle import Bundle
from analyzer.capture.rotation import candidates, in_order
from tests.capture.test_decoder import segment
from tests.capture.test_points import named, raw, recordings
from tests.capture.test_reader import enhanced, pcap, section


def test_one_suffix_is_not_one_point(tmp_path: Path) -> None:
    """`web-eth0.pcap` and `worker1-eth0.pcap` of one time are two points; which is which the traffic tells."""
    for name in ("web", "worker1"):
        (tmp_path / f"{name}-eth0.pcap").write_bytes(raw(1, 2, 3))
    found = recordings(tmp_path)

    assert {"web-eth0": None, "worker1-eth0": None} == {name: r.role for name, r in found.items()}


def test_what_looks_rotated_and_overlaps(tmp_path: Path) -> None:
    """`eth0.pcap` of the pod and `eth0-1.pcap` of the node, and a caveat that says so."""
    (tmp_path / "eth0.pcap").write_bytes(raw(1, 2, 3))
    (tmp_path / "eth0-1.pcap").write_bytes(raw(4, 5, 6))
    found = recordings(tmp_path)

    assert {"eth0": [1, 2, 3], "eth0-1": [4, 5, 6]} == {
        name: (r.flows.ports >> 16).tolist() for name, r in found.items()
    }
    assert [
        "eth0, eth0-1: their files have one name, but recorded at the same time, so they are points of their own"
    ] == [caveat for r in found.values() for caveat in r.caveats]


def test_two_rotated_captures_of_one_name(tmp_path: Path) -> None:
    """Each keeps its own files, in their order."""
    for number in range(3):
        (tmp_path / f"web-eth0.pcap{number}").write_bytes(raw(1, 2, begin=10 * number))
        (tmp_path / f"worker-eth0.pcap{number}").write_bytes(raw(3, 4, begin=10 * number + 1))
    found = recordings(tmp_path)

    assert {"web-eth0": [0, 1, 10, 11, 20, 21], "worker-eth0": [1, 2, 11, 12, 21, 22]} == {
        name: (r.packets.time // 10**9).tolist() for name, r in found.items()
    }


def test_the_near_miss_a_few_packets_late(tmp_path: Path) -> None:
    """At the seam of a rotation packets may be a little out of order: one point, whose file stays whole."""
    late = [(n * 1000, 40, segment(n + 1)) for n in range(2000)]
    late[-1] = (2_000_500, 40, segment(1))
    (tmp_path / "eth0.pcap1").write_bytes(pcap(late, link=101))
    (tmp_path / "eth0.pcap2").write_bytes(pcap([(2_000_000 + n, 40, segment(3)) for n in range(9)], link=101))
    (found,) = recordings(tmp_path).values()

    assert 2009 == len(found.packets)


def test_the_same_moment_at_the_seam(tmp_path: Path) -> None:
    """Of a busy interface many packets have one timestamp; a capture of one moment alone is not followed in that moment."""
    (tmp_path / "eth0.pcap1").write_bytes(raw(1, 2, begin=0))
    (tmp_path / "eth0.pcap2").write_bytes(raw(3, begin=1))
    (tmp_path / "cni0.pcap1").write_bytes(raw(1))
    (tmp_path / "cni0.pcap2").write_bytes(raw(2))

    assert {"eth0": 3, "cni0.pcap1": 1, "cni0.pcap2": 1} == {
        n: len(r.packets) for n, r in recordings(tmp_path).items()
    }


@pytest.mark.parametrize("second", ["eth0.pcapng", "later.pcapng"])
def test_two_programs_one_after_the_other(second: str, tmp_path: Path) -> None:
    """A file of tcpdump and a later one of dumpcap, which names the interface: one point, whatever the file is called."""
    (tmp_path / "eth0.pcap").write_bytes(raw(1))
    (tmp_path / second).write_bytes(section() + named("eth0") + enhanced(0, 10**7, segment(1)))
    (found,) = recordings(tmp_path).values()

    assert ("eth0", "uplink", 2, 1) == (found.name, found.role, len(found.packets), len(found.flows))


def test_two_programs_at_once(tmp_path: Path) -> None:
    """The near miss: the files overlap."""
    (tmp_path / "eth0.pcap").write_bytes(raw(1, 2))
    (tmp_path / "eth0.pcapng").write_bytes(section() + named("eth0") + enhanced(0, 5 * 10**5, segment(1)))

    assert 2 == len(recordings(tmp_path))


def test_a_file_that_is_gone_has_no_time(tmp_path: Path) -> None:
    """It comes first, and costs the others nothing."""
    for number in (1, 2):
        (tmp_path / f"eth0.pcap{number}").write_bytes(raw(number, begin=number))
    ((first, second),) = candidates(Bundle.open([tmp_path]).captures)
    (tmp_path / "eth0.pcap2").unlink()

    assert [(None, "eth0.pcap2"), (10**9, "eth0.pcap1")] == [
        (time, capture.label) for time, capture in in_order([first, second])
    ]


NODE, OTHER, ROUTER, SECOND, BRIDGE, POD = (bytes([2 * n]) * 6 for n in range(1, 7))


def folders(tmp_path: Path, **frames: dict[str, list[bytes]]) -> list[list[str]]:
    """Which files of folders are put together; the folders' captures follow each other in time."""
    for hour, (folder, points) in enumerate(frames.items()):
        (tmp_path / folder).mkdir()
        for point, stations in points.items():
            rows = [(hour * 10**13 + n, 12, frame) for n, frame in enumerate(stations)]
            (tmp_path / folder / f"{point}.pcap").write_bytes(pcap(rows, link=1))
    return sorted(
        sorted(file.label for file in files) for files in candidates(Bundle.open([tmp_path]).captures)
    )


def test_folders_of_two_nodes(tmp_path: Path) -> None:
    """Their interfaces have one name and other stations: none goes on in the other's file."""
    first = {"eth0": [NODE + ROUTER, SECOND + NODE], "cni0": [BRIDGE + POD]}
    second = {"eth0": [OTHER + ROUTER, SECOND + OTHER], "cni0": [OTHER + POD[:5] + b"\x01"]}
    third = {"eth0": [NODE + SECOND, ROUTER + NODE]}

    assert [["a/cni0.pcap"], ["a/eth0.pcap", "c/eth0.pcap"], ["b/cni0.pcap"], ["b/eth0.pcap"]] == folders(
        tmp_path, a=first, b=second, c=third
    )


@pytest.mark.parametrize(
    "second",
    [
        {"eth0": [NODE + ROUTER], "cni0": [OTHER + POD[:5] + b"\x01"]},
        {"eth0": [NODE + SECOND, ROUTER + NODE], "cni0": [BRIDGE + POD]},
        {"eth0": [b"\x01" + NODE[:5] + ROUTER]},
    ],
    ids=["its bridge was made anew", "its router was exchanged", "nothing tells"],
)
def test_the_near_miss_folders_of_one_node(tmp_path: Path, second: dict[str, list[bytes]]) -> None:
    """The same node later is one point, whatever else is new."""
    first = {"eth0": [NODE + ROUTER], "cni0": [BRIDGE + POD]}
    found = folders(tmp_path, a=first, b=second)

    assert ["a/eth0.pcap", "b/eth0.pcap"] in found
