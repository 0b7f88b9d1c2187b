"""Bundles made to be slow: time, memory and the size of the report must grow with the packets, and no faster.

    python benchmarks/worst.py [PACKETS ...]

Each is analysed at several sizes, as a process of its own; the time per packet must stay what it is. The answers are checked.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import bundle
import numpy as np
from bundle import BEGIN, TCP, Packets, save
from compare import measured
from numpy.typing import NDArray

MINUTE = 60_000_000_000
LARGEST_REPORT = 10_000_000


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


def many_veths(n: int) -> Packets:
    """The usual traffic of 200 pods, the captures of which are a file each."""
    return bundle.packets(bundle.connections_of(n * 3), 20)


def any_interface(n: int) -> Packets:
    """The same, all in one capture of `tcpdump -i any`."""
    return many_veths(n)


CASES = (elephant, one_syn_each, flood, equal, alike, incidents, many_veths, any_interface)
ONE_ISN = (equal, alike)
VETHS = {many_veths: bundle.PODS, any_interface: bundle.PODS}
"""Files, or interfaces, among which the pods are divided, where it is not one."""
SIZES = {incidents: 100}
"""A bundle of incidents has so many times fewer packets: thousands of them are what is asked for."""


def build(case: Callable[[int], Packets], n: int, folder: Path) -> tuple[int, int]:
    """Write a case's captures; say how many packets they have, and how many SYNs vanish."""
    made = case(n)
    isn = np.random.default_rng(2).integers(0, 1 << 32, (2, n), dtype=np.uint32)
    if case in ONE_ISN:
        isn[:] = 7
    total = save(folder, made, isn, veths=VETHS.get(case, 1))
    if case is any_interface:
        bundle.merge(folder)
    return total, int(made.lost.sum())


def main(sizes: list[int]) -> None:
    """Measure each case at each size."""
    lostsyn = str(Path(sys.executable).with_name("lostsyn"))
    print("| case | packets | seconds | microseconds a packet | peak MB | vanished | report MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for case in CASES:
        for size in sizes:
            n = size // 3 // SIZES.get(case, 1)
            with tempfile.TemporaryDirectory() as name:
                # Elsewhere: what this process has held would count as the measured ones' (getrusage(2), ru_maxrss).
                with ProcessPoolExecutor(1) as pool:
                    total, expected = pool.submit(build, case, n, Path(name)).result()
                checked = measured([lostsyn, "check", "--format", "json", name])
                with tempfile.TemporaryDirectory() as out:
                    page = Path(out, "report.html")
                    measured([lostsyn, "report", name, "-o", str(page)])
                    report = page.stat().st_size
            found = json.loads(checked.out)["counts"]["syn_vanished"]
            # The last ones vanish where nobody knows whether the uplink was still recording; and of SYNs that have one ISN
            # by chance, nobody knows which one got through.
            if not expected - 1 - expected // 10_000 <= found <= expected:
                sys.exit(f"{case.__name__}: {found} vanished instead of {expected}")
            if report > LARGEST_REPORT:
                sys.exit(f"{case.__name__}: a report of {report} bytes")
            each = checked.seconds / total * 1e6
            print(
                f"| {case.__name__.replace('_', ' ')} | {total:,} | {checked.seconds:.2f} | {each:.2f} | "
                f"{checked.memory / 1e6:,.0f} | {found:,} | {report / 1e6:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main([int(float(size)) for size in sys.argv[1:]] or [1_000_000, 10_000_000])
