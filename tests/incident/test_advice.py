"""First contact: what captures that lack something can tell, cannot tell, and which to take next."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from analyzer import Analysis, analyze
from analyzer.report import html, json_, text
from tests.capture.test_reader import pcap
from tests.conversation import Conversation, bystander, record

WAY = "veth-z cni0 | eth0"
LINKS = [
    {"ifindex": 1, "ifname": "lo", "address": "00:00:00:00:00:00"},
    {"ifindex": 2, "ifname": "ens5", "address": "02:00:00:00:00:02"},
    {"ifindex": 3, "ifname": "cbr0", "address": "02:00:00:00:00:03"},
    {"ifindex": 4, "ifname": "veth77", "address": "02:00:00:00:00:04"},
]


def analysed(
    folder: Path, *points: str, links: list[dict[str, object]] | None = None, **options: Any
) -> Analysis:
    """Analyse what these points recorded of three connections."""
    record(folder, bystander(0), bystander(1), bystander(9), points=points, **options)
    if links is not None:
        (folder / "ip-link.json").write_text(json.dumps(links))
    return analyze(folder)


def _interfaces(analysis: Analysis, number: int = 0) -> list[str]:
    command = analysis.advice[number].command
    by_hand = re.findall(r"^tcpdump -i (\S+) ", command, re.MULTILINE)
    assert " ".join(["lostsyn capture", *(f"-i {name}" for name in by_hand)]) == command.splitlines()[0]
    return by_hand


def test_nothing_lacks(tmp_path: Path) -> None:
    """All points of the way, or bridge and uplink alone: no advice."""
    assert () == analysed(tmp_path / "a", "veth-z", "cni0", "eth0").advice
    assert () == analysed(tmp_path / "b", "cni0", "eth0").advice


@pytest.mark.parametrize(
    ("point", "interfaces", "tells"),
    [
        ("eth0", ["cni0", "eth0"], "not answered is counted"),
        ("cni0", ["cni0", "eth0"], "The pods' connections"),
        ("veth-z", ["veth-z", "cni0", "eth0"], "as the pod saw them"),
    ],
)
def test_one_single_capture(tmp_path: Path, point: str, interfaces: list[str], tells: str) -> None:
    """Nothing can be called lost; the neighbours are to be captured along with it."""
    analysis = analysed(tmp_path, point)
    (advice,) = analysis.advice

    assert f"only {point} was captured, so no packet can be followed across a gap" == analysis.inconclusive
    assert f"Only {point} was captured." == advice.situation
    assert tells in advice.tells
    assert advice.hides.startswith("Whether this node lost a packet")
    assert interfaces == _interfaces(analysis)
    assert "named as usual" in advice.next


def test_names_come_from_the_bundle(tmp_path: Path) -> None:
    """Where `ip -j link` is at hand, the command names the node's own interfaces, and nothing is to be replaced."""
    analysis = analysed(tmp_path, "eth0", links=LINKS, names={"eth0": "ens5"})

    assert ["cbr0", "ens5"] == _interfaces(analysis)
    assert "named as usual" not in analysis.advice[0].next


def test_a_node_without_a_bridge(tmp_path: Path) -> None:
    """Where the list of interfaces has no bridge, veth and uplink are neighbours: of one, the other is asked for."""
    routed = [link for link in LINKS if link["ifname"] != "cbr0"]
    one = analysed(tmp_path / "one", "eth0", links=routed)
    both = analysed(tmp_path / "both", "veth-z", "eth0", links=routed)

    assert ["veth77", "eth0"] == _interfaces(one)
    assert () == both.advice


def test_which_veth_nobody_knows(tmp_path: Path) -> None:
    """Of several veths none is guessed: a placeholder stands for it, and the advice says so."""
    routed = [*[link for link in LINKS if link["ifname"] != "cbr0"], {"ifindex": 9, "ifname": "veth78"}]
    analysis = analysed(tmp_path, "eth0", links=routed)

    assert ["VETH", "eth0"] == _interfaces(analysis)
    assert "VETH stands for the pod's interface" in analysis.advice[0].next


def test_a_file_named_container_is_no_interface(tmp_path: Path) -> None:
    """What a pod's capture was called is not taken for the name of an interface."""
    analysis = analysed(tmp_path, "veth-z", names={"veth-z": "container"})

    assert ["VETH", "cni0", "eth0"] == _interfaces(analysis)


def test_captures_that_do_not_overlap(tmp_path: Path) -> None:
    """The times of each are told, and both are to be taken again."""
    analysis = analysed(tmp_path, "cni0", "eth0", end={"cni0": 2}, begin={"eth0": 5})
    (advice,) = analysis.advice

    assert analysis.inconclusive is not None
    assert "do not overlap in time: cni0 from 2023-11-14 22:13:20 to 2023-11-14 22:13:21 and eth0 from " in (
        advice.situation
    )
    assert ["cni0", "eth0"] == _interfaces(analysis)


def test_overlap_by_a_moment(tmp_path: Path) -> None:
    """A near miss: captures that share one second are not said to lie apart."""
    assert () == analysed(tmp_path, "cni0", "eth0", end={"cni0": 2}, begin={"eth0": 0.5}).advice


def test_veth_and_uplink_without_the_bridge(tmp_path: Path) -> None:
    """Losses are told, but not on which side of the bridge: the bridge is to be captured, too."""
    analysis = analysed(tmp_path, "veth-z", "eth0")
    (advice,) = analysis.advice

    assert analysis.inconclusive is None
    assert "The bridge was not captured." == advice.situation
    assert advice.next.startswith("If the pod is on a bridge, record it as well.")
    assert "before or after the bridge" in advice.hides
    assert ["veth-z", "cni0", "eth0"] == _interfaces(analysis)


def test_no_uplink(tmp_path: Path) -> None:
    """What acts behind the bridge is not seen."""
    analysis = analysed(tmp_path, "veth-z", "cni0")

    assert analysis.inconclusive is None
    assert "The uplink was not captured." == analysis.advice[0].situation
    assert ["veth-z", "cni0", "eth0"] == _interfaces(analysis)


def test_captures_of_different_nodes(tmp_path: Path) -> None:
    """Two points that share no flow allow no conclusion, and are no all-clear."""
    other = [
        Conversation(
            pod=f"10.9.9.9:{at}", server="198.51.100.7:80", nat=f"192.0.2.99:{at}", isn=at * 999, way=WAY
        )
        for at in (1, 2, 9)
    ]
    for talk in other:
        talk.syn(talk.isn / 999)
        talk.accept()
    record(tmp_path, *other, points=("eth0",))
    analysis = analysed(tmp_path, "cni0")

    assert analysis.inconclusive is not None
    assert analysis.inconclusive.startswith("no flow was seen at two neighbouring capture points")
    assert analysis.advice[0].situation.startswith("No flow was seen at two of cni0 and eth0")
    assert text.render(analysis).startswith("Nothing can be concluded")


def test_everything_lost_is_an_incident(tmp_path: Path) -> None:
    """A near miss: where every request vanished no flow is at both points either, and that is told as the loss it is."""
    lost = Conversation(pod="10.244.0.11:1", server="192.0.2.100:80", nat="192.0.2.10:1")
    for at in (0, 1, 3):
        lost.syn(at).lost_after("cni0")
    record(tmp_path, lost, bystander(-5), bystander(20))
    analysis = analyze(tmp_path)

    assert analysis.incidents
    assert analysis.inconclusive is None
    assert () == analysis.advice


def test_a_point_that_is_nowhere(tmp_path: Path) -> None:
    """Captures of one place, or of a place that nothing tells, are no neighbours."""
    pods = analysed(tmp_path / "pods", "veth-z", "veth-y")
    two = record(
        tmp_path / "two", bystander(0), bystander(1, "veth-y cni0 | eth0"), points=("veth-z", "veth-y")
    )
    strange = record(tmp_path / "strange", bystander(0), points=("veth-z",))
    record(
        tmp_path / "strange", Conversation(pod="10.9.9.9:1", server="10.9.9.8:1", way="wg0"), points=("wg0",)
    )

    assert "Only veth-z was captured." == pods.advice[1].situation
    assert "do not overlap in time" in analyze(two).advice[0].situation
    assert "wg0 holds no packet" in analyze(strange).advice[0].situation


def test_places_that_nothing_tells(tmp_path: Path) -> None:
    """Two tunnel devices are no neighbours, and are named."""
    talk = Conversation(pod="10.9.9.9:1", server="10.9.9.8:1", way="wg0 wg1 eth0")
    talk.syn(0)
    several = analyze(record(tmp_path / "several", talk, points=("wg0", "wg1")))

    assert several.advice[0].situation.startswith("wg0 and wg1 are all captures of one kind, the tunnel")


def test_a_capture_without_packets_to_follow(tmp_path: Path) -> None:
    """A capture of something else entirely says what it holds, and that a filter may be at fault."""
    (tmp_path / "eth0.pcap").write_bytes(pcap([(1, 60, bytes(12) + b"\x88\xcc" + bytes(46))]))
    analysis = analysed(tmp_path, "veth-z", "cni0")
    first = analysis.advice[0]

    assert "eth0 holds no packet that can be followed (1 frames: not IP or ARP)." == first.situation
    assert "filter" in first.hides


def test_strange_names_do_not_get_into_a_shell(tmp_path: Path) -> None:
    """A name that a shell would act on is not part of the command."""
    links = [*LINKS, {"ifindex": 8, "ifname": "br0;reboot"}, {"ifindex": 7, "ifname": "br-$(x)"}]
    for name, point in (("a", "eth0"), ("b", "cni0")):
        folder = record(tmp_path / name, bystander(0), points=(point,), names={point: "eth0$(reboot)"})
        (folder / "ip-link.json").write_text(json.dumps(links))
        analysis = analyze(folder)

        assert analysis.advice
        assert "reboot" not in analysis.advice[0].command
        assert "$(x)" not in analysis.advice[0].command


def test_commands_are_shell(tmp_path: Path) -> None:
    """A shell parses the command of every situation."""
    for number, points in enumerate((("eth0",), ("veth-z",), ("veth-z", "eth0"))):
        for advice in analysed(tmp_path / str(number), *points).advice:
            subprocess.run(["bash", "-n", "-c", advice.command], check=True)


def test_every_output_says_it(tmp_path: Path) -> None:
    """HTML, text and JSON have the situation, what can and cannot be told, and the command."""
    analysis = analysed(tmp_path, "eth0")
    (advice,) = analysis.advice
    told = json.loads(json_.render(analysis))
    page = html.render(analysis)

    assert analysis.inconclusive == told["inconclusive"]
    assert [advice.command] == [piece["command"] for piece in told["advice"]]
    for output in (text.render(analysis), page):
        assert advice.situation in output
        assert "tcpdump -i cni0 -s 256 -B 16384 -w cni0.pcap" in output
    assert "What to capture next" in page


@pytest.mark.parametrize("command", ["check", "report"])
def test_stderr_says_it(tmp_path: Path, command: str) -> None:
    """Both commands say on stderr what is lacking, and the lines to take it with."""
    record(tmp_path / "in", bystander(0), points=("eth0",))
    main = "from analyzer.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", main, command, "in", "-o", "out"], cwd=tmp_path, capture_output=True, text=True
    )

    assert {"check": 2, "report": 0}[command] == done.returncode
    assert "lostsyn: Only eth0 was captured. Record cni0 and eth0 at the same time" in done.stderr
    assert "\n    tcpdump -i cni0 -s 256" in done.stderr
