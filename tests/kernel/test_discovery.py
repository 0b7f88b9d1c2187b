"""The capture script finds the interfaces of a node, whatever its pods are connected by."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from analyzer.field.script import script
from analyzer.lab.namespaces import Namespace
from tests.kernel.recorded import SHELLS

pytestmark = pytest.mark.kernel

APPLETS = (
    "awk basename cat chroot date dd df dirname grep gzip head id ls mkdir mv printf readlink rm sed setsid sh sleep sort tail "
    "tar timeout tr uname wc"
)


class Host:
    """A node to be looked over."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack = stack
        self.folder = folder
        self.node = stack.enter_context(Namespace("host"))
        self.wire = stack.enter_context(Namespace("wire"))
        self.pods: list[Namespace] = []

    def uplink(self, name: str, address: str) -> None:
        """Add an interface whose other end is outside."""
        self.node.ip("link", "add", name, "type", "veth", "peer", "name", name, "netns", self.wire.name)
        self.node.ip("link", "set", name, "up")
        self.wire.ip("link", "set", name, "up")
        self.node.ip("address", "add", address, "dev", name)

    def pod(self, end: str, *addresses: str, bridge: str = "") -> int:
        """Add a pod whose interface is called so on the node; returns a process inside."""
        pod = self._stack.enter_context(Namespace(f"pod{len(self.pods)}"))
        self.pods.append(pod)
        self.node.ip("link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", pod.name)
        self.node.ip("link", "set", end, "up")
        pod.ip("link", "set", "eth0", "up")
        if bridge:
            self.node.ip("link", "set", end, "master", bridge)
        for address in addresses:
            pod.ip("address", "add", address, "dev", "eth0", *(("nodad",) if ":" in address else ()))
            if not bridge:
                self.node.ip("route", "add", address, "dev", end)
        return self.process(pod)

    def process(self, inside: Namespace) -> int:
        """Start a process; as a container's, its /sys shows its own network."""
        process = subprocess.Popen(["ip", "netns", "exec", inside.name, "sleep", "60"])
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process.pid

    def bridge(self, name: str) -> None:
        """Add a bridge."""
        self.node.ip("link", "add", name, "type", "bridge")
        self.node.ip("link", "set", name, "up")

    def tool(self, name: str, text: str) -> None:
        """Put a program in front of the others on the PATH."""
        (self.folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.folder / name).chmod(0o755)

    def run(
        self, *options: object, shell: Sequence[str] = ("dash",), path: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run the script with --dry-run."""
        argv = ["ip", "netns", "exec", self.node.name, *shell, "-s", "--", "--dry-run", *map(str, options)]
        env = {**os.environ, "PATH": path or f"{self.folder}:{os.environ['PATH']}"}
        argv[0] = shutil.which("ip") or "ip"
        argv[4] = shutil.which(argv[4]) or argv[4]
        return subprocess.run(argv, input=script(), env=env, capture_output=True, text=True, check=False)

    def chosen(self, *options: object, **how: str) -> list[str]:
        """The interfaces that it would record: under every shell the same."""
        found = []
        for shell in SHELLS.values():
            done = self.run(*options, shell=shell, **how)
            assert 0 == done.returncode, done.stderr
            found.append(done.stdout.splitlines()[0].removeprefix("# recorded: ").split())
        assert found[0] == found[1] == found[2]
        return found[0]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A node without anything."""
    with ExitStack() as stack:
        yield Host(stack, tmp_path)


@pytest.fixture
def bare(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """A PATH with busybox and tcpdump and nothing else."""

    def make() -> str:
        folder = tmp_path_factory.mktemp("bare")
        for name in APPLETS.split():
            (folder / name).symlink_to("/usr/bin/busybox")
        for name in ("tcpdump", "bash"):
            (folder / name).symlink_to(str(shutil.which(name)))
        return str(folder)

    return make


def test_pods_on_a_bridge(host: Host, bare: Callable[[], str]) -> None:
    """Pods' interfaces, their bridge and the uplink of the default route; a bridge without pods is left out."""
    host.uplink("eth0", "192.0.2.10/24")
    host.uplink("eth1", "198.51.100.10/24")
    host.node.ip("route", "add", "default", "via", "192.0.2.1")
    host.bridge("cni0")
    host.bridge("docker0")
    pid = host.pod("veth-a", "10.244.0.11/24", "2001:db8:1::b/64", bridge="cni0")
    host.pod("veth-b", "10.244.0.12/24", bridge="cni0")

    assert ["veth-a", "veth-b", "cni0", "eth0"] == host.chosen()
    assert ["veth-a", "cni0", "eth0"] == host.chosen("--pid", pid)
    assert ["veth-a", "cni0", "eth0"] == host.chosen("--address", "10.244.0.11")
    assert ["veth-a", "cni0", "eth0"] == host.chosen("--address", "2001:db8:1::b")
    assert ["veth-b", "cni0", "eth0"] == host.chosen("--address", "10.244.0.12")
    # The same without iproute2 and util-linux.
    assert ["veth-a", "veth-b", "cni0", "eth0"] == host.chosen(path=bare())
    assert ["veth-a", "cni0", "eth0"] == host.chosen("--pid", pid, path=bare())


@pytest.mark.parametrize("further", ["", "ip nsenter nice"])
def test_busybox_alone_records(host: Host, bare: Callable[[], str], further: str) -> None:
    """Without iproute2, and with busybox's own ip, which tells less; with a program that busybox was built without."""
    host.uplink("eth0", "192.0.2.10/24")
    host.bridge("cni0")
    pid = host.pod("veth-a", "10.244.0.11/24", bridge="cni0")
    path = bare()
    for name in further.split():
        Path(path, name).symlink_to("/usr/bin/busybox")
    archive = host.folder / "a.tar.gz"
    argv = [str(shutil.which("ip")), "netns", "exec", host.node.name, "/usr/bin/busybox", "ash", "-s", "--"]
    options = ["--pid", str(pid), "--seconds", "1", "--size", "12", "-o", str(archive)]
    done = subprocess.run(
        [*argv, *options], input=script(), env={"PATH": path}, capture_output=True, text=True, check=False
    )

    assert (0, f"lostsyn-capture: 1 s recorded; wrote {archive}") == (
        done.returncode,
        done.stderr.splitlines()[-1],
    )
    with tarfile.open(archive) as tar:
        names = {Path(name).name for name in tar.getnames()}
    assert {
        "veth-a.pcap0",
        "cni0.pcap0",
        "eth0.pcap0",
        "manifest.json",
        "proc-stat.txt",
        "uname.txt",
    } <= names


def test_many_pods_on_a_bridge(host: Host) -> None:
    """Of more than eight pods the bridge alone is recorded, and it is said what that cannot show."""
    host.uplink("eth0", "192.0.2.10/24")
    host.bridge("cni0")
    for number in range(9):
        host.node.ip(
            "link",
            "add",
            f"veth{number}",
            "type",
            "veth",
            "peer",
            "name",
            f"p{number}",
            "netns",
            host.wire.name,
        )
        host.node.ip("link", "set", f"veth{number}", "master", "cni0")

    assert ["cni0", "eth0"] == host.chosen()
    assert "9 interfaces of pods are not recorded" in host.run().stderr


def test_routed_pods(host: Host) -> None:
    """Calico's way: no bridge, a route for each pod, a tunnel to other nodes; of many pods all goes into one file."""
    host.uplink("ens5", "192.0.2.10/24")
    host.node.ip("route", "add", "default", "via", "192.0.2.1")
    host.node.ip(
        "link", "add", "vxlan.calico", "type", "vxlan", "id", "4096", "dstport", "4789", "local", "192.0.2.10"
    )
    host.node.ip("link", "set", "vxlan.calico", "up")
    host.node.ip("route", "add", "10.0.9.0/26", "via", "10.0.9.1", "dev", "vxlan.calico", "onlink")
    host.node.ip("route", "add", "blackhole", "10.0.8.0/26")
    pid = host.pod("cali1a2b3c4d5e6", "10.0.8.5")
    host.pod("cali2", "10.0.8.6")

    assert ["cali1a2b3c4d5e6", "cali2", "ens5", "vxlan.calico"] == host.chosen()
    assert ["cali1a2b3c4d5e6", "ens5", "vxlan.calico"] == host.chosen("--pid", pid)
    for number in range(8):
        host.node.ip(
            "link",
            "add",
            f"cali-{number}",
            "type",
            "veth",
            "peer",
            "name",
            f"p{number}",
            "netns",
            host.wire.name,
        )
    assert ["any"] == host.chosen()


def test_two_uplinks(host: Host) -> None:
    """A default route over two interfaces, and a further one in a table of its own."""
    for number, name in enumerate(("eth0", "eth1", "eth2")):
        host.uplink(name, f"192.0.{number}.10/24")
    host.node.ip("route", "add", "default", "nexthop", "via", "192.0.0.1", "nexthop", "via", "192.0.1.1")
    host.node.ip("route", "add", "default", "via", "192.0.2.1", "dev", "eth2", "table", "2")
    host.pod("eni0123456789a", "10.0.0.7")

    assert ["eni0123456789a", "eth0", "eth1", "eth2"] == host.chosen()


def test_pods_and_containers_by_name(host: Host) -> None:
    """A pod is found by crictl, a container by docker; unknown ones, and a pod in the node's own network, are one sentence."""
    host.uplink("eth0", "192.0.2.10/24")
    host.bridge("cni0")
    pid = host.pod("veth-a", "10.244.0.11/24", bridge="cni0")
    own = host.process(host.node)
    host.tool(
        "crictl",
        f"""case "$*" in
        "pods -q --state Ready --namespace ^shop$ --name ^web-0$") echo 0123456789abcdef ;;
        "pods -q --state Ready --namespace ^kube-system$ --name ^proxy$") echo fedcba ;;
        "inspectp 0123456789abcdef") printf '{{\\n "info": {{\\n  "pid": {pid},\\n  "config": {{}}\\n }}\\n}}\\n' ;;
        "inspectp fedcba") printf '{{"info": {{"pid": {own}}}}}\\n' ;;
        esac""",
    )
    host.tool("docker", f'[ "$4" = web ] && echo {pid}')

    assert ["veth-a", "cni0", "eth0"] == host.chosen("--pod", "shop/web-0")
    assert ["veth-a", "cni0", "eth0"] == host.chosen("--container", "web")
    for options, says in {
        ("--pod", "shop/none"): "--pod: no pod shop/none runs here, as far as crictl and docker say",
        ("--pod", "web-0"): "--pod: web-0 is not of the form NAMESPACE/NAME",
        (
            "--container",
            "none",
        ): "--container: docker, podman, nerdctl and crictl know no running container none",
    }.items():
        done = host.run(*options)
        assert (2, f"lostsyn-capture: {says}\n", "") == (done.returncode, done.stderr, done.stdout)
