"""Side evidence of several nodes: a file is the node's whose folder or prefix it has, and nobody's otherwise."""

from __future__ import annotations

from io import BytesIO

import pytest

from analyzer.capture.files import EvidenceFile
from analyzer.evidence import SideEvidence, collect
from analyzer.evidence.nodes import interfaces_for, joined, of_each


def file(label: str, text: str) -> EvidenceFile:
    """A text file of the bundle."""
    return EvidenceFile(label=label, source=lambda: BytesIO(text.encode()), size=len(text))


def release(number: str) -> str:
    """As `uname -a` prints it."""
    return f"Linux node {number} #1 SMP Tue Nov 10 12:00:00 UTC 2026 x86_64 GNU/Linux\n"


@pytest.mark.parametrize(
    ("labels", "nodes"),
    [
        (("a/uname.txt", "b/uname.txt"), ("a", "b")),
        (("node1-uname.txt", "node10-uname.txt"), ("node1", "node10")),
        (("a/text/uname.txt", "b/text/uname.txt"), ("a/pcap", "b/pcap")),
        (("x/a.uname.txt", "x/b.uname.txt"), ("x/a", "x/b")),
    ],
)
def test_whose_a_file_is(labels: tuple[str, str], nodes: tuple[str, str]) -> None:
    """By folder, by prefix, by the folder above that of the captures."""
    told, caveats = of_each([file(label, release(f"6.{n}.0")) for n, label in enumerate(labels)], nodes)

    assert ({nodes[0]: "6.0.0", nodes[1]: "6.1.0"}, []) == (
        {node: side.kernel for node, side in told.items()},
        caveats,
    )


def test_of_nobody() -> None:
    """A file beside the nodes' folders is no evidence for either, and a caveat names it; of logs of tcpdump both know."""
    log = "tcpdump: listening on eth0, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n9 packets captured\n9 packets received by filter\n4 packets dropped by kernel\n"
    told, caveats = of_each([file("uname.txt", release("6.1.0")), file("eth0.log", log)], ["a", "b"])

    assert [None, None] == [side.kernel for side in told.values()]
    assert [{"eth0": 4}, {"eth0": 4}] == [side.capture_drops for side in told.values()]
    assert [
        "not used, since the bundle has several nodes and nothing tells whose they are: uname.txt"
    ] == caveats


def test_joined() -> None:
    """What two nodes count is of each one's interface; what they contradict each other in is not known."""
    one, other = (
        SideEvidence(kernel=kernel, interfaces={}, capture_drops={"eth0": lost, "a/eth0.pcap": 1})
        for kernel, lost in (("6.1.0", 3), ("5.10.0", 5))
    )

    whole = joined({"a": one, "b": other})

    assert None is whole.kernel
    assert (3, 5, 1) == tuple(whole.capture_drops[name] for name in ("a/eth0", "b/eth0", "a/eth0.pcap"))
    assert "6.1.0" == joined({"a": one, "b": one}).kernel


LINK = """2: {}: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP mode DEFAULT group default qlen 1000
    link/ether 02:00:00:00:00:0{} brd ff:ff:ff:ff:ff:ff
"""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a/ip-link.txt", "b/ip-link.txt"),
        ("a/state/ip-link.txt", "b/state/ip-link.txt"),
        ("a-ip-link.txt", "b-ip-link.txt"),
    ],
)
def test_interfaces_of_two_nodes(one: str, other: str) -> None:
    """A capture's interface 2 is what its own node calls so; for a capture of neither, what the first one listed does."""
    told = collect([file(one, LINK.format("eth0", 1)), file(other, LINK.format("cni0", 2))])
    way = "-any.pcap" if "/" not in one else "/any.pcap"

    names = [interfaces_for(capture, told)[2].name for capture in (f"a{way}", f"b{way}", "", "c/any.pcap")]

    assert ["eth0", "cni0", "eth0", "eth0"] == names


def test_interfaces_that_agree() -> None:
    """Files of several folders that tell of the same interfaces are one table."""
    told = collect(
        [
            file("before/ip-link.txt", LINK.format("eth0", 1)),
            file("after/ip-link.txt", LINK.format("eth0", 1)),
        ]
    )

    assert told.interfaces == interfaces_for("after/any.pcap", told)
