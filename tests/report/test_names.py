"""Names of hosts, pods, services and namespaces have keyed aliases where it is clear what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.report import evidence
from analyzer.report.names import Names
from analyzer.report.redaction import redact
from tests.conversation import Conversation, bystander, record
from tests.golden import renderings

KEY = b"a key of the tests"


def named(*texts: str, labels: tuple[str, ...] = ()) -> Names:
    """Names that have seen these texts."""
    names = Names(KEY)
    names.learn(texts, labels, lambda name: name.startswith("ip-10-"))
    return names


@pytest.mark.parametrize(
    ("text", "gone", "stays"),
    [
        ("eth0 of payments-7d4f8b6c9d-x7k2p.pcap", ("payments",), ("eth0 of pod-", ".pcap")),
        (
            "curl payments.shop.svc.cluster.local:80",
            ("payments", "shop"),
            (".svc.cluster.local:80", "name-", ".ns-"),
        ),
        (
            "/* shop/payments:http cluster IP */",
            ("payments", "shop"),
            ("/* ns-", "/name-", ":http cluster IP */"),
        ),
        ('--comment "shop/payments has no endpoints" -j REJECT', ("payments", "shop"), ("has no endpoints",)),
        (
            "Nov 20 10:58:16 worker-eu-3 kernel: nf_conntrack: table full",
            ("worker-eu-3",),
            ("host-", "kernel: nf_"),
        ),
        (
            "2026-11-20T10:58:16.1+01:00 worker-eu-3 kernel: x; worker-eu-3",
            ("worker-eu-3",),
            ("kernel: x; host-",),
        ),
    ],
)
def test_names_are_replaced(text: str, gone: tuple[str, ...], stays: tuple[str, ...]) -> None:
    """In the forms in which Kubernetes and the kernel's log write them."""
    told = named(text).text(text)

    assert not [name for name in gone if name in told]
    assert not [part for part in stays if part not in told]
    assert told == named(told).text(told)


@pytest.mark.parametrize(
    "text",
    [
        "/* default/kubernetes:https */",
        "nf_conntrack_tcp_be_liberal",
        "syn-vanished-1 between cni0 and eth0",
        "ip-10-244-0-11.internal",
        "a/b/c and src/main.c",
        "eth0-2026-11-20_10:58:16.pcap",
        "snat-port-race",
    ],
)
def test_what_names_nobody_stays(text: str) -> None:
    """Words, settings, dates, and names that everybody has."""
    assert text == named(text).text(text)


def test_one_name_one_alias() -> None:
    """In all texts of one key, and another one with another key."""
    text = "payments-7d4f8b6c9d-x7k2p"

    assert named().text(text) == named().text(text)
    assert named().text(text) != Names(b"another").text(text)


def test_the_host_in_a_files_name(tmp_path: Path) -> None:
    """It is gone from every output, comments of the evidence included."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:20000")
    talk.syn().lost_after("cni0")
    talk.syn(at=1.0)
    talk.accept()
    names = {"veth-a": "worker3.veth-a", "cni0": "worker3.cni0", "eth0": "worker3.eth0"}
    analysis = analyze(record(tmp_path / "b", talk, bystander(-5), bystander(20), names=names))
    evidence.write(analysis, tmp_path / "e.pcapng", key=KEY)
    told = renderings(redact(analysis, KEY))

    assert any("worker3" in text for text in renderings(analysis).values())
    assert not [name for name, text in told.items() if "worker3" in text]
    assert b"worker3" not in (tmp_path / "e.pcapng").read_bytes()


def test_long_texts() -> None:
    """A name of any length is looked at once."""
    text = "a-" * 100_000 + "b"

    assert text == named(text).text(text)
