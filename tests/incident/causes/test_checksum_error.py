"""Wrong checksums: by the log's line on the packet, or on its tunnel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP, IPOption
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from tests.conversation import START, Conversation
from tests.incident.causes.test_rp_filter import inbound
from tests.incident.evidence import Frames, causes, connection, counters, findings, judged, vanishing
from tests.incident.node import known, risen, told

CODE = "checksum-error"
INNER = (
    "[   12.500000] nf_ct_proto_6: bad checksum IN=eth0 OUT= MAC= SRC=198.51.100.7 DST=10.244.0.11 LEN=60 TOS=0x00 "
    "PREC=0x00 TTL=63 "
    "ID=0 DF PROTO=TCP SPT=40000 DPT=80 SEQ=50 ACK=0 WINDOW=502 RES=0x00 SYN\n"
)
OUTER = "[   12.500000] UDP: bad checksum. From 192.0.2.77:26900 to 192.0.2.10:8472 ulen 82\n"


class Tunnelled:
    """A SYN that came to eth0 in VXLAN, three times, and went nowhere."""

    points = ("eth0",)

    def __init__(self, sport: int = 26900, *options: IPOption) -> None:
        self.sport, self.options = sport, list(options)

    def frames(self) -> Iterator[tuple[str, int, bytes]]:
        """As a conversation tells its own."""
        syn = IP(src="10.244.3.9", dst="10.244.0.11", ttl=63, options=self.options)
        syn /= TCP(sport=40000, dport=80, flags="S", seq=50)
        inner = Ether(src="02:00:00:00:00:09", dst="02:00:00:00:00:08") / syn
        outer = (
            IP(src="192.0.2.77", dst="192.0.2.10")
            / UDP(sport=self.sport, dport=8472, chksum=0xFFFF)
            / VXLAN(flags="Instance", vni=1)
        )
        for at in (0, 1, 3):
            yield (
                "eth0",
                START + at * 10**9,
                bytes(Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:02") / outer / inner),
            )


def test_the_packet_is_named(tmp_path: Path) -> None:
    """Conntrack's line has its addresses, ports and number; the counter of INVALID packets is explained by it."""
    counters(tmp_path, invalid=3)
    told(tmp_path, dmesg=INNER)
    analysis = judged(tmp_path, known(), inbound())
    (finding,) = findings(analysis)

    assert (CODE, "proven") == (finding.cause, finding.confidence)
    assert ["the kernel logged this very packet", "invalid rose by 3"] == [
        one.says.split(":")[0] for one in finding.evidence
    ]
    assert ["lost before the node", "snat-port-race"] == [one.cause for one in finding.excluded]
    assert ["3 of 3 explained"] == [row.note for row in analysis.reconciliation if row.counter == "invalid"]


def test_a_datagram_is_named(tmp_path: Path) -> None:
    """Of UDP, which has no number, addresses and ports are enough."""
    line = INNER.replace("proto_6", "proto_17").replace("PROTO=TCP", "PROTO=UDP")
    told(tmp_path, dmesg=line.replace("SEQ=50 ACK=0 WINDOW=502 RES=0x00 SYN", "LEN=40"))
    talk = Conversation(pod="10.244.0.11:80", server="198.51.100.7:40000", proto="udp")
    talk.send("", b"asks", by_pod=False, at=0).lost_after("eth0")

    assert [(CODE, "proven")] == [(f.cause, f.confidence) for f in findings(judged(tmp_path, known(), talk))]


@pytest.mark.parametrize(
    ("sport", "feature", "confidence", "told_of"),
    [(26900, "on", "proven", True), (26901, "off", "likely", False), (26900, "on [fixed]", "proven", False)],
)
def test_the_tunnel_is_named(
    tmp_path: Path, sport: int, feature: str, confidence: str, told_of: bool
) -> None:
    """The line has the tunnel's addresses and port; another port is another flow of the same tunnel.

    An offload that is on for the tunnel's device here, and could be off, is told.
    """
    told(tmp_path, dmesg=OUTER, ethtool=f"Features for flannel.1:\ntx-checksum-ip-generic: {feature}\n")
    told(tmp_path, ethtool_uplink="Features for eth0:\ntx-checksum-ip-generic: on\n")  # no tunnel
    (finding,) = findings(judged(tmp_path, known(), Tunnelled(sport)))  # type: ignore[arg-type]

    assert (CODE, confidence, "vxlan") == (finding.cause, finding.confidence, finding.facts["tunnel"])
    assert ["flannel.1"] * told_of == [
        e.says.split()[4] for e in finding.evidence if e.says.startswith("tx-checksum-ip-generic is on for ")
    ]


def test_ip_in_ip(tmp_path: Path) -> None:
    """Its device is told by its usual name, where no list has it; VXLAN's has any."""
    inner = IP(src="198.51.100.7", dst="10.244.0.11", ttl=63) / TCP(sport=40000, dport=80, flags="S", seq=50)
    outer = Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:02") / IP(
        src="192.0.2.77", dst="192.0.2.10", proto=4
    )
    told(tmp_path, dmesg=INNER)
    (finding,) = findings(
        judged(tmp_path, known(), Frames([("eth0", at, outer / inner) for at in (0, 1, 3)]))
    )

    assert (CODE, "proven", "ipip") == (finding.cause, finding.confidence, finding.facts["tunnel"])
    assert "ethtool -K tunl0 tx-checksum-ip-generic off" == finding.remedies[0].command


def test_the_tunnel_cannot_be_read(tmp_path: Path) -> None:
    """Behind an inner header with options nobody looks for the outer one: the line may be of another packet."""
    told(tmp_path, dmesg=OUTER)

    assert ["unknown"] == causes(judged(tmp_path, known(), Tunnelled(26900, IPOption(bytes([148, 4, 0, 0])))))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("end", "other"), [("192.0.2.77", "192.0.2.78"), ("192.0.2.10", "192.0.2.11"), (":8472", ":4789")]
)
def test_another_tunnel_is_named(end: str, other: str, tmp_path: Path) -> None:
    """Its port is by chance the same, its ends are not."""
    told(tmp_path, dmesg=OUTER.replace(end, other))

    assert ["unknown"] == causes(judged(tmp_path, known(), Tunnelled()))  # type: ignore[arg-type]


def test_counted(tmp_path: Path) -> None:
    """As many wrong checksums of UDP were counted as packets of the tunnel are lost: likely."""
    risen(tmp_path, "UdpInCsumErrors", 3)
    (finding,) = findings(judged(tmp_path, known(), Tunnelled()))  # type: ignore[arg-type]

    assert (CODE, "likely") == (finding.cause, finding.confidence)
    assert ["UdpInCsumErrors rose by 3"] == [one.says for one in finding.evidence]


@pytest.mark.parametrize(
    "line",
    [
        INNER.replace("SEQ=50", "SEQ=51"),
        INNER.replace("SRC=198.51.100.7", "SRC=198.51.100.8"),
        INNER.replace("bad checksum", "invalid packet ignored"),
        OUTER,
    ],
)
def test_near_misses(tmp_path: Path, line: str) -> None:
    """Another packet's line, another reason, or a tunnel's where there is none."""
    told(tmp_path, dmesg=line)

    assert ["unknown"] == causes(judged(tmp_path, known(), inbound()))


def test_what_leaves(tmp_path: Path) -> None:
    """Its checksum is not verified here: the line is of another packet with these ends."""
    line = INNER.replace("SRC=198.51.100.7 DST=10.244.0.11", "SRC=10.244.0.11 DST=192.0.2.100")
    told(tmp_path, dmesg=line.replace("SPT=40000", "SPT=20000").replace("SEQ=50", "SEQ=1000000"))

    assert ["unknown"] == causes(judged(tmp_path, vanishing(connection(), 0, 1, 3)))


def test_the_counter_without_a_tunnel(tmp_path: Path) -> None:
    """TCP that is not in a tunnel has no checksum of UDP."""
    risen(tmp_path, "UdpInCsumErrors", 30)

    assert ["unknown"] == causes(judged(tmp_path, known(), inbound()))
