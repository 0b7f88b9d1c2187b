"""Every point has a name of its own, whatever its file and its interface are called."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture import naming
from analyzer.capture.bundle import Bundle
from analyzer.capture.link import Link
from analyzer.capture.points import Recording, record
from analyzer.capture.storage import Memory
from tests.capture.test_decoder import segment
from tests.capture.test_points import named, raw, recordings
from tests.capture.test_reader import enhanced, interface, pcap, section
from tests.conversation import UPLINK, Conversation
from tests.conversation import record as write


def several(*names: str | None, sections: int = 1) -> bytes:
    """A pcapng file of these interfaces, with a packet each."""
    described = [interface(link=101) if name is None else named(name) for name in names]
    packets = [enhanced(number, number + 1, segment(number + 1)) for number in range(len(names))]
    return b"".join([section(), *described, *packets] * sections)


def sizes(found: dict[str, Recording]) -> dict[str, int]:
    """Packets of each point."""
    return {name: len(recording.packets) for name, recording in found.items()}


def test_nameless_interfaces_of_one_file(tmp_path: Path) -> None:
    """Unnamed ones and ones called `-` are interfaces all the same; a further section tells of them anew."""
    (tmp_path / "trace.pcapng").write_bytes(several(None, "-", "Unknown/not available", sections=2))

    assert {"trace": 2, "trace (2)": 2, "trace (3)": 2} == sizes(recordings(tmp_path))


def test_one_nameless_beside_others(tmp_path: Path) -> None:
    """It is what the file is called by."""
    (tmp_path / "eth0.pcapng").write_bytes(several("cni0", None))

    assert {"cni0": "bridge", "eth0": "uplink"} == {n: r.role for n, r in recordings(tmp_path).items()}


def test_a_file_of_several_interfaces_that_the_user_names(tmp_path: Path) -> None:
    """Each is called by the user's word and its own, and has the role of its own."""
    (tmp_path / "trace.pcapng").write_bytes(several("veth-a", "cni0", "eth0", None))
    found = recordings(tmp_path, points={"trace.pcapng": "node7"})

    assert {"node7/veth-a": "pod", "node7/cni0": "bridge", "node7/eth0": "uplink", "node7/1": None} == {
        name: r.role for name, r in found.items()
    }


def test_several_interfaces_inside_a_pod(tmp_path: Path) -> None:
    """A pod with two networks: no eth0 of it is an uplink."""
    (tmp_path / "pod.pcapng").write_bytes(several("eth0", "eth1"))

    assert {"pod/eth0": "pod", "pod/eth1": "pod"} == {n: r.role for n, r in recordings(tmp_path).items()}


def test_the_pods_loopback_is_no_second_eth0(tmp_path: Path) -> None:
    """With one interface to the outside, the file is that interface."""
    (tmp_path / "container.pcapng").write_bytes(several("eth0", "lo"))

    assert {"container": "pod", "lo": None} == {n: r.role for n, r in recordings(tmp_path).items()}


def test_a_file_called_pod_that_is_the_nodes(tmp_path: Path) -> None:
    """A pod has no bridge: eth0 is the uplink whatever the file is called."""
    (tmp_path / "pod.pcapng").write_bytes(several("veth-a", "cni0", "eth0"))

    assert {"veth-a": "pod", "cni0": "bridge", "eth0": "uplink"} == {
        n: r.role for n, r in recordings(tmp_path).items()
    }


def test_one_interface_name_in_two_files(tmp_path: Path) -> None:
    """The files' names tell them apart, all of them and not only up to a dot."""
    for name in ("cap.bridge-side", "cap.wan-side"):
        (tmp_path / f"{name}.pcapng").write_bytes(several("eth0"))

    assert {"cap.bridge-side/eth0", "cap.wan-side/eth0"} == set(recordings(tmp_path))


@pytest.mark.parametrize("known", [True, False])
def test_the_nodes_own_is_recognised_by_its_address(known: bool, tmp_path: Path) -> None:
    """`eth0.pcap` of the pod, `eth0-1.pcap` of the node: what bears the address of the node's eth0 is called so."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    talk.syn()
    talk.accept()
    write(tmp_path, talk, names={"veth-a": "eth0", "eth0": "eth0-1"})
    mac = UPLINK if known else "02:00:00:00:00:99"
    links = {2: Link(index=2, name="eth0", mac=mac, addresses=(), file="ip-link.json")}
    found = record(Bundle.open([tmp_path]).captures, lambda _: links, {}, lambda _: None, Memory())
    told = {(r.name, r.files[0].label, r.role) for r in found if r.name != "cni0"}

    if known:
        assert {("eth0", "eth0-1.pcap", "uplink"), ("eth0.pcap", "eth0.pcap", None)} == told
    else:
        assert {("eth0-1", "eth0-1.pcap", None), ("eth0", "eth0.pcap", None)} == told


def test_names_that_become_equal(tmp_path: Path) -> None:
    """Once printable they are one, and get a number."""
    (tmp_path / "a.pcapng").write_bytes(several("eth0\x1b", "eth0\x1c"))

    assert {"a/eth0?", "a/eth0? (2)"} == set(recordings(tmp_path))


def test_an_interface_made_anew(tmp_path: Path) -> None:
    """One name is one point: in a file with two descriptions, and under two numbers of `-i any`."""
    (tmp_path / "x.pcapng").write_bytes(several("veth-a", "veth-a"))

    assert {"veth-a": 2} == sizes(recordings(tmp_path))

    frames = [
        b"\x08\0\0\0" + number.to_bytes(4, "big") + b"\0\1\0\6" + bytes(8) + segment(port)
        for number, port in ((5, 1), (9, 1), (7, 2), (5, 3))
    ]
    any_ = tmp_path / "any.pcap"
    any_.write_bytes(pcap([(i, len(f), f) for i, f in enumerate(frames)], link=276))
    links = {
        number: Link(index=number, name="veth-b", mac="02:00:00:00:00:01", addresses=(), file="ip-link.json")
        for number in (5, 9)
    }
    found = record(Bundle.open([any_]).captures, lambda _: links, {}, lambda _: None, Memory())

    assert {"veth-b": [1, 2, 4], "interface 7": [3]} == {r.name: r.packets.frame.tolist() for r in found}


def test_cooked_and_plain_of_one_name(tmp_path: Path) -> None:
    """`-i any` and eth0 alone, at once: two points."""
    frame = b"\x08\0\0\0" + (3).to_bytes(4, "big") + b"\0\1\0\6" + bytes(8) + segment(1)
    (tmp_path / "any.pcap").write_bytes(pcap([(0, len(frame), frame)], link=276))
    (tmp_path / "eth0.pcap").write_bytes(raw(1))
    links = {3: Link(index=3, name="eth0", mac="02:00:00:00:00:01", addresses=(), file="ip-link.json")}
    found = record(Bundle.open([tmp_path]).captures, lambda _: links, {}, lambda _: None, Memory())

    assert {"any/eth0", "eth0"} == {recording.name for recording in found}


@pytest.mark.parametrize("explicit", ["eth0\x1b[2J", "\u202eeth0"])
def test_the_users_word_is_printable(explicit: str) -> None:
    """As all names are."""
    assert naming.hint("a.pcap", explicit).point.isprintable()


NAMES = (
    st.none()
    | st.sampled_from(["-", "eth0", "eth1", "veth-a", "cni0", "lo", "eth0\x1b"])
    | st.text(max_size=8)
)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.lists(NAMES, min_size=1, max_size=4)), min_size=1, max_size=4
    )
)
def test_whatever_they_are_called(files: list[tuple[str, list[str | None]]]) -> None:
    """Names are unique and printable, and no packet is lost."""
    with TemporaryDirectory() as folder:
        for number, (place, names) in enumerate(files):
            Path(folder, place).mkdir(exist_ok=True)
            stem = ("pod", "eth0", "eth0-1", "trace")[number]
            clean = [None if name is None else name.encode("utf-8", "ignore").decode() for name in names]
            Path(folder, place, f"{stem}.pcapng").write_bytes(several(*clean))
        found = record(Bundle.open([folder]).captures, lambda _: {}, {}, lambda _: None, Memory())

    points = [recording.name for recording in found]
    assert len(set(points)) == len(points)
    assert all(name and name.isprintable() for name in points)
