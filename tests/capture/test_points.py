"""Recordings: files joined, interfaces split, names given, nothing lost."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from analyzer import analyze
from analyzer.capture.bundle import Bundle
from analyzer.capture.decoder import MAX_IFACES
from analyzer.capture.interfaces import BEYOND
from analyzer.capture.link import Link
from analyzer.capture.points import Recording, record
from analyzer.capture.storage import Memory
from analyzer.errors import UnusableInput
from tests.capture.test_decoder import segment
from tests.capture.test_reader import block, enhanced, interface, option, pcap, section
from tests.conversation import Conversation
from tests.conversation import record as write


def recordings(*paths: Path, roles: dict[str, str] | None = None, **options: object) -> dict[str, Recording]:
    """Record the captures under these paths, by the point's name."""
    made = record(Bundle.open(paths, **options).captures, lambda _: {}, roles or {}, lambda _: None, Memory())  # type: ignore[arg-type]
    names = [recording.name for recording in made]
    assert len(set(names)) == len(names)
    return {recording.name: recording for recording in made}


def raw(*ports: int, begin: int = 0, link: int = 101) -> bytes:
    """Write a capture of one SYN per port, a second apart."""
    frames = [segment(port) for port in ports]
    return pcap([((begin + i) * 10**9, len(frame), frame) for i, frame in enumerate(frames)], link=link)


def named(name: str, link: int = 101) -> bytes:
    """Write an Interface Description Block with an if_name."""
    return interface(link=link, options=option(2, name.encode()))


def test_one_recording_per_point(tmp_path: Path) -> None:
    """Names and roles come from the files' names."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    talk.syn()
    talk.accept()
    found = recordings(write(tmp_path, talk, names={"veth-a": "veth1a2b", "eth0": "node7.eth0"}))

    assert {"veth1a2b": "pod", "cni0": "bridge", "eth0": "uplink"} == {n: r.role for n, r in found.items()}
    assert [3, 3, 3] == [len(r.packets) for r in found.values()]
    assert ["node7.eth0.pcap"] == [file.label for file in found["eth0"].files]


def test_rotated_files_are_joined_in_time_order(tmp_path: Path) -> None:
    """Order is by the first packet, whatever the names say; a row leads back to its file and frame."""
    (tmp_path / "eth0.pcap1").write_bytes(raw(3, 4, begin=20))
    (tmp_path / "eth0.pcap2").write_bytes(raw(1, 2, begin=10))
    (tmp_path / "eth0.pcap3").write_bytes(raw())
    (found,) = recordings(tmp_path).values()

    assert [10, 11, 20, 21] == (found.packets.time // 10**9).tolist()
    assert ["eth0.pcap2", "eth0.pcap2", "eth0.pcap1", "eth0.pcap1"] == [
        found.locate(r)[0].name for r in range(4)
    ]
    assert [1, 2, 1, 2] == [found.locate(r)[1] for r in range(4)]


def test_interfaces_of_a_file_are_split(tmp_path: Path) -> None:
    """Every interface of a pcapng is a point; rows keep the file's frame numbers; flows are renumbered."""
    blocks = [enhanced(i % 2, i, segment(i // 2)) for i in range(6)]
    (tmp_path / "node.pcapng").write_bytes(section() + named("veth1") + named("eth0") + b"".join(blocks))
    found = recordings(tmp_path)

    assert {"veth1", "eth0"} == set(found)
    assert [1, 3, 5] == found["veth1"].packets.frame.tolist()
    assert [2, 4, 6] == found["eth0"].packets.frame.tolist()
    for recording in found.values():
        assert [0, 1, 2] == recording.packets.flow.tolist()
        assert [0, 1, 2] == (recording.flows.ports >> 16).tolist()


def test_interface_of_one_name_in_two_files_is_one_point(tmp_path: Path) -> None:
    """Rotated pcapng files may number their interfaces differently."""
    (tmp_path / "node_00001.pcapng").write_bytes(
        section() + named("veth1") + named("eth0") + enhanced(0, 1, segment(1)) + enhanced(1, 2, segment(1))
    )
    (tmp_path / "node_00002.pcapng").write_bytes(
        section() + named("eth0") + named("veth1") + enhanced(0, 3, segment(2)) + enhanced(1, 4, segment(2))
    )
    found = recordings(tmp_path)

    assert {"veth1": [1, 2], "eth0": [1, 2]} == {n: (r.flows.ports >> 16).tolist() for n, r in found.items()}
    assert [("node_00001.pcapng", 2), ("node_00002.pcapng", 1)] == [
        (file.name, frame) for file, frame in map(found["eth0"].locate, range(2))
    ]


@pytest.mark.parametrize("strange", [0, 1], ids=["first", "second"])
def test_interface_with_nothing_readable_is_counted(strange: int, tmp_path: Path) -> None:
    """Frames of an interface whose link type is unknown are counted, though none of them is a row."""
    links = [101, 101]
    links[strange] = 189
    blocks = [enhanced(i % 2, i, segment(i)) for i in range(6)]
    head = section() + named("veth1", links[0]) + named("eth0", links[1])
    (tmp_path / "node.pcapng").write_bytes(head + b"".join(blocks))
    found = recordings(tmp_path)

    assert 3 == sum(len(r.packets) for r in found.values())
    assert {"unknown link type": 3} == found[("veth1", "eth0")[strange]].skipped


def test_interfaces_without_anything_readable(tmp_path: Path) -> None:
    """Each is a point, and counts its own frames."""
    head = section() + named("veth1", 189) + named("eth0", 190)
    (tmp_path / "node.pcapng").write_bytes(head + b"".join(enhanced(i % 2, i, segment(i)) for i in range(6)))
    found = recordings(tmp_path)

    assert {"veth1": 0, "eth0": 0} == {name: len(r.packets) for name, r in found.items()}
    assert [{"unknown link type": 3}] * 2 == [r.skipped for r in found.values()]


def test_any_capture_is_split_by_interface_number(tmp_path: Path) -> None:
    """`tcpdump -i any`: names from the interface table, else the number; odd frames are counted once."""

    def cooked(number: int, packet: bytes, kind: bytes = b"\x08\0") -> bytes:
        return kind + b"\0\0" + number.to_bytes(4, "big") + b"\0\1\0\6" + bytes(8) + packet

    frames = [
        cooked(3, segment(1)),
        cooked(4, segment(1)),
        cooked(3, segment(2)),
        cooked(9, b"", b"\x88\xcc"),
    ]
    (tmp_path / "any.pcap").write_bytes(pcap([(i, len(f), f) for i, f in enumerate(frames)], link=276))
    links = {3: Link(index=3, name="cni0", mac="02:00:00:00:00:01", addresses=(), file="ip-link.json")}
    found = {
        r.name: r
        for r in record(Bundle.open([tmp_path]).captures, lambda _: links, {}, lambda _: None, Memory())
    }

    assert {"cni0": "bridge", "interface 4": None} == {name: r.role for name, r in found.items()}
    assert [1, 3] == found["cni0"].packets.frame.tolist()
    assert [{"not IP or ARP": 1}] == [r.skipped for r in found.values() if r.skipped]


@pytest.mark.parametrize(("name", "warned"), [("any", True), ("capture-node-1", True), ("eth0", False)])
def test_cooked_capture_of_the_old_form(name: str, warned: bool, tmp_path: Path) -> None:
    """SLL is one point, and what may be several interfaces is said to be so; a file named as one interface is that."""
    frame = b"\0\0\0\1\0\6" + bytes(8) + b"\x08\0" + segment(1)
    (tmp_path / f"{name}.pcap").write_bytes(pcap([(0, len(frame), frame)], link=113))
    (found,) = recordings(tmp_path).values()

    assert 1 == len(found.packets)
    assert warned == any("record anew with tcpdump -i any -y LINUX_SLL2" in says for says in found.caveats)


def test_drops_are_told_per_interface(tmp_path: Path) -> None:
    """The statistics blocks of a pcapng say what the capturing program lost, where."""
    lost = block(5, bytes.fromhex("01000000") + bytes(8) + option(5, (7).to_bytes(8, "little")))
    (tmp_path / "node.pcapng").write_bytes(
        section()
        + named("veth1")
        + named("eth0")
        + enhanced(0, 1, segment(1))
        + enhanced(1, 2, segment(1))
        + lost
    )

    assert {"veth1": None, "eth0": 7} == {name: r.dropped for name, r in recordings(tmp_path).items()}


def test_drops_that_cannot_be(tmp_path: Path) -> None:
    """A counter of 64 bits that is all ones is told as it is, and in the table as far as it goes."""
    lost = block(5, bytes(4) + bytes(8) + option(5, b"\xff" * 8))
    (tmp_path / "eth0.pcapng").write_bytes(section() + named("eth0") + enhanced(0, 1, segment(1)) + lost * 2)
    (tmp_path / "cni0.pcap").write_bytes(raw(1))

    assert [2**64 - 1] == [r.dropped for r in recordings(tmp_path).values() if r.dropped]
    assert 2**63 - 1 == analyze(tmp_path).points.dropped.max()


def test_damage_is_told_once(tmp_path: Path) -> None:
    """A file cut short in the middle of a record yields the whole ones and one caveat."""
    (tmp_path / "node.pcapng").write_bytes(
        (
            section()
            + named("veth1")
            + named("eth0")
            + enhanced(0, 1, segment(1))
            + enhanced(1, 2, segment(1))
        )[:-3]
    )
    found = recordings(tmp_path)
    caveats = [caveat for recording in found.values() for caveat in recording.caveats]

    assert [1] == [len(r.packets) for r in found.values()]
    assert 1 == len(caveats)
    assert caveats[0].startswith("node.pcapng: frame 2 at byte ")


def test_two_points_of_one_name(tmp_path: Path) -> None:
    """eth0 of a pod and eth0 of the node, both told by pcapng: the files' names keep them apart."""
    for name in ("left", "right"):
        (tmp_path / f"{name}.pcapng").write_bytes(section() + named("eth0") + enhanced(0, 1, segment(1)))

    assert {"left/eth0", "right/eth0"} == set(recordings(tmp_path))


def test_roles_are_overridden(tmp_path: Path) -> None:
    """The user's word goes before the name's, for the point and for the role."""
    (tmp_path / "a.pcap").write_bytes(raw(1))
    (tmp_path / "eth0.pcap").write_bytes(raw(1))
    found = recordings(tmp_path, roles={"eth0": "pod", "bridge7": "bridge"}, points={"a.pcap": "bridge7"})

    assert {"bridge7": "bridge", "eth0": "pod"} == {name: r.role for name, r in found.items()}


def test_a_file_that_vanished_is_said(tmp_path: Path) -> None:
    """A file that cannot be opened any more is an error of ours, not a traceback."""
    (tmp_path / "eth0.pcap").write_bytes(raw(1))
    captures = Bundle.open([tmp_path]).captures
    (tmp_path / "eth0.pcap").unlink()

    with pytest.raises(UnusableInput, match=r"^eth0.pcap: cannot be read: No such file"):
        record(captures, lambda _: {}, {}, lambda _: None, Memory())


def test_more_interfaces_than_lanes(tmp_path: Path) -> None:
    """Packets of interfaces past some thousand are left out, and one caveat counts them: whose they are is not guessed."""
    described = b"".join(named(f"veth{n}") for n in range(MAX_IFACES + 3))
    blocks = b"".join(enhanced(n, n, segment(n)) for n in (0, MAX_IFACES - 1, MAX_IFACES, MAX_IFACES + 2))
    (tmp_path / "node.pcapng").write_bytes(section() + described + blocks)
    found = recordings(tmp_path)

    assert {"veth0": 1} == {name: len(r.packets) for name, r in found.items()}
    said = f"node.pcapng: more than {BEYOND} interfaces are named; 3 packets of those beyond were left out"
    assert (said,) == found["veth0"].caveats


def _numbered(*numbers: int) -> bytes:
    """Write a capture of `-i any` with a SYN per interface number."""
    frames = [
        b"\x08\0\0\0" + n.to_bytes(4, "big") + b"\0\1\0\6" + bytes(8) + segment(n & 0xFFFF) for n in numbers
    ]
    return pcap([(i, len(frame), frame) for i, frame in enumerate(frames)], link=276)


def test_more_interfaces_of_any_than_lanes(tmp_path: Path) -> None:
    """`tcpdump -i any`: those with the most packets are kept, which are the real ones of a file that claims too many."""
    (tmp_path / "any.pcap").write_bytes(_numbered(*range(10, BEYOND + 20), 9, 9))
    found = recordings(tmp_path)

    assert (BEYOND, 2) == (len(found), len(found["interface 9"].packets))
    assert f"any.pcap: more than {BEYOND} interfaces are named; 11 packets of those beyond were left out" in [
        caveat for recording in found.values() for caveat in recording.caveats
    ]


def test_as_many_interfaces_as_lanes(tmp_path: Path) -> None:
    """As many as are told apart are all kept, without a word."""
    (tmp_path / "any.pcap").write_bytes(_numbered(*range(1, BEYOND + 1)))
    found = recordings(tmp_path)

    assert BEYOND == len(found)
    assert () == sum((recording.caveats for recording in found.values()), ())


def test_one_name_in_two_folders(tmp_path: Path) -> None:
    """eth0 of the pod and eth0 of the node, recorded at once: two points, whose folders tell the roles."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    talk.syn()
    talk.accept()
    write(tmp_path / "pod", talk, points=("veth-a",), names={"veth-a": "eth0"})
    write(tmp_path / "node7", talk, points=("cni0", "eth0"))
    found = recordings(tmp_path)

    assert {"pod/eth0": "pod", "node7/eth0": None, "cni0": "bridge"} == {n: r.role for n, r in found.items()}
    assert [3, 3, 3] == [len(r.packets) for r in found.values()]


def test_rotated_into_several_folders(tmp_path: Path) -> None:
    """The near miss: a folder for each day, one point."""
    for day in (1, 2, 3):
        (tmp_path / f"day{day}").mkdir()
        (tmp_path / f"day{day}" / "eth0.pcap").write_bytes(raw(day, begin=day * 1000))
    (found,) = recordings(tmp_path).values()

    assert [1, 2, 3] == (found.flows.ports >> 16).tolist()


def test_the_users_word_joins(tmp_path: Path) -> None:
    """Files that the user gives one name are one point, wherever they lie."""
    for folder in ("left", "right"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{folder}.pcap").write_bytes(raw(1))
    found = recordings(tmp_path, points={"left.pcap": "eth0", "right.pcap": "eth0"})

    assert {"eth0": 2} == {name: len(r.packets) for name, r in found.items()}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=20))
def test_split_as_if_captured_alone(sent: list[tuple[int, int]]) -> None:
    """Each interface of one file has the packets and flows that a file of its own would have given it."""
    frames = [(1 + i, number, segment(port)) for i, (number, port) in enumerate(sent)]
    heads = [named(f"veth{letter}") for letter in "abcdef"]
    with TemporaryDirectory() as folder:
        whole = Path(folder, "whole.pcapng")
        whole.write_bytes(
            section() + b"".join([*heads, *(enhanced(n, at, frame) for at, n, frame in frames)])
        )
        found = recordings(whole)
        for number, letter in enumerate("abcdef"):
            mine = [enhanced(0, at, frame) for at, n, frame in frames if n == number]
            if not mine:
                continue
            alone = Path(folder, f"{letter}.pcapng")
            alone.write_bytes(section() + heads[number] + b"".join(mine))
            ((name, expected),) = recordings(alone).items()
            for column in ("time", "flow", "seq", "length", "print"):
                assert np.array_equal(getattr(expected.packets, column), getattr(found[name].packets, column))
            assert expected.flows.ports.tolist() == found[name].flows.ports.tolist()


def test_a_point_of_which_most_was_not_decoded_says_so(tmp_path: Path) -> None:
    """MACsec hides what it carries: by count, EtherType and name, and when it was seen."""
    frames = [bytes(12) + b"\x88\xe5" + bytes(46)] * 3 + [bytes(12) + b"\x08\0" + segment(7)]
    capture = pcap([(i * 10**9, len(frame), frame) for i, frame in enumerate(frames)], link=1)
    (tmp_path / "eth0.pcap").write_bytes(capture)
    (found,) = recordings(tmp_path).values()

    assert (1, 0.75, (0, 2 * 10**9)) == (len(found.packets), found.unread_share, found.unread)
    assert (
        "eth0.pcap: 3 of 4 frames are MACsec (EtherType 0x88e5): their contents are unknown, so a packet missing here "
        "proves nothing",
    ) == found.caveats


def test_a_few_frames_of_other_protocols_are_normal(tmp_path: Path) -> None:
    """Spanning tree between packets is no caveat; it is counted."""
    frames = [bytes(12) + b"\0\x26" + bytes(46)] + [bytes(12) + b"\x08\0" + segment(7)] * 3
    (tmp_path / "eth0.pcap").write_bytes(
        pcap([(i * 10**9, len(frame), frame) for i, frame in enumerate(frames)], link=1)
    )
    (found,) = recordings(tmp_path).values()

    assert ((), 0.25) == (found.caveats, found.unread_share)


def test_a_link_that_cannot_be_read_is_told_by_its_reason(tmp_path: Path) -> None:
    """No EtherType is known of it."""
    (tmp_path / "eth0.pcap").write_bytes(raw(1, 2, link=189))
    (found,) = recordings(tmp_path).values()

    assert found.caveats[1].startswith("eth0.pcap: 2 of 2 frames are not decoded (unknown link type): ")


@pytest.mark.parametrize(("size", "warned"), [(64, True), (96, False)])
def test_headers_that_were_cut(size: int, warned: bool, tmp_path: Path) -> None:
    """64 bytes hold no more than half of a TCP header behind IPv6's, and it is said that nobody can tell whose it is."""
    talk = Conversation(pod="[fd00::b]:20000", server="[2001:db8::64]:80", way="eth0")
    talk.syn(0)
    (found,) = recordings(write(tmp_path, talk, snaplen={"eth0": size})).values()

    assert warned == any("record anew with -s 256" in says for says in found.caveats)
