"""Kernel settings, from `sysctl -a` to single files."""

from __future__ import annotations

import pytest

from analyzer.evidence.facts import Kernel, Sysctl
from analyzer.evidence.sources import sysctl


def settings(text: str, file: str = "a") -> dict[str, str]:
    """Parse a text that is recognised."""
    assert sysctl.recognises(text)
    return {fact.name: fact.value for fact in sysctl.parse(text, file) if isinstance(fact, Sysctl)}


@pytest.mark.parametrize(
    "line",
    [
        "net.netfilter.nf_conntrack_max = 262144", "net.netfilter.nf_conntrack_max=262144",
        "net.netfilter.nf_conntrack_max: 262144", "net.nf_conntrack_max = 262144", "nf_conntrack_max: 262144",
        "/proc/sys/net/netfilter/nf_conntrack_max:262144", "net/netfilter/nf_conntrack_max = 262144",
    ],
)  # fmt: skip
def test_forms(line: str) -> None:
    """All ways to write a setting give one name."""
    assert {"net.netfilter.nf_conntrack_max": "262144"} == settings(f"# some\n{line}\r\nelse\n")


def test_names() -> None:
    """Settings without their group get it; an interface's dot stays apart."""
    text = (
        "ip_forward = 1\nbridge-nf-call-iptables: 0\nnet.ipv4.conf.all.rp_filter = 2\nnet.ipv4.tcp_mem = 1\t2\t3\n"
        "/proc/sys/net/ipv4/conf/eth0.100/rp_filter:1\nnet.ipv4.conf.eth0/101.rp_filter = 0\nkernel.pid_max = 5\nnet.ipv4.conf.eth0.mtu = 1500\n"
    )
    assert {
        "net.ipv4.ip_forward": "1", "net.bridge.bridge-nf-call-iptables": "0", "net.ipv4.conf.all.rp_filter": "2",
        "net.ipv4.tcp_mem": "1\t2\t3", "net.ipv4.conf.eth0/100.rp_filter": "1", "net.ipv4.conf.eth0/101.rp_filter": "0",
    } == settings(text)  # fmt: skip


def test_kernel() -> None:
    """The release is among the settings."""
    assert [Kernel(release="6.1.0-18-amd64", file="a")] == list(
        sysctl.parse("kernel.osrelease = 6.1.0-18-amd64\n", "a")
    )


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("proc-sys-net/netfilter/nf_conntrack_max", None),
        ("capture/proc-sys-net/netfilter/nf_conntrack_count", "net.netfilter.nf_conntrack_count"),
        ("sosreport-x/proc/sys/net/ipv4/ip_forward", "net.ipv4.ip_forward"),
        ("proc/sys/net/ipv4/conf/eth0.5/rp_filter", "net.ipv4.conf.eth0/5.rp_filter"),
        ("nf_conntrack_count", "net.netfilter.nf_conntrack_count"),
        ("node7.nf_conntrack_count.txt", "net.netfilter.nf_conntrack_count"),
        ("sys/nf_conntrack_max-before.txt", "net.netfilter.nf_conntrack_max"),
        ("answer.txt", ""),
    ],
)  # fmt: skip
def test_bare_number(file: str, name: str | None) -> None:
    """A lone number is what its path says, or nothing."""
    expected = {} if name == "" else {name or "net.netfilter.nf_conntrack_max": "42"}
    assert expected == settings("42\n", file)


def test_cut_and_other_text() -> None:
    """A cut line has no value; prose is not taken for settings."""
    assert {"net.ipv4.ip_forward": "1"} == settings("net.ipv4.ip_forward = 1\nnet.ipv4.ip_no_pmtu_disc =")
    for text in ("", "the net.ipv4.ip_forward = 1\n", "1.5\n", "12 monkeys\n", "net = 5\n"):
        assert not sysctl.recognises(text)


def test_conntracks_own_count() -> None:
    """`conntrack -C` prints a number alone: behind the command, under a title, or in a file named so."""
    for text, file in (
        ("$ sudo conntrack -C\n261234\n", "a"),
        ("--- conntrack -C ---\n261234\n", "a"),
        ("261234\n", "conntrack-C.txt"),
    ):
        assert sysctl.recognises(text)
        (said,) = sysctl.parse(text, file)
        assert Sysctl(name="net.netfilter.nf_conntrack_count", value="261234", file=file) == said


def test_several_asked_at_once() -> None:
    """`cat` of several files prints their numbers in the same order."""
    text = "root@n:~# cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/bridge/bridge-nf-call-iptables\n0\n1\n"
    assert {"net.ipv4.ip_forward": "0", "net.bridge.bridge-nf-call-iptables": "1"} == {
        said.name: said.value for said in sysctl.parse(text, "a") if isinstance(said, Sysctl)
    }
