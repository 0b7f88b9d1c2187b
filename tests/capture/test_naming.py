"""Names of files and interfaces to points and roles."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture import naming
from analyzer.capture.naming import Hint, hint, refine, role_of

ROLES: dict[str | None, str] = {
    "any": "any",
    "pod": "veth1a2b vethwepl1a2b3c veth0 veth-a cali0123456789a lxc4f2a9b lxc_health tap0 tapd3adbeef "
    "vnet12 azv0a1b2c3d4e5 eni0123456789a gke0123456789a container",
    "bridge": "cni0 docker0 docker_gwbridge br-0a1b2c3d4e5f br0 br-lan cbr0 virbr0 lxcbr0 kube-bridge weave "
    "podman1 cilium_host",
    "uplink": "eth0 eth10 ens192 ens3f0np0 enp0s31f6 eno1 enx001122334455 em1 bond0 team0 wlan0 wlp2s0 ib0 "
    "ibp5s0 p4p1 host",
    "tunnel": "flannel.1 vxlan.calico tunl0 wg0 gre1",
    None: "lo something ethernet company embed vethernet_switch",
}


@pytest.mark.parametrize(("name", "role"), [(name, role) for role in ROLES for name in ROLES[role].split()])
def test_roles(name: str, role: str | None) -> None:
    """An interface's name says its role, or nothing."""
    assert role == role_of(name)


@pytest.mark.parametrize(
    ("file", "point", "role", "node"),
    [
        # the convention
        ("eth0.pcap", "eth0", "uplink", None),
        ("node7.veth1a2b.pcapng", "veth1a2b", "pod", "node7"),
        ("node7.cni0.3.pcap.gz", "cni0", "bridge", "node7"),
        ("ip-10-0-0-7.internal.eth0.0.pcapng.zst", "eth0", "uplink", "ip-10-0-0-7.internal"),
        ("veth1a2b.pcap.xz", "veth1a2b", "pod", None),
        # tcpdump -C and -W, logrotate
        ("eth0.pcap0", "eth0", "uplink", None),
        ("eth0.pcap12", "eth0", "uplink", None),
        ("eth0.pcap.1", "eth0", "uplink", None),
        ("eth0.pcap.1.gz", "eth0", "uplink", None),
        ("cni0.cap", "cni0", "bridge", None),
        # dumpcap -b
        ("eth0_00001_20261120105816.pcapng", "eth0", "uplink", None),
        ("eth0_20261120105816_00001.pcapng", "eth0", "uplink", None),
        # strftime
        ("eth0-2026-11-20_10:58:16.pcap", "eth0", "uplink", None),
        ("eth0_20261120T105816Z.pcap", "eth0", "uplink", None),
        ("eth0-2026-11-20T10:58:16+0100.pcap", "eth0", "uplink", None),
        ("eth0-20261120-105816.pcap", "eth0", "uplink", None),
        ("eth0-1795170365.pcap", "eth0", "uplink", None),
        ("veth1a2b.2026-11-20.pcap", "veth1a2b", "pod", None),
        # words around
        ("tcpdump-eth0.pcap", "eth0", "uplink", None),
        ("tcpdump_docker0_before.pcap", "docker0", "bridge", None),
        ("veth1a2b_host.pcap", "veth1a2b", "pod", None),
        ("capture br-0a1b2c3d4e5f.pcap", "br-0a1b2c3d4e5f", "bridge", None),
        ("veth-a.pcap", "veth-a", "pod", None),
        ("tcpdump-veth-b_2.pcap.gz", "veth-b", "pod", None),
        ("any.pcap", "any", "any", None),
        ("node7-any-20261120.pcapng", "any", "any", None),
        ("flannel.1.pcap", "flannel.1", "tunnel", None),
        ("node7.flannel.1.pcap", "flannel.1", "tunnel", "node7"),
        # folders
        ("node7/eth0/trace.pcap", "eth0", "uplink", None),
        ("eth0/veth1a2b.pcap", "veth1a2b", "pod", None),
        # the pod's own eth0 is not the node's
        ("container-eth0.pcap", "container-eth0", "pod", None),
        ("nginx-pod.eth0.pcap", "nginx-pod.eth0", "pod", None),
        # no interface at all
        ("container.pcap", "container", "pod", None),
        ("host.pcap", "host", "uplink", None),
        ("trace.pcapng", "trace", None, None),
        ("trace_00002_20261120105816.pcapng", "trace", None, None),
        ("company.pcap", "company", None, None),
        ("capture", "capture", None, None),
        (".pcap", ".pcap", None, None),
        ("1.pcap", "1", None, None),
    ],
)
def test_files(file: str, point: str, role: str | None, node: str | None) -> None:
    """A file's name says the point, its role, and the node."""
    assert Hint(point=point, role=role, node=node) == hint(file)  # type: ignore[arg-type]


def test_what_the_user_says_wins() -> None:
    """An explicit name beats the file's and the interface's; its role too, where it has one."""
    named = hint("trace-eth0.pcap", "veth1a2b")
    assert Hint(point="veth1a2b", role="pod", explicit=True) == named
    assert named == refine(named, "cni0")
    assert Hint(point="outside", role="uplink", explicit=True) == hint("eth0.pcap", "outside")


@pytest.mark.parametrize(
    ("file", "if_name", "point", "role"),
    [
        ("eth0.pcapng", "cni0", "cni0", "bridge"),
        ("trace.pcapng", "eth0", "eth0", "uplink"),
        ("trace.pcapng", "skb/kfree_skb", "skb/kfree_skb", None),
        ("eth0.pcapng", None, "eth0", "uplink"),
        ("eth0.pcapng", "-", "eth0", "uplink"),
        ("eth0.pcapng", "Unknown/not available in original file format(libpcap)", "eth0", "uplink"),
        ("container.pcapng", "eth0", "container", "pod"),
        ("veth1a2b.pcapng", "eth0", "veth1a2b", "pod"),
        ("container.pcapng", "veth0", "veth0", "pod"),
    ],
)
def test_interface_in_a_file(file: str, if_name: str | None, point: str, role: str | None) -> None:
    """The interface's name beats the file's, except inside a pod."""
    refined = refine(hint(file), if_name)
    assert (point, role) == (refined.point, refined.role)


def test_control_characters() -> None:
    """Names that would play tricks on a terminal are defused."""
    assert "eth0?[2J" == refine(hint("a.pcapng"), "eth0\x1b[2J").point
    assert "a?b é" == naming.printable("a\nb é")


@given(st.text(max_size=60), st.none() | st.text(max_size=30))
def test_any_name(label: str, if_name: str | None) -> None:
    """Every name gives a point with a name, quickly."""
    if label.split("/")[-1]:
        assert refine(hint(label), if_name).point
