"""Logs of kube-proxy and CoreDNS."""

from __future__ import annotations

import pytest

from analyzer.evidence.facts import Caveat, DaemonLine
from analyzer.evidence.sources import daemon_log
from analyzer.incident.health import signals
from tests.evidence.test_collecting import collected

PROXY = """\
I1120 10:26:01.000001       1 server_others.go:72] "Using iptables proxy"
E1120 10:26:05.123456       1 proxier.go:1564] "Failed to execute iptables-restore" err="exit status 4" ipFamily="IPv4"
I1120 10:26:05.123460       1 proxier.go:859] "Sync failed" ipFamily="IPv4" retryingAfter="30s"
E1120 10:26:06.100000       1 proxier.go:1550] "Failed to delete stale service connections" err="exit status 1" IP="10.96.0.10"
E1120 10:26:07.100000       1 proxier.go:1203] "can't open port, skipping it" err="listen tcp4 :30080: bind: address already in use"
E1120 10:26:08.200000       1 reflector.go:138] k8s.io/client-go/informers/factory.go:134: Failed to watch *v1.Service: failed to list *v1.Service
W1120 10:26:09.200000       1 proxier.go:661] "Failed to load kernel module with modprobe" moduleName="ip_vs"
"""
DNS = """\
CoreDNS-1.11.1
[INFO] 10.244.0.11:41234 - 5 "A IN web.default.svc.cluster.local. udp 52 false 512" NOERROR qr,aa,rd 102 0.0002s
[ERROR] plugin/errors: 2 shop.example.com. A: read udp 10.244.0.5:41234->192.0.2.53:53: i/o timeout
[ERROR] plugin/errors: 2 shop.example.com. AAAA: dial tcp [2001:db8::5]:41236->[2001:db8::53]:53: connect: no route to host
[ERROR] plugin/errors: 2 . NS: no next plugin found
"""


def lines(text: str) -> list[DaemonLine]:
    """Read a text that is recognised."""
    assert daemon_log.recognises(text)
    return [fact for fact in daemon_log.parse(text, "a") if isinstance(fact, DaemonLine)]


def test_kube_proxy() -> None:
    """Its failures are sorted by what they leave undone; what it only tells is left out."""
    assert [(2, "rules"), (4, "entries"), (5, "port"), (6, "api")] == [
        (one.line, one.about) for one in lines(PROXY)
    ]
    assert '"Failed to execute iptables-restore" err="exit status 4" ipFamily="IPv4"' == lines(PROXY)[0].says


def test_coredns() -> None:
    """Questions that the upstream did not answer, with both ends; other errors and answers are none."""
    first, second = lines(DNS)
    assert ("upstream", "udp", "10.244.0.5:41234", "192.0.2.53:53") == (
        first.about,
        first.proto,
        first.src,
        first.dst,
    )
    assert "shop.example.com. A: i/o timeout" == first.says
    assert "[2001:db8::53]:53" == second.dst


def test_prefixes() -> None:
    """Lines as `kubectl logs --timestamps` and the journal give them."""
    (line,) = lines("2026-11-20T10:26:05.2Z " + PROXY.splitlines()[1] + "\n")
    assert "rules" == line.about


@pytest.mark.parametrize(
    "text",
    [
        "E1120 10:26:05.123456       1 main.go:15] Failed to execute iptables-restore\n",
        "[ERROR] something: 2 a. A: read udp 10.0.0.1:1->10.0.0.2:53: i/o timeout\n",
        "",
    ],
)
def test_other_logs(text: str) -> None:
    """Another program's log is none."""
    assert not daemon_log.recognises(text)


def test_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines beyond the limit are counted."""
    monkeypatch.setattr(daemon_log, "MOST", 1)
    *_, caveat = daemon_log.parse(PROXY, "a")
    assert Caveat(says="a: 3 lines of trouble beyond the first 1 were left out") == caveat


def test_signals() -> None:
    """Rules that were not written are a danger, an upstream that does not answer is worth a look."""
    told = {one.name: one for one in signals(collected(proxy=PROXY, dns=DNS))}
    assert ("4", "danger") == (told["kube-proxy-errors"].value, told["kube-proxy-errors"].level)
    assert "it could not write its rules (1)" in told["kube-proxy-errors"].says
    assert ("2", "warn") == (told["coredns-upstream"].value, told["coredns-upstream"].level)
    assert "192.0.2.53:53 (1)" in told["coredns-upstream"].says
    assert {} == {one.name: one for one in signals(collected(proxy=PROXY.splitlines()[0] + "\n"))}
