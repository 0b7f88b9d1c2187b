"""What the tests of the causes put beside their conversations: counters, rules, and frames that are no conversation's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6ND_NA, ICMPv6ND_NS, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from analyzer import Analysis, analyze
from analyzer.incident.causes import CODES
from analyzer.incident.model import Finding
from tests.conftest import ROOT
from tests.conversation import BRIDGE, GATEWAY, START, UPLINK, Conversation, bystander, record

POD, SERVER = "10.244.0.11:20000", "192.0.2.100:80"
AROUND = (bystander(-5), bystander(40))
BROADCAST = "ff:ff:ff:ff:ff:ff"
SOURCES = {
    "bridge -d link", "captures", "captures, by the lifetimes of their connections", "conntrack -S before and after",
    "counters before and after", "ip link", "ip rule", "lsmod", "net.netfilter.nf_conntrack_count", "rules and captures",
    "sysctl", "the kernel's default",
}  # fmt: skip
"""Whom evidence may be from, where it is no file."""
FILES = re.compile(r"(?!net\.)\S+\.\S+(?: (?:frame|line) \d+| frames \d+ (?:and|to) \d+)?(?: and \S+\.\S+)?")
LOOK_ALIKES = {
    "a connection of somebody else", "an endpoint that is slow", "closed port",
    "invalid-reset", "lost before the node", "lost inside the node", "lost outside the node",
    "packet missed by the capture", "refused by a router on the way", "refused by the peer", "refused by the pod",
    "reset by the application", "reset by the container", "reset by the server", "rules of the named kernel",
    "rules, translation and connection tracking", "traffic exempt from SNAT",
}  # fmt: skip
"""What is excluded besides causes."""
ROWS = re.findall(
    r"^\| `([a-z-]+)` \| ((?:`\w+`(?:, )?)+) \|$", (ROOT / "docs/json.md").read_text("utf-8"), re.MULTILINE
)
FACTS = {cause: {*re.findall(r"\w+", names)} for cause, names in ROWS}
VANISHED = {"attempts_vanished", "answered", "answered_after_s", "way"}
COUNTERS = ("found", "invalid", "insert", "insert_failed", "drop", "early_drop", "error", "search_restart")


def connection(n: int = 0, **changes: Any) -> Conversation:
    """Pod number *n*'s connection out of the node, on a port of its own."""
    ends = {
        "pod": f"10.244.0.{11 + n}:{20000 + n}",
        "server": SERVER,
        "nat": f"192.0.2.10:{20000 + n}",
        "way": f"veth-{chr(97 + n)} cni0 | eth0",  # a number would be a rotated file's
        "isn": 1_000_000 + 100_000 * n,
    }
    return Conversation(**{**ends, **changes})


def vanishing(talk: Conversation, *times: float, after: str = "cni0") -> Conversation:
    """Let a connection try at these seconds, in vain."""
    for at in times:
        (talk.syn(at) if talk.proto == "tcp" else talk.data(b"question %d" % talk.isn, at)).lost_after(after)
    return talk


def whole(talk: Conversation, at: float) -> Conversation:
    """Let a connection be opened, or a question be answered, at that second."""
    if talk.proto == "tcp":
        talk.syn(at)
        talk.accept()
    else:
        talk.data(b"question %d" % talk.isn, at)
        talk.reply()
    return talk


def counters(folder: Path, *, since: Mapping[str, int] | None = None, **rises: int) -> None:
    """Write `conntrack -S` from before and after; what is not named did not move."""
    folder.mkdir(parents=True, exist_ok=True)
    before = dict.fromkeys(COUNTERS, 1000) | dict(since or {})
    for when, risen in (("before", {}), ("after", rises)):
        told = " ".join(f"{name}={before[name] + risen.get(name, 0)}" for name in COUNTERS)
        idle = " ".join(f"{name}=7" for name in COUNTERS)
        (folder / f"conntrack-S-{when}.txt").write_text(f"cpu=0   \t{told} \ncpu=1   \t{idle} \n")


@dataclass(slots=True)
class Frames:
    """Frames that `record` takes beside conversations."""

    heard: list[tuple[str, float, Packet]] = field(default_factory=list)

    @property
    def points(self) -> list[str]:
        """The points that heard them."""
        return [point for point, _, _ in self.heard]

    def frames(self) -> Iterator[tuple[str, int, bytes]]:
        """As a conversation tells its own."""
        for point, at, packet in self.heard:
            yield point, START + round(at * 1e9), bytes(packet)

    def asks(
        self,
        who_has: str,
        *times: float,
        by: str = "192.0.2.10",
        mac: str = UPLINK,
        answered: bool = False,
        point: str = "eth0",
    ) -> Frames:
        """ARP requests, or neighbour solicitations, at these seconds."""
        for at in times:
            if ":" in who_has:
                low = int(who_has.rpartition(":")[2], 16)
                group = f"ff02::1:ff00:{low:x}"
                ask = IPv6(src=by, dst=group, hlim=255) / ICMPv6ND_NS(tgt=who_has)
                answer = IPv6(src=who_has, dst=by, hlim=255) / ICMPv6ND_NA(tgt=who_has, R=0)
                frames = Ether(src=mac, dst="33:33:ff:00:00:01") / ask, Ether(src=GATEWAY, dst=mac) / answer
            else:
                frames = (
                    Ether(src=mac, dst=BROADCAST) / ARP(op=1, hwsrc=mac, psrc=by, pdst=who_has),
                    Ether(src=GATEWAY, dst=mac) / ARP(op=2, hwsrc=GATEWAY, psrc=who_has, hwdst=mac, pdst=by),
                )
            self.heard.append((point, at, frames[0]))
            if answered:
                self.heard.append((point, at + 0.0002, frames[1]))
        return self

    def unreachable(self, talk: Conversation, at: float, code: int = 1) -> Frames:
        """The node tells the pod of a conversation that its SYN or datagram could not be delivered."""
        (pod, sport), (server, dport) = (end.rsplit(":", 1) for end in (talk.pod, talk.server))
        transport = (TCP if talk.proto == "tcp" else UDP)(sport=int(sport), dport=int(dport))
        frame = Ether(src=BRIDGE, dst="02:00:00:00:00:99")
        if "." in pod:
            frame /= (
                IP(src="10.244.0.1", dst=pod) / ICMP(type=3, code=code) / IP(src=pod, dst=server) / transport
            )
        else:
            pod, server = pod.strip("[]"), server.strip("[]")
            quoted = IPv6(src=pod, dst=server) / transport
            frame /= IPv6(src="2001:db8:1::1", dst=pod) / ICMPv6DestUnreach(code=code) / quoted
        for point in talk.points[:2][::-1]:
            self.heard.append((point, at, frame))
        return self


def judged(folder: Path, *talks: Conversation | Frames, **options: Any) -> Analysis:
    """Analyse these between two connections that were whole, with what is in the folder already."""
    return analyze(record(folder, *talks, *AROUND, **options))  # type: ignore[arg-type]


def findings(analysis: Analysis) -> list[Finding]:
    """Every finding, in order of time; each says what its evidence is and where, what is excluded by what, and what to do."""
    found = sorted((f for i in analysis.incidents for f in i.findings), key=lambda f: f.time)
    assert all(i.summary.endswith(".") for i in analysis.incidents)
    assert all(
        e.says and (e.source in SOURCES or FILES.fullmatch(e.source)) for f in found for e in f.evidence
    )
    assert all(e.because and e.cause in {*CODES, *LOOK_ALIKES} for f in found for e in f.excluded)
    assert all(f.facts.keys() - VANISHED <= FACTS[f.cause] for f in found if f.cause in FACTS)
    assert all(r.do and r.effect and r.risk for f in found for r in f.remedies)
    return found


def causes(analysis: Analysis) -> list[str]:
    """The cause of every finding, in order of time."""
    return [finding.cause for finding in findings(analysis)]
