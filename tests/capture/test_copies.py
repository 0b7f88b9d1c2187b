"""Captures that are there twice: one of them is used, whatever they are called and however they are stored."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.capture import copies as module
from analyzer.capture.bundle import Bundle
from tests.conftest import FIXTURES

CNI0, ETH0 = ((FIXTURES / "snat-race" / name).read_bytes() for name in ("cni0.pcap", "eth0.pcap"))


def _left(folder: Path, files: dict[str, bytes], **options: dict[str, str]) -> set[str]:
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return {capture.label for capture in Bundle.open([folder], points=options.get("points")).captures}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cni0.pcap.gz", gzip.compress(CNI0)),
        ("cni0 (1).pcap", CNI0),
        ("copy/cni0.pcap", CNI0),
        ("bridge-copy.pcap", CNI0),
        ("x.pcap", CNI0),
        ("cni0-early.pcap", CNI0[:20_000]),
    ],
)
def test_a_copy_is_left_out(name: str, data: bytes, tmp_path: Path) -> None:
    """Compressed, under another name or in another folder, or made while the file was still growing."""
    left = _left(tmp_path, {"cni0.pcap": CNI0, "eth0.pcap": ETH0, name: data})

    assert 2 == len(left)
    assert "eth0.pcap" in left


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cni0.1.pcap", CNI0[:24] + CNI0[24 + 16 + int.from_bytes(CNI0[32:36], "little") :]),  # begins later
        ("cni0.1.pcap", CNI0[:20_000] + bytes(1) + CNI0[20_001:]),
        ("veth-a.pcap", CNI0),
        ("eth1.pcap", CNI0[:24]),
    ],
)
def test_what_differs_is_kept(name: str, data: bytes, tmp_path: Path) -> None:
    """Other packets, or a point of another role; captures without a packet are all alike."""
    assert 3 == len(_left(tmp_path, {"cni0.pcap": CNI0, "eth0.pcap": ETH0, name: data}))


def test_points_of_several_pods_are_kept(tmp_path: Path) -> None:
    """Two veths may have been flooded with the same; so are points that the user named."""
    assert {"veth-a.pcap", "veth-b.pcap"} == _left(tmp_path, {"veth-a.pcap": CNI0, "veth-b.pcap": CNI0})
    (tmp_path / "named").mkdir()
    named = {"points": {"a.pcap": "one", "b.pcap": "two"}}
    assert {"a.pcap", "b.pcap"} == _left(tmp_path / "named", {"a.pcap": CNI0, "b.pcap": CNI0}, **named)


def test_captures_that_begin_alike_are_compared_with_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are: each may have to be read whole."""
    compared: list[str] = []
    shorter = module._shorter
    monkeypatch.setattr(
        module, "_shorter", lambda one, other: (compared.append(other.label), shorter(one, other))[1]
    )
    files = {f"eth0.{number}.pcap": CNI0[:20_000] + bytes([number]) + CNI0[20_001:] for number in range(40)}

    assert 40 <= len(_left(tmp_path, files)) + 1
    assert len(compared) <= 40 * module.MOST


def test_nothing_is_counted_twice(tmp_path: Path) -> None:
    """Three copies change nothing but the caveats."""
    whole = {"cni0.pcap": CNI0, "eth0.pcap": ETH0}
    copied = {"x.pcap": CNI0, "bridge-copy.pcap": CNI0, "y.pcap.gz": gzip.compress(ETH0)}
    for name, files in (("one", whole), ("many", whole | copied)):
        (tmp_path / name).mkdir()
        assert {"cni0.pcap", "eth0.pcap"} == _left(tmp_path / name, files)
    one, many = analyze(tmp_path / "one"), analyze(tmp_path / "many")

    assert one.counts == many.counts
    assert 3 == len([said for said in many.caveats if " holds nothing but what " in said])
