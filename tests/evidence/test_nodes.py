"""Side evidence of several nodes: a file is the node's whose folder or prefix it has, and nobody's otherwise."""

from __future__ import annotations

from io import BytesIO

import pytest

from analyzer.capture.files import EvidenceFile
from analyzer.evidence import SideEvidence
from analyzer.evidence.nodes import joined, of_each


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
