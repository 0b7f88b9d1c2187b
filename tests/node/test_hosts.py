"""Captures of two nodes in one bundle: each node's points belong together, and a connection between them is one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from analyzer.node.hosts import short_names
from tests.conftest import FIXTURES
from tests.conversation import Conversation, bystander, record

WAY = "veth-a cni0 | eth0 eth1 | cni1 veth-b"
A, B = ("veth-a", "veth-z", "cni0", "eth0"), ("eth1", "cni1", "veth-b")


def across(port: int, lost_after: str = "") -> Conversation:
    """From a pod of one node to a pod of the other; without an answer where it is lost."""
    talk = Conversation(pod=f"10.244.0.11:{port}", server="10.244.1.12:80", way=WAY, isn=port * 77_777)
    for second in (1, 2):
        packet = talk.syn(second + port / 1e5)
        if not lost_after:
            talk.accept()
            return talk
        packet.lost_after(lost_after)
    return talk


def bundle(folder: Path, form: str, *talks: Conversation) -> Analysis:
    """Both nodes' captures, under names of a form."""
    around = [bystander(0), bystander(9), across(20001), across(20002)]
    for node, points in (("a", A), ("b", B)):
        names = {point: {"eth1": "eth0", "cni1": "cni0"}.get(point, point) for point in points}
        path = folder / "whole" / node if form == "folders" else folder / "whole"
        if form == "prefixes":
            names = {point: f"node{node}-{name}" for point, name in names.items()}
        record(path, *talks, *around, points=points, names=names)
    return analyze(folder / "whole")


@pytest.mark.parametrize("form", ["folders", "prefixes"])
def test_one_connection_through_both(tmp_path: Path, form: str) -> None:
    """What leaves one node and enters the other is counted once, and no node has lost it."""
    analysis = bundle(tmp_path, form)

    assert (4, 4) == (analysis.account.connections, analysis.account.worked)
    assert {gap.inner.host == gap.outer.host for gap in analysis.captured.gaps} == {True}
    assert any("of several nodes" in caveat for caveat in analysis.caveats)


@pytest.mark.parametrize(("where", "node", "outside"), [("cni0", 1, 0), ("eth0", 0, 1), ("eth1", 1, 0)])
def test_where_it_was_lost(tmp_path: Path, where: str, node: int, outside: int) -> None:
    """In the one node, between them, which is outside both, or in the other."""
    analysis = bundle(tmp_path, "folders", across(20003, where))

    assert (5, node, outside) == (
        analysis.account.connections,
        analysis.account.node,
        analysis.account.outside,
    )


@pytest.mark.parametrize(
    ("hosts", "names"),
    [
        (("a", "b"), ("a", "b")),
        (("x/node1", "x/node2"), ("node1", "node2")),
        (("x/a/pcap", "x/b/pcap"), ("a", "b")),
        (("a/1", "b/1", "b/2"), ("a/1", "b/1", "b/2")),
        (("a", "a/b"), ("a", "a/b")),
        (("n7.tar.zst/lostsyn-20261130", "n8.tgz/lostsyn-20261130"), ("n7", "n8")),
    ],
)
def test_short_names(hosts: tuple[str, ...], names: tuple[str, ...]) -> None:
    """What tells them apart, and no more; files of no node have no name."""
    assert {"": "", **dict(zip(hosts, names, strict=True))} == short_names((*hosts, ""))


def test_pods_in_folders_are_no_nodes(tmp_path: Path) -> None:
    """A pod's eth0 beside the node's eth0 makes two nodes of one no more than two pods' do."""
    talks = [bystander(at, "inner veth-z cni0 | eth0") for at in (0, 1)]
    record(tmp_path / "whole" / "pod", *talks, points=("inner",), names={"inner": "eth0"})
    record(tmp_path / "whole" / "node", *talks, points=("veth-z", "cni0", "eth0"))
    analysis = analyze(tmp_path / "whole")

    assert 2 == analysis.account.connections
    assert not any("of several nodes" in caveat for caveat in analysis.caveats)


def test_nodes_that_were_recorded_one_after_the_other(tmp_path: Path) -> None:
    """The rule of one has not dropped the other's packets: they are two nodes, though no file overlaps another."""
    for folder, fixture in (("a", "remote-loss"), ("b", "policy-drop")):
        shutil.copytree(FIXTURES / fixture, tmp_path / folder)
    analysis = analyze(tmp_path)

    assert any("of several nodes (a, b)" in caveat for caveat in analysis.caveats)
    assert {("b/cni0", "proven")} == {(i.gap[0], i.confidence) for i in analysis.incidents}
