"""The capture script against real namespaces, under dash, busybox's ash and bash: whatever ends it keeps what it recorded."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.capture.bundle import Bundle
from analyzer.evidence.collecting import collect
from analyzer.field.script import script as script_text
from analyzer.incident.records import joined
from analyzer.lab.node import V4, Node, built
from analyzer.lab.ping import ping
from tests.deploy.test_deploy import load
from tests.kernel.recorded import SHELLS, Script, packets, wait_for

pytestmark = pytest.mark.kernel

ECHO = "icmp[0] == 8 or icmp[0] == 0"
POINTS = ["veth-a", "veth-b", "cni0", "eth0"]


@pytest.fixture
def net() -> Iterator[Node]:
    """The laboratory's node."""
    with built() as node:
        yield node


def talk(net: Node) -> None:
    """An echo of pod a through all points, and the second after which libpcap has handed it over."""
    with net.a.entered():
        ping(V4, 7)


@pytest.mark.parametrize(
    ("shell", "number"),
    [("dash", signal.SIGINT), ("busybox", signal.SIGTERM), ("bash", signal.SIGHUP)],
)
def test_a_signal_ends_it_well(net: Node, tmp_path: Path, shell: str, number: int) -> None:
    """Ctrl-C, TERM and HUP: the archive holds the packets, evidence of before and after and exact times; nothing else is left.

    USR1 before says that it has happened: the node is asked at once.
    """
    script = Script(net.node, tmp_path / "out", "--after", 60, shell=SHELLS[shell]).begun()
    before = time.time_ns()
    talk(net)
    script.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: list((tmp_path / "out").glob(".lostsyn-*/asked")))
    status = script.end(number)
    manifest, folder = script.manifest(), script.unpacked()

    assert 0 == status
    assert ("interrupted", "told") == (manifest["ended"], manifest["event"]["what"])
    assert POINTS == [each["interface"] for each in manifest["recordings"]]
    for each in manifest["recordings"]:
        assert each["start_ns"] < before < each["stop_ns"] < time.time_ns()
        assert 0 == each["dropped"]
    assert [2, 0, 2, 2] == [packets(folder / f"{point}.pcap", ECHO) for point in POINTS]
    assert (folder / "before/conntrack-S.txt").exists()
    assert (folder / "after/conntrack-S.txt").exists()
    assert (folder / "event/conntrack-L.txt").exists()
    assert [] == script.leftovers()


def test_ctrl_c_on_a_terminal(net: Node, tmp_path: Path) -> None:
    """It reaches every program of the terminal, and a second one comes while the archive is packed: nothing is cut short."""
    (tmp_path / "out").mkdir()
    (tmp_path / "capture.sh").write_text(script_text())
    leader, follower = os.openpty()
    shell = f"exec dash -s -- -o {tmp_path}/out --size 12 <{tmp_path}/capture.sh"
    argv = [
        "env",
        "--default-signal",
        "setsid",
        "--ctty",
        "ip",
        "netns",
        "exec",
        net.node.name,
        "sh",
        "-c",
        shell,
    ]
    said = b""
    with subprocess.Popen(argv, stdin=follower, stdout=follower, stderr=follower) as process:
        os.close(follower)
        while b"Ctrl-C ends it" not in said:
            said += os.read(leader, 1000)
        talk(net)
        os.write(leader, b"\x03")
        time.sleep(1)
        os.write(leader, b"\x03")
        with suppress(OSError):  # the terminal's end
            while more := os.read(leader, 1000):
                said += more
    os.close(leader)
    (archive,) = (tmp_path / "out").iterdir()
    subprocess.run(["tar", "-xf", archive, "-C", tmp_path], check=True)
    (folder,) = tmp_path.glob("lostsyn-*")

    assert 0 == process.returncode, said
    assert f"interrupted; wrote {archive}".encode() in said
    assert b"insert_failed +0" in said
    assert 2 == packets(folder / "eth0.pcap", ECHO)
    assert (folder / "after/conntrack-S.txt").exists()


def test_what_cannot_be_recorded(net: Node, tmp_path: Path) -> None:
    """No root, no room, an interface that is not there, a filter that is none: one sentence, exit status 2, and nothing left."""
    for shell, options, says in (
        (("setpriv", "--reuid=65534", "--clear-groups", "dash"), (), "recording packets needs root"),
        (
            ("dash",),
            ("--size", "1000000"),
            "MB free, and 1000020 are needed; give less (--size) or another place (-o)",
        ),
        (("dash",), ("-i", "eth7"), "there is no interface eth7; there are lo, cni0, "),
        (("dash",), ("--filter", "prot 80"), "tcpdump does not record veth-a: tcpdump: "),
        (("dash",), ("-o", "/nonexistent"), "there is no folder /nonexistent"),
    ):
        script = Script(net.node, tmp_path / "out", *options, shell=shell)
        assert 2 == script.ended()
        assert says in script.said
        assert 1 == script.said.count("\n")
        assert [] == list((tmp_path / "out").iterdir())
        assert [] == script.leftovers()


def test_the_archive_is_a_bundle(net: Node, tmp_path: Path) -> None:
    """It is analysed as it is, its points by their names; each capture lies in an interval of the manifest."""
    script = Script(net.node, tmp_path / "out").begun()
    talk(net)
    script.end()
    analysis = analyze(script.archive)
    bundle = Bundle.open([script.archive])
    recordings = collect(bundle.evidence).recordings
    held = {
        capture.point_hint.point: [each.point for each in recordings if each.holds(capture.label)]
        for capture in bundle.captures
    }

    assert sorted(POINTS) == sorted(point.name for point in analysis.capture_points)
    assert () == analysis.incidents
    assert {point: [point] for point in POINTS} == held


@pytest.mark.parametrize("fill", [28_000, 40_000])
def test_a_full_disk_ends_it(net: Node, tmp_path: Path, fill: int) -> None:
    """Whether others fill the disk nearly or to the last byte: what was recorded until then is packed."""
    disk = tmp_path / "out"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=44m", "none", disk], check=True)
    try:
        script = Script(net.node, disk).begun()
        talk(net)
        time.sleep(1.2)
        with suppress(OSError), (disk / "lostsyn-filler").open("wb") as filler:
            filler.write(bytes(fill * 1024))
        status = script.ended()

        assert 1 == status
        assert "the disk is full" in script.said
        assert "disk-full" == script.manifest()["ended"]
        assert 2 == packets(script.unpacked() / "eth0.pcap", ECHO)
        assert [] == script.leftovers()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_without_room_for_an_archive_the_folder_is_kept(net: Node, tmp_path: Path) -> None:
    """It is a bundle as well."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "tar").write_text("#!/bin/sh\necho half an archive; exit 1\n")
    (tools / "tar").chmod(0o755)
    script = Script(net.node, tmp_path / "out", first=tools).begun()
    talk(net)
    script.end()
    (kept,) = (tmp_path / "out").iterdir()

    assert f"interrupted; wrote {kept}" in script.said
    assert 2 == packets(kept / "eth0.pcap", ECHO)
    assert () == analyze(kept).incidents
    assert [] == script.leftovers()


def test_a_killed_tcpdump_ends_it(net: Node, tmp_path: Path) -> None:
    """The others' packets are kept, and when the killed one stopped is not claimed."""
    script = Script(net.node, tmp_path / "out").begun()
    talk(net)
    time.sleep(1.2)
    argv = ["ip", "netns", "pids", net.node.name]
    for pid in subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split():
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if words[0] == b"tcpdump" and b"cni0" in words:
                os.kill(int(pid), signal.SIGKILL)
    status = script.ended()
    manifest = script.manifest()

    assert 1 == status
    assert "recorder-ended" == manifest["ended"]
    assert [False, False, True, False] == [each["stop_ns"] is None for each in manifest["recordings"]]
    assert 2 == packets(script.unpacked() / "eth0.pcap", ECHO)
    assert [] == script.leftovers()


def test_an_interface_goes_away(net: Node, tmp_path: Path) -> None:
    """The others are recorded on; what its interface showed is kept."""
    script = Script(net.node, tmp_path / "out", shell=SHELLS["busybox"]).begun()
    with net.b.entered():
        ping(V4, 7)
    time.sleep(1.2)
    net.node.ip("link", "delete", "veth-b")
    wait_for(lambda: "veth-b is gone" in script.said)
    net.a.ip("neighbour", "flush", "all")  # the bridge had the address of its lowest port
    talk(net)
    status = script.end()
    folder = script.unpacked()

    assert 0 == status
    assert [2, 2, 4] == [packets(folder / f"{point}.pcap", ECHO) for point in ("veth-a", "veth-b", "eth0")]
    assert [False, True, False, False] == [
        each["stop_ns"] is None for each in script.manifest()["recordings"]
    ]
    assert [] == script.leftovers()


@pytest.mark.parametrize("whom", ["front", "worker"])
def test_kill_9_is_noticed(net: Node, tmp_path: Path, whom: str) -> None:
    """Of its two processes each packs what the other leaves; no time is claimed that nobody noted."""
    script = Script(net.node, tmp_path / "out", "--drops").begun()
    talk(net)
    time.sleep(1.2)
    (worker,) = Path(f"/proc/{script.process.pid}/task/{script.process.pid}/children").read_text().split()
    os.kill(script.process.pid if whom == "front" else int(worker), signal.SIGKILL)
    status = script.process.wait()
    wait_for(lambda: list((tmp_path / "out").glob("lostsyn-*.tar.*")) and not script.leftovers())
    manifest = script.manifest()
    known = {each["start_ns"] is not None and each["stop_ns"] is not None for each in manifest["recordings"]}

    assert (-signal.SIGKILL if whom == "front" else 1) == status
    assert "killed" == manifest["ended"]
    assert {whom == "front"} == known
    assert 2 == packets(script.unpacked() / "eth0.pcap", ECHO)
    assert (script.unpacked() / "after/conntrack-S.txt").exists()
    assert [] == script.leftovers()


def test_a_rerun_keeps_what_kill_9_of_all_left(net: Node, tmp_path: Path) -> None:
    """With both of its processes killed, the next run ends the recorders and packs their captures."""
    first = Script(net.node, tmp_path / "out").begun()
    talk(net)
    time.sleep(1.2)
    os.killpg(first.process.pid, signal.SIGKILL)
    first.process.wait()
    assert [] == list((tmp_path / "out").glob("lostsyn-*"))
    (left,) = (tmp_path / "out").glob(".lostsyn-*")

    time.sleep(1)  # archives are called by the second
    second = Script(net.node, tmp_path / "out").begun()
    (archive,) = (tmp_path / "out").glob("lostsyn-*.tar.*")
    assert not left.exists()
    assert "is kept" in second.said
    assert 2 == packets(first.unpacked() / "eth0.pcap", ECHO)
    second.end()
    assert archive.exists()
    assert [] == second.leftovers()


def test_the_ring_is_bounded(net: Node, tmp_path: Path) -> None:
    """More than the ring holds is sent: it stays below its size to the byte, holds the last, and claims no beginning."""
    script = Script(net.node, tmp_path / "out", "-i", "eth0", "--size", "4").begun()
    net.a.start(_flood, 40_000).result(60)
    time.sleep(0.5)
    talk(net)
    script.end()
    folder = script.unpacked()
    (recording,) = script.manifest()["recordings"]
    kept = sum(file.stat().st_size for file in folder.glob("eth0.pcap*"))

    assert 1_000_000 < kept <= 4_000_000
    assert 2 == packets(folder / "eth0.pcap", ECHO)
    assert recording["start_ns"] is None
    assert recording["stop_ns"] is not None


def _flood(count: int) -> None:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((V4.server, 9))
        for number in range(count):
            with suppress(OSError):  # port unreachable, told by ICMP
                sender.send(bytes(300))
            if number % 500 == 0:
                time.sleep(0.01)


MOUNTED = ("sh", "-c", 'mount -t tracefs nodev /sys/kernel/tracing && exec dash "$@"', "sh")
"""A shell for which tracefs is where bpftrace looks for it: `ip netns exec` gives it a mount namespace of its own."""


@pytest.mark.parametrize(
    ("shell", "first", "record"),
    [
        (SHELLS["dash"], "# clock: mono t=", "reason: NETFILTER_DROP"),
        pytest.param(
            MOUNTED,
            "name: kfree_skb",
            f"dst={V4.server} dport=99",
            marks=pytest.mark.skipif(not shutil.which("bpftrace"), reason="needs bpftrace"),
        ),
    ],
    ids=["tracefs", "bpftrace"],
)
def test_drop_records(net: Node, tmp_path: Path, shell: tuple[str, ...], first: str, record: str) -> None:
    """Each packet that a rule drops has a record with its reason; no instance of tracefs and no bpftrace is left."""
    net.node.run(
        "nft",
        "-f",
        "-",
        stdin=f"table ip f {{ chain c {{ type filter hook forward priority 0; ip daddr {V4.server} udp dport 99 drop; }}; }}",
    )
    script = Script(net.node, tmp_path / "out", "--drops", shell=shell).begun()
    net.a.start(_to, 99, 5).result(20)
    time.sleep(0.5)
    script.end()
    folder = script.unpacked()
    told = (folder / "drops.txt").read_text()
    scene = analyze(folder).scene
    assert scene is not None

    assert told.startswith(first)
    assert "# clock: mono t= " not in told
    assert 5 <= told.count(record)
    assert 5 == len(joined(scene))
    assert [] == script.leftovers()


def test_the_capabilities_of_the_manifests_are_enough(net: Node, tmp_path: Path) -> None:
    """With what deploy/daemonset.yaml asks for, and nothing else, it records and asks the node."""
    (manifest,) = load("daemonset.yaml")
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    rights = ",".join(f"+{name.lower()}" for name in container["securityContext"]["capabilities"]["add"])
    shell = (
        "setpriv",
        f"--bounding-set=-all,{rights}",
        "--inh-caps=-all",
        "--no-new-privs",
        "busybox",
        "ash",
    )
    script = Script(net.node, tmp_path / "out", shell=shell).begun()
    talk(net)
    script.end()
    folder = script.unpacked()

    assert 2 == packets(folder / "eth0.pcap", ECHO)
    for file in ("conntrack-S.txt", "conntrack-L.txt", "nft-ruleset.txt", "dmesg.txt", "ip-link.txt"):
        assert (folder / "after" / file).exists(), file
    assert [] == script.leftovers()


def _to(port: int, count: int) -> None:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(b"x", (V4.server, port))


@pytest.mark.parametrize("link", ["LINUX_SLL", "LINUX_SLL2"])
def test_any_beside_single_interfaces(net: Node, link: str, tmp_path: Path) -> None:
    """What tcpdump -i any has beside captures of the single interfaces is counted once."""
    options = {"any": ["-y", link]}
    argv = ["ip", "netns", "exec", net.node.name, "tcpdump", "-Z", "root", "--immediate-mode", "-U", "-n"]
    started = [
        subprocess.Popen(
            [*argv, "-i", name, *options.get(name, []), "-w", str(tmp_path / f"{name}.pcap")],
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("any", "veth-a", "cni0", "eth0")
    ]
    for process in started:
        assert process.stderr is not None
        assert any("listening on" in line for line in iter(process.stderr.readline, ""))
    talk(net)
    wait_for(lambda: packets(tmp_path / "eth0.pcap", ECHO) == 2)
    for process in started:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    analysis = analyze(tmp_path)

    assert 1 == len(analysis.connections)
    left_out = [caveat for caveat in analysis.caveats if "left out" in caveat]
    assert left_out
    assert all("any.pcap" in caveat for caveat in left_out)
