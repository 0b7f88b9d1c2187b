"""Lostsyn beside a tcpdump pass that reads and copies, on traffic of many shapes: the worst ratio first.

    python benchmarks/shapes.py [PACKETS] [--only SHAPE] [--turns N]

Every run is a process of its own, measured from outside, turn by turn. The ratios count, since shared machines are noisy.
The answers are checked: as many SYNs must be found as the bundle lost.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import bundle
import numpy as np
from bundle import BEGIN, DNS, HTTP, REFUSED, SHORT, TCP, UDP, USUAL, Packets, Traffic
from compare import Run, measured
from numpy.typing import NDArray

MINUTE = 60_000_000_000
LARGEST_REPORT = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A kind of bundle."""

    says: str
    traffic: Traffic = USUAL
    made: Callable[[int], Packets] | None = None
    """Makes so many packets a point, where not *traffic*."""
    veths: int = 1
    vanished: int = 20
    one_isn: bool = False
    in_order: bool = True
    fewer: int = 1
    """So many times fewer packets than asked for: thousands of incidents are what counts."""
    after: tuple[Callable[[Path], object], ...] = ()
    """What is done to the captures, or put beside them."""


def packets(time: NDArray[np.int64], conn: NDArray[np.int64], **columns: object) -> Packets:
    """Packets of clients; what is not given is a bare SYN that gets through."""
    n = len(time)
    given = {
        "client": True,
        "flags": 2,
        "seq": 0,
        "ack": 0,
        "length": 0,
        "proto": TCP,
        "port": 80,
        "lost": False,
    } | columns
    filled = {name: np.broadcast_to(np.asarray(value), (n,)).copy() for name, value in given.items()}
    return Packets(time=time + BEGIN, conn=conn, **filled)


def elephant(n: int) -> Packets:
    """One upload of n segments."""
    row = np.arange(n)
    data = row > 0
    return packets(
        row * 10_000,
        np.zeros(n, np.int64),
        flags=np.where(data, 0x10, 2),
        seq=row * 1400 + data,
        length=1400 * data,
    )


def one_syn_each(n: int) -> Packets:
    """N connections of one SYN that nobody answers."""
    return packets(np.arange(n) * 10_000, np.arange(n))


def flood(n: int) -> Packets:
    """The same, and half of the SYNs vanish in the node: a full table."""
    return packets(np.arange(n) * 10_000, np.arange(n), lost=np.arange(n) % 2 == 1)


def equal(n: int) -> Packets:
    """N packets that are all the same, of one flow."""
    return packets(np.arange(n) * 10_000, np.zeros(n, np.int64), flags=0x10, seq=1)


def alike(n: int) -> Packets:
    """N flows whose only packets differ in nothing that NAT leaves alone."""
    return packets(np.arange(n) * 10_000, np.arange(n), flags=0x10, seq=1)


def incidents(n: int) -> Packets:
    """N SYNs, of which every second vanishes, alone in its minutes."""
    row = np.arange(n)
    return packets(row * 5 * MINUTE, row, lost=row % 2 == 1)


def compressed(folder: Path) -> None:
    """Compress the captures, as zstd does if not told otherwise."""
    subprocess.run(["zstd", "-q", "--rm", *map(str, folder.glob("*.pcap"))], check=True)


REUSE = Traffic(pods=2, servers=1, ports=28_232)
"""The source ports that Linux gives (net.ipv4.ip_local_port_range)."""
SHAPES = {
    "reuse": Shape(
        says="two pods, each with its veth, whose connections have the same five-tuples again and again; conntrack -L of "
        "26,092 entries",
        traffic=REUSE,
        veths=2,
        after=(partial(bundle.conntrack, entries=26_092),),
    ),
    "usual": Shape(says="200 pods behind one veth, all connections translated, each five-tuple once"),
    "two veths": Shape(says="the same behind two veths, each with half of the bridge's packets", veths=2),
    "200 veths": Shape(says="the same with a point for each of the pods", veths=200),
    "any interface": Shape(
        says="the same 200, in one capture of `tcpdump -i any`", veths=200, after=(bundle.merge,)
    ),
    "out of order": Shape(
        says="the usual traffic, in files whose times do not ascend: several processors recorded",
        in_order=False,
    ),
    "short": Shape(
        says="20 pods, short connections to one server, ports used again; conntrack -L of 65,536 in TIME_WAIT",
        traffic=Traffic(pods=20, servers=1, ports=10_000, mix=((SHORT, TCP, 80, 10_000),)),
        after=(partial(bundle.conntrack, entries=65_536),),
    ),
    "million flows": Shape(
        says="connections of three packets: a million of them in 10 million packets",
        traffic=Traffic(servers=50, mix=((REFUSED, TCP, 80, 10_000),)),
    ),
    "DNS": Shape(
        says="queries and answers of UDP, and a tenth HTTP",
        traffic=Traffic(servers=50, mix=((HTTP, TCP, 80, 1_000), (DNS, UDP, 53, 9_000))),
    ),
    "IPv6": Shape(says="the usual traffic in IPv6", after=(bundle.in_ipv6,)),
    "VXLAN": Shape(
        says="the usual traffic, untranslated, encapsulated at the uplink",
        traffic=Traffic(translated=False),
        after=(bundle.in_vxlan,),
    ),
    "side evidence": Shape(
        says="the usual traffic; conntrack -L of 262,144 entries and 60,000 rules",
        after=(partial(bundle.conntrack, entries=262_144), partial(bundle.rules, count=60_000)),
    ),
    "zstd": Shape(says="the usual traffic in compressed captures", after=(compressed,)),
    "elephant": Shape(says=elephant.__doc__ or "", made=elephant),
    "one SYN each": Shape(says=one_syn_each.__doc__ or "", made=one_syn_each),
    "flood": Shape(says=flood.__doc__ or "", made=flood),
    "equal": Shape(says=equal.__doc__ or "", made=equal, one_isn=True),
    "alike": Shape(says=alike.__doc__ or "", made=alike, one_isn=True),
    "incidents": Shape(says=incidents.__doc__ or "", made=incidents, fewer=100),
}


def build(shape: Shape, total: int, folder: Path) -> tuple[int, int]:
    """Write a bundle of about so many packets; say how many it has, and how many SYNs vanish."""
    connections = total // len(bundle.POINTS) // shape.fewer
    if shape.made:
        made = shape.made(connections)
    else:
        connections = shape.traffic.connections(total)
        made = bundle.packets(connections, shape.vanished, shape.traffic)
    isn = np.random.default_rng(2).integers(0, 1 << 32, (2, connections), dtype=np.uint32)
    if shape.one_isn:
        isn[:] = 7
    written = bundle.save(
        folder, made, isn, veths=shape.veths, traffic=shape.traffic, in_order=shape.in_order
    )
    for step in shape.after:
        step(folder)
    return written, int(made.lost.sum())


def copying(folder: Path) -> list[str]:
    """The command that reads and copies every capture of a folder."""
    loops = [
        f"tcpdump -r {file} -w /dev/null"
        if file.suffix == ".pcap"
        else f"zstd -dcq {file} | tcpdump -r - -w /dev/null"
        for file in sorted(folder.glob("*.pcap*"))
    ]
    return ["sh", "-c", "; ".join(loops)]


def measure(name: str, size: int, turns: int) -> tuple[float, str]:
    """Build a shape and run both on it; return the ratio, and the table's row."""
    shape, lostsyn = SHAPES[name], str(Path(sys.executable).with_name("lostsyn"))
    with tempfile.TemporaryDirectory() as made, tempfile.TemporaryDirectory() as out:
        folder, page = Path(made), Path(out, "report.html")
        # Elsewhere: what this process has held would count as the measured ones' (getrusage(2), ru_maxrss).
        with ProcessPoolExecutor(1) as pool:
            total, lost = pool.submit(build, shape, size, folder).result()
        copy, check = copying(folder), [lostsyn, "check", "--format", "json", made]
        # Once in vain: a virtual machine that gave its idle memory back to the host has to get it again.
        for command in (copy, [lostsyn, "report", made, "-o", str(page)]):
            measured(command)
        runs: list[tuple[Run, Run]] = [(measured(copy), measured(check)) for _ in range(turns)]
        report = page.stat().st_size
    checked = [run for _, run in runs]
    found = json.loads(checked[-1].out)["counts"]["syn_vanished"]
    # The last ones vanish where nobody knows whether the uplink was still recording; and of SYNs that have one ISN by
    # chance, nobody knows which one got through.
    if not lost - (lost > shape.vanished) - lost // 10_000 <= found <= lost:
        sys.exit(f"{name}: {found} vanished instead of {lost}")
    if report > LARGEST_REPORT:
        sys.exit(f"{name}: a report of {report} bytes")
    ratio = statistics.median(run.seconds / base.seconds for base, run in runs)
    seconds = statistics.median(run.seconds for run in checked)
    processor = statistics.median(run.processor for run in checked)
    alike = statistics.median(run.processor / base.processor for base, run in runs)
    memory = max(run.memory for run in checked)
    return ratio, (
        f"| {name} | {total:,} | {ratio:.2f} | {alike:.2f} | {seconds:.2f} | {processor / total * 1e9:,.0f} | "
        f"{memory / total:,.0f} ({memory / 1e6:,.0f} MB) | {found:,} | {report / 1e6:.2f} |"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("packets", type=float, nargs="?", default=5e6)
    parser.add_argument("--only", choices=SHAPES, action="append", help="may be repeated")
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    for tool in ("tcpdump", "zstd"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is needed")
    rows = []
    for name in given.only or SHAPES:
        print(f"{name}: {SHAPES[name].says}", file=sys.stderr, flush=True)
        rows.append(measure(name, int(given.packets), given.turns))
    print(f"{given.turns} turns, {os.cpu_count()} processors\n")
    print(
        "| shape | packets | time, x tcpdump | processor, x tcpdump | s | processor, ns a packet | peak, bytes a packet | "
        "vanished | report, MB |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    print("\n".join(row for _, row in sorted(rows, reverse=True)))
