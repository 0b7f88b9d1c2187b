"""`tcpdump -i any` in SLL, which names no interface: the frames' addresses tell them apart."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from analyzer import Analysis, analyze
from tests.conversation import BRIDGE, UPLINK, Conversation, bystander

LINKS = [
    {"ifindex": 2, "ifname": "cni0", "address": BRIDGE, "addr_info": []},
    {"ifindex": 3, "ifname": "veth-z", "address": BRIDGE, "addr_info": []},
    {"ifindex": 4, "ifname": "eth0", "address": UPLINK, "addr_info": []},
]


def cooked(folder: Path, *talks: Conversation, points: tuple[str, ...] = (), name: str = "any") -> Path:
    """Write what `tcpdump -i any -y LINUX_SLL` records of these conversations, of all points or these."""
    own = {bytes.fromhex(mac.replace(":", "")) for mac in (BRIDGE, UPLINK)}
    records = []
    for point, time, frame in sorted(f for talk in talks for f in talk.frames()):
        if not points or point in points:
            sender = frame[6:12]
            header = struct.pack(">HHH", 4 if sender in own else 0, 1, 6) + sender + b"\0\0" + frame[12:14]
            records.append((time, header + frame[14:]))
    out = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 113)
    for time, data in sorted(records):
        out += struct.pack("<IIII", time // 10**9, time % 10**9, len(data), len(data)) + data
    (folder / f"{name}.pcap").write_bytes(out)
    return folder


def roles(analysis: Analysis) -> dict[str, str]:
    """Point to role."""
    return {point.name: point.role for point in analysis.capture_points}


def lost() -> Conversation:
    """A connection whose SYN dies between bridge and uplink."""
    talk = Conversation(pod="10.244.0.98:20000", server="192.0.2.100:81", way="veth-y cni0 | eth0", isn=77)
    talk.syn(1).lost_after("cni0")
    talk.syn(2).lost_after("cni0")
    return talk


def test_bridge_and_uplink(tmp_path: Path) -> None:
    """They are two points, named by the interface table, and a loss between them has its place."""
    cooked(tmp_path, lost(), *(bystander(at) for at in (0, 1.5, 3)))
    (tmp_path / "ip-link.json").write_text(json.dumps(LINKS))
    analysis = analyze(tmp_path)

    assert {"cni0": "bridge", "eth0": "uplink"} == roles(analysis)
    assert (4, 3, 1) == (analysis.account.connections, analysis.account.worked, analysis.account.node)
    assert {("cni0", "eth0")} == {incident.gap for incident in analysis.incidents}


def test_without_a_table(tmp_path: Path) -> None:
    """The traffic tells which of them is which; the file's name and a number name them."""
    analysis = analyze(cooked(tmp_path, lost(), *(bystander(at) for at in (0, 1.5, 3))))

    assert {"bridge", "uplink"} == set(roles(analysis).values())
    assert all(name.startswith("any (") for name in roles(analysis))
    assert (4, 3, 1) == (analysis.account.connections, analysis.account.worked, analysis.account.node)


def test_pod_to_pod_is_one_connection(tmp_path: Path) -> None:
    """A bridged packet comes in at one port and goes out at another of the same point."""
    talk = Conversation(pod="10.244.0.99:20000", server="10.244.0.12:80", way="veth-z veth-b")
    talk.syn(0.5)
    talk.accept()
    analysis = analyze(cooked(tmp_path, talk, *(bystander(at) for at in (0, 1.5, 3))))

    assert 4 == analysis.account.connections


def test_one_interface_stays_one_point(tmp_path: Path) -> None:
    """A file with one interface's packets, or one that is called as an interface, is that interface."""
    for name in ("any", "eth0"):
        (tmp_path / name).mkdir()
        cooked(
            tmp_path / name, bystander(0), bystander(1), points=("eth0",) if name == "any" else (), name=name
        )

        assert [name] == list(roles(analyze(tmp_path / name)))
