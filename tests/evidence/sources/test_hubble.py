"""`hubble observe -o json`."""

from __future__ import annotations

from analyzer.evidence.drops import DropRecord
from analyzer.evidence.facts import Caveat
from analyzer.evidence.sources import hubble

FLOW = (
    '{"flow":{"time":"2023-08-21T12:12:18.510175415Z","verdict":"DROPPED","drop_reason":181,"IP":{"source":"10.244.1.60",'
    '"destination":"10.244.1.5","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":44916,"destination_port":80,'
    '"flags":{"SYN":true}}},"source":{"namespace":"default","pod_name":"xwing"},"node_name":"kind/worker",'
    '"drop_reason_desc":"POLICY_DENY","egress_denied_by":[{"name":"deny-all","namespace":"lab",'
    '"kind":"CiliumNetworkPolicy"}]},"node_name":"kind/worker","time":"2023-08-21T12:12:18.510175415Z"}\n'
)
BARE = (
    '{"time":"2023-08-21T12:12:13.5+02:00","verdict":"DROPPED","IP":{"source":"fe80::1","destination":"ff02::2"},'
    '"l4":{"ICMPv6":{"type":133}},"drop_reason_desc":"INVALID_SOURCE_IP"}\n'
)


def test_flow() -> None:
    """Reason, policy and packet at wall time."""
    assert hubble.recognises(FLOW)
    (drop,) = hubble.parse(FLOW, "a")
    assert drop == DropRecord(
        file="a", line=1, source="hubble", time=1692619938510175415, clock="wall", offset=0, reason="POLICY_DENY",
        proto="tcp", src="10.244.1.60", dst="10.244.1.5", sport=44916, dport=80, rule="CiliumNetworkPolicy/lab/deny-all",
    )  # fmt: skip


def test_older_form() -> None:
    """Without the envelope, and with another zone."""
    assert hubble.recognises(BARE)
    (drop,) = hubble.parse(BARE, "a")
    assert isinstance(drop, DropRecord)
    assert ("icmpv6", "fe80::1", None, 1692612733500000000) == (drop.proto, drop.src, drop.dport, drop.time)


def test_what_was_forwarded() -> None:
    """Other verdicts are no drops, though the word may occur."""
    text = FLOW.replace('"verdict":"DROPPED"', '"verdict":"FORWARDED","Summary":"DROPPED"')
    assert hubble.recognises(text)
    assert [] == list(hubble.parse(text.replace('"Summary":"DROPPED"', '"Summary":["DROPPED"]'), "a"))


def test_cut_short() -> None:
    """A cut line is a caveat; odd types are nothing."""
    drop, caveat = hubble.parse(BARE.replace('{"ICMPv6":{"type":133}}', "[]") + FLOW[:200] + "\n", "a")
    assert isinstance(drop, DropRecord)
    assert "" == drop.proto
    assert isinstance(caveat, Caveat)


def test_text() -> None:
    """As printed: addresses where they are told, else names; verdicts of policies; what passed is none."""
    text = (
        "Aug  7 21:40:47.320: fe80::a0ec:1 (ID:32748) <> ff02::2 (unknown) Unsupported L3 protocol DROPPED (ICMPv6 RouterSolicitation)\n"
        "Aug  7 21:40:49.515: lab/xwing:39932 (ID:64899) <> lab/web-0:15020 (ID:50714) Policy denied DROPPED (TCP Flags: SYN)\n"
        "Aug  7 21:40:49.515 [kind/worker]: 10.0.1.7:39932 -> 10.0.2.9:53 (world) policy-verdict:none EGRESS DENIED (UDP)\n"
        "Aug  7 21:40:50.084: lab/xwing:60136 (ID:1) -> 10.0.2.9:53 (ID:2) to-endpoint FORWARDED (UDP)\n"
    )
    assert hubble.recognises(text)
    assert [
        ("UNSUPPORTED_L3_PROTOCOL", "icmpv6", "fe80::a0ec:1", "", None), ("POLICY_DENIED", "tcp", "", "lab/xwing", 15020),
        ("POLICY_DENIED", "udp", "10.0.1.7", "", 53),
    ] == [
        (drop.reason, drop.proto, drop.src, drop.src_name, drop.dport)
        for drop in hubble.parse(text, "a") if isinstance(drop, DropRecord)
    ]  # fmt: skip
