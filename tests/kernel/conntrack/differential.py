"""Sends traffic through the real netfilter and compares its verdict of every packet with the model's.

Needs root, ip, nft and conntrack, and of Python only the standard library, so that it also runs inside a
small virtual machine with another kernel:

    PYTHONPATH=. python3 tests/kernel/conntrack/differential.py --packets 1000000 --seed 7 --generation 5.10

On a kernel that disagrees, `--with` and `--without` find out which behaviours it has.

Two network namespaces: `ends` holds the outer ends of two veth pairs and no address, so no stack answers;
`router` forwards between them and tracks. Rules write what conntrack decided into the forwarded packet:
`ct state` and `ct status` into the DSCP, the entry's remaining life into the TTL.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from traffic import encode, script

from analyzer.conntrack.generation import GENERATIONS, Generation, generation_of
from analyzer.conntrack.model import Judgement, Segment, Settings
from analyzer.conntrack.states import State
from analyzer.conntrack.tcp import Connection

# Far enough apart that the remaining life tells which one was chosen, a few seconds later.
TIMEOUTS = {
    State.CLOSE: 60,
    State.SYN_SENT2: 120,  # has no sysctl
    State.SYN_SENT: 1000,
    State.SYN_RECV: 1100,
    State.FIN_WAIT: 1200,
    State.CLOSE_WAIT: 1300,
    State.LAST_ACK: 1400,
    State.TIME_WAIT: 1500,
    State.ESTABLISHED: 9000,
}
MAX_RETRANS, UNACKNOWLEDGED = 200, 300
LIVES = sorted((*TIMEOUTS.values(), MAX_RETRANS, UNACKNOWLEDGED))
TOLERANCE = 25  # seconds between a packet and the look at its entry's clock
SETTINGS = (
    {},
    {},
    {},
    {"be_liberal": True},
    {"loose": False},
    {"ignore_invalid_rst": True},
)
CLONE_NEWNET = 0x40000000
CLIENT, SERVER = "10.0.0.2", "192.0.2.2"
MACS = {
    "c0": b"\x02\0\0\0\0\x01",
    "r0": b"\x02\0\0\0\0\x02",
    "s0": b"\x02\0\0\0\0\x03",
    "r1": b"\x02\0\0\0\0\x04",
}
NEW, ESTABLISHED, INVALID, SEEN_REPLY, ASSURED = 1, 2, 3, 4, 8


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the kernel wrote into one packet."""

    ct_state: str
    seen_reply: bool
    assured: bool
    life: int | None
    """Which of `LIVES` the entry's clock was last set to; None without a confirmed entry."""


@dataclass(slots=True)
class Disagreement:
    """The first packet of a connection that kernel and model judge differently."""

    settings: dict[str, bool]
    segments: list[Segment]
    """The connection up to and with that packet."""
    kernel: Ruling | None
    model: Judgement
    what: str
    """What differs: `ct state`, `status`, `timeout`, or `lost` if the packet never arrived."""

    def __str__(self) -> str:
        """Tell all that a regression case needs."""
        lines = [f"{self.what}: kernel {self.kernel}", f"model {self.model}", f"settings {self.settings}"]
        return "\n    ".join([*lines, *map(repr, self.segments)])


@dataclass(slots=True)
class Outcome:
    """What a run saw."""

    kernel: str = field(default_factory=lambda: os.uname().release)
    packets: int = 0
    connections: int = 0
    judged: Counter[str] = field(default_factory=Counter)
    disagreements: list[Disagreement] = field(default_factory=list)


def run(*command: str, given: str | None = None) -> str:
    """Run a system tool, and fail with what it said."""
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Let this thread work in a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as home, Path(f"/run/netns/{namespace}").open() as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
        try:
            yield
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)


class Router:
    """A namespace that tracks and forwards, between two raw sockets."""

    def __enter__(self) -> Router:
        """Build both namespaces."""
        self.name, self.ends = f"router{os.getpid()}", f"ends{os.getpid()}"
        self._sockets: list[socket.socket] = []
        for namespace in (self.name, self.ends):
            run("ip", "netns", "add", namespace)
        try:
            self._build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        """Remove them."""
        for raw in self._sockets:
            raw.close()
        for namespace in (self.name, self.ends):
            run("ip", "netns", "del", namespace)

    def _build(self) -> None:
        for outer, inner in (("c0", "r0"), ("s0", "r1")):
            run("ip", "-n", self.ends, "link", "add", outer, "type", "veth", "peer", "name", inner,
                "netns", self.name)  # fmt: skip
            for namespace, name in ((self.ends, outer), (self.name, inner)):
                mac = MACS[name].hex(":")
                run("ip", "-n", namespace, "link", "set", name, "address", mac, "mtu", "65000", "up")
        for name, address, peer in (("r0", "10.0.0.1/24", CLIENT), ("r1", "192.0.2.1/24", SERVER)):
            run("ip", "-n", self.name, "address", "add", address, "dev", name)
            outer = {"r0": "c0", "r1": "s0"}[name]
            run("ip", "-n", self.name, "neigh", "add", peer, "lladdr", MACS[outer].hex(":"), "dev", name)
        run("ip", "-n", self.name, "route", "add", "10.1.0.0/16", "via", CLIENT)
        self.sysctl("net.ipv4.ip_forward", 1)
        for name in ("all", "r0", "r1"):
            self.sysctl(f"net.ipv4.conf.{name}.rp_filter", 0)
        run("ip", "netns", "exec", self.name, "nft", "-f", "-", given=_rules())
        conntrack = "net.netfilter.nf_conntrack"
        self.sysctl(f"{conntrack}_checksum", 0)
        for state, seconds in TIMEOUTS.items():
            if state is not State.SYN_SENT2:
                self.sysctl(f"{conntrack}_tcp_timeout_{state.lower()}", seconds)
        self.sysctl(f"{conntrack}_tcp_timeout_max_retrans", MAX_RETRANS)
        self.sysctl(f"{conntrack}_tcp_timeout_unacknowledged", UNACKNOWLEDGED)
        with inside(self.ends):
            for name in ("c0", "s0"):
                raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
                raw.bind((name, 0x0800))
                raw.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
                self._sockets.append(raw)

    def sysctl(self, key: str, value: int) -> None:
        """Set a sysctl of the router."""
        with inside(self.name):
            Path("/proc/sys", *key.split(".")).write_text(str(int(value)))

    def apply(self, settings: dict[str, bool], generation: Generation) -> None:
        """Set the TCP sysctls that vary."""
        conntrack = "net.netfilter.nf_conntrack_tcp_"
        self.sysctl(conntrack + "be_liberal", settings.get("be_liberal", False))
        self.sysctl(conntrack + "loose", settings.get("loose", True))
        if generation.rst_check_optional:
            self.sysctl(conntrack + "ignore_invalid_rst", settings.get("ignore_invalid_rst", False))

    def forget(self) -> None:
        """Empty the table."""
        run("ip", "netns", "exec", self.name, "conntrack", "-F")

    def send(self, segment: Segment, number: int, client: int) -> None:
        """Send a segment from the side it belongs to.

        Args:
            segment: What to send.
            number: Its IP ID, by which `collect` knows it again.
            client: Which of the client's addresses and ports.
        """
        ports = self.ports(client, reply=segment.reply)
        self.transmit(encode(segment, ports), socket.IPPROTO_TCP, number, client, reply=segment.reply)

    def ports(self, client: int, *, reply: bool) -> tuple[int, int]:
        """Source and destination port of a packet."""
        ports = (1024 + (client & 0x7FFF), 80)
        return ports[::-1] if reply else ports

    def transmit(self, content: bytes, protocol: int, number: int, client: int, *, reply: bool) -> None:
        """Send an IPv4 packet from the side that it belongs to.

        Args:
            content: What follows the IP header.
            protocol: Of the content.
            number: The IP ID.
            client: Which of the client's addresses and ports.
            reply: Sent by the server.
        """
        near, far = 10 << 24 | 1 << 16 | client >> 15 & 0xFFFF, 0xC0000202
        source, target = (far, near) if reply else (near, far)
        header = struct.pack(
            "!BBHHHBBHII", 0x45, 0, 20 + len(content), number, 0, 64, protocol, 0, source, target
        )
        total = sum(struct.unpack("!10H", header))
        total = (total & 0xFFFF) + (total >> 16)
        header = header[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + header[12:]
        own, gate = ("s0", "r1") if reply else ("c0", "r0")
        self._sockets[reply].send(MACS[gate] + MACS[own] + b"\x08\0" + header + content)

    def collect(self, count: int) -> dict[int, Ruling]:
        """Receive forwarded packets until there are *count*, or until five seconds pass without one."""
        rulings = {}
        for raw in self._sockets:
            raw.setblocking(False)
        deadline = time.monotonic() + 5
        while len(rulings) < count and time.monotonic() < deadline:
            for raw in self._sockets:
                with contextlib.suppress(BlockingIOError):
                    while frame := raw.recv(64):
                        _, tos, _, number, _, ttl = struct.unpack_from("!BBHHHB", frame, 14)
                        rulings[number] = _ruling(tos >> 2, ttl)
                        deadline = time.monotonic() + 5
        return rulings


def _ruling(dscp: int, ttl: int) -> Ruling:
    return Ruling(
        {NEW: "new", ESTABLISHED: "established", INVALID: "invalid"}.get(dscp & 3, "untracked"),
        bool(dscp & SEEN_REPLY),
        bool(dscp & ASSURED),
        LIVES[ttl - 100] if 100 <= ttl < 100 + len(LIVES) else None,
    )


def _rules() -> str:
    """Write the nftables rules that write into the packets."""
    rules = [f"ct state invalid ip dscp set {INVALID}"]
    for state, code in (("new", NEW), ("established", ESTABLISHED)):
        for status, bits in (("0", 0), ("seen-reply", SEEN_REPLY), ("assured", ASSURED),
                             ("seen-reply | assured", SEEN_REPLY | ASSURED)):  # fmt: skip
            test = f"ct status & (seen-reply | assured) == {status}"
            rules.append(f"ct state {state} {test} ip dscp set {code | bits}")
    # The TTL is one lower when the packet leaves.
    for number, life in enumerate(LIVES):
        left = f"ct expiration {life - TOLERANCE}s-{life + 1}s"
        rules.append(f"ct status & confirmed == confirmed {left} ip ttl set {101 + number}")
    hook = "type filter hook prerouting priority -150; policy accept;"  # right after conntrack, at -200
    return "\n".join(["table ip t {", "chain c {", hook, *rules, "}", "}", ""])


@dataclass(slots=True)
class _Flow:
    """One connection under test."""

    client: int
    connection: Connection
    segments: Iterator[Segment]
    sent: list[Segment] = field(default_factory=list)
    told: list[tuple[int, Judgement, tuple[bool, bool] | None, int | None]] = field(default_factory=list)
    """Per segment: number, judgement, then the entry's status (seen_reply, assured) and life after it."""


def compare(generation: Generation, *, seed: int, packets: int, at_once: int = 16) -> Outcome:
    """Send at least *packets* packets and compare verdict, status and clock of each.

    Args:
        generation: The rules that the running kernel should follow.
        seed: Of the traffic.
        packets: How many.
        at_once: How many connections are interleaved.
    """
    rng, outcome = Random(seed), Outcome()
    with Router() as router:
        while outcome.packets < packets:
            settings = rng.choice(SETTINGS)
            router.apply(settings, generation)
            if outcome.connections % (at_once * 256) == 0:
                router.forget()
            flows = []
            for _flow in range(at_once):
                connection = Connection(
                    generation,
                    Settings(
                        timeouts=TIMEOUTS,
                        timeout_max_retrans=MAX_RETRANS,
                        timeout_unacknowledged=UNACKNOWLEDGED,
                        **settings,
                    ),
                )
                child = Random(rng.getrandbits(64))
                flows.append(_Flow(outcome.connections, connection, script(child, connection)))
                outcome.connections += 1
            rulings = _play(router, rng, flows)
            for flow in flows:
                _check(flow, rulings, settings, outcome)
    return outcome


def _play(router: Router, rng: Random, flows: list[_Flow]) -> dict[int, Ruling]:
    """Interleave the flows' segments, send each and have the model judge it."""
    rulings: dict[int, Ruling] = {}
    waiting, number, live = 0, 0, list(flows)
    while live:
        flow = rng.choice(live)
        segment = next(flow.segments, None)
        if segment is None:
            live.remove(flow)
            continue
        segment = replace(segment, time=time.monotonic_ns())
        judgement = flow.connection.judge(segment)
        entry = flow.connection.entry
        left = (entry.expires - segment.time) / 1e9 if entry and entry.expires is not None else None
        life = next((life for life in LIVES if left is not None and left <= life + 1), None)
        status = (entry.seen_reply, entry.assured) if entry else None
        flow.sent.append(segment)
        flow.told.append((number, judgement, status, life))
        router.send(segment, number, flow.client)
        number, waiting = number + 1, waiting + 1
        if waiting == 48:
            rulings |= router.collect(waiting)
            waiting = 0
    return rulings | router.collect(waiting)


def _check(flow: _Flow, rulings: dict[int, Ruling], settings: dict[str, bool], outcome: Outcome) -> None:
    """Compare one flow's judgements with the kernel's, up to the first difference."""
    outcome.packets += len(flow.sent)
    for position, (number, judgement, status, life) in enumerate(flow.told):
        ruling = rulings.get(number)
        outcome.judged[f"{judgement.verdict} {judgement.test}".strip()] += 1
        what = ""
        if ruling is None:
            what = "lost"
        elif ruling.ct_state != judgement.ct_state:
            what = "ct state"
        elif ruling.ct_state != "invalid" and status:
            if (ruling.seen_reply, ruling.assured) != status:
                what = "status"
            elif judgement.before is not State.NONE and ruling.life != life:
                what = "timeout"
        if what:
            segments = flow.sent[: position + 1]
            outcome.disagreements.append(Disagreement(settings, segments, ruling, judgement, what))
            return


def main() -> int:
    """Run from the command line; the exit code is 1 if anything disagreed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--packets", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--generation", choices=GENERATIONS, default=generation_of(os.uname().release).name)
    parser.add_argument(
        "--with", nargs="*", default=[], metavar="BEHAVIOUR", help="field of Generation to turn on"
    )
    parser.add_argument("--without", nargs="*", default=[], metavar="BEHAVIOUR", help="or off")
    chosen = parser.parse_args()
    switched = dict.fromkeys(vars(chosen)["with"], True) | dict.fromkeys(chosen.without, False)
    generation = replace(GENERATIONS[chosen.generation], **switched)
    began = time.monotonic()
    outcome = compare(generation, seed=chosen.seed, packets=chosen.packets)
    told = {
        "kernel": outcome.kernel,
        "generation": chosen.generation,
        "switched": switched,
        "packets": outcome.packets,
        "connections": outcome.connections,
        "seconds": round(time.monotonic() - began, 1),
        "judged": dict(outcome.judged.most_common()),
        "disagreements": len(outcome.disagreements),
    }
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    for found in sorted(outcome.disagreements, key=lambda found: len(found.segments))[:5]:
        sys.stdout.write(f"\n{found}\n")
    return bool(outcome.disagreements)


if __name__ == "__main__":
    sys.exit(main())
