"""The estimate from captures against what the kernel's own table holds."""

from __future__ import annotations

import re
import socket
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.conntrack.occupancy import Occupancy
from analyzer.lab.experiment import conduct
from analyzer.lab.namespaces import Namespace
from analyzer.lab.node import ECHO_PORT, POINTS, V4, built
from analyzer.lab.recording import recorded

pytestmark = pytest.mark.kernel

CLOSED, SILENT = 4, 9
"""Ports of the server: one that refuses, one whose packets it drops."""


def traffic(pod: Namespace, stack: ExitStack) -> None:
    """Leave entries of every common state behind; sockets that stay open are the stack's."""
    with pod.entered():
        tcp = [stack.enter_context(socket.socket()) for _ in range(120)]
        udp = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(40)]
    for number, client in enumerate(tcp):
        client.settimeout(5)
        if number < 60:
            client.connect((V4.server, ECHO_PORT))
            if number < 50:
                client.send(b"hello")
                client.recv(5)
            if number < 30:
                client.close()
        elif number < 80:
            assert client.connect_ex((V4.server, CLOSED))
        else:
            client.setblocking(False)
            client.connect_ex((V4.server, SILENT))
    for number, client in enumerate(udp):
        client.settimeout(5)
        client.connect((V4.server, ECHO_PORT if number < 25 else SILENT))
        client.send(b"hello")
        if number < 25:
            client.recv(5)
    time.sleep(0.5)


def table(node: Namespace) -> Counter[str]:
    """Entries of the kernel, by protocol and TCP state."""
    listed = node.run("conntrack", "-L", "-p", "tcp") + node.run("conntrack", "-L", "-p", "udp")
    states = re.findall(r"^(udp|tcp +6 \d+ \w+)", listed, re.MULTILINE)
    return Counter(state.split()[-1] for state in states)


def test_entries_are_those_of_the_kernel(tmp_path: Path) -> None:
    """Protocol by protocol and state by state, as many entries as the traffic really made."""
    with built() as net, ExitStack() as stack:
        chain = f"type filter hook input priority 0\nth dport {SILENT} drop\n"
        net.outside.run("nft", "-f", "-", stdin=f"table ip t {{\nchain c {{\n{chain}}}\n}}\n")
        net.node.run("conntrack", "-F")
        with recorded(net.node, tmp_path, POINTS):
            traffic(net.a, stack)
            kernel, count = table(net.node), int(net.node.run("conntrack", "-C"))
    found = estimated(tmp_path)

    assert {"TIME_WAIT": 30, "ESTABLISHED": 30, "SYN_SENT": 40, "udp": 40} == kernel
    assert kernel == Counter(found.by_state) + Counter(udp=found.by_protocol["udp"])
    assert found.peak <= count <= found.peak + 5  # the kernel's own multicast is not estimated


def estimated(folder: Path) -> Occupancy:
    """The table by the captures of a folder, and by the settings that lie beside them."""
    scene = analyze(folder).scene
    assert scene is not None
    assert scene.occupancy is not None
    return scene.occupancy


def test_connections_that_outlive_their_entries(tmp_path: Path) -> None:
    """What is forgotten while idle, and leaves untranslated then, is not counted; what is picked up again is."""
    truth = conduct("unnatted-leak", tmp_path)["traffic"]
    listed = (tmp_path / "conntrack-L.txt").read_text()

    assert len(truth["resumed"]) == len(re.findall("^tcp", listed, re.MULTILINE)) > 0
    echoes = 2  # of each pod, with which every capture of the laboratory begins and ends
    assert len(truth["resumed"]) + echoes == estimated(tmp_path).entries[-1]
