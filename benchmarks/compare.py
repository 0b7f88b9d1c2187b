"""Lostsyn beside tcpdump, capinfos, dpkt, tshark with pandas and scapy, on one bundle, turn by turn in one run.

    python benchmarks/compare.py [PACKETS ...] [--full]

Every one is a process of its own, measured from outside, the second of two runs: wall time, processor time, peak memory.
The ratios count, since shared machines are noisy. dpkt, tshark and scapy read a part, and are told per packet. The answer
is checked: exactly the SYNs that the bundle lost must be found.
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
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
VANISHED = 20
TURNS = 3
POINTS = ("veth", "cni0", "eth0")
SAMPLE = {"dpkt": 100_000, "tshark": 100_000, "scapy": 5_000}
"""Packets of each file that the slow ones read."""

DECODE = """
import sys
from analyzer.capture.bundle import Bundle
from analyzer.capture.decoder import Decoder
from analyzer.capture.storage import Memory
Decoder(Memory()).read(Bundle.open([sys.argv[1]]).captures[0].open(), lambda _: 0, lambda _: None)
"""
DPKT = """
import itertools, sys, dpkt
seen = []
for name in sys.argv[2:]:
    syns = set()
    with open(name, "rb") as file:
        for _, data in itertools.islice(dpkt.pcap.Reader(file), int(sys.argv[1])):
            ip = dpkt.ethernet.Ethernet(data).data
            if isinstance(ip.data, dpkt.tcp.TCP) and ip.data.flags & 0x12 == 2:
                syns.add((ip.id, ip.data.seq))
    seen.append(syns)
print(len(seen[1] - seen[2]))
"""
TSHARK = """
import io, subprocess, sys
import pandas as pd
fields = "frame.number frame.time_epoch ip.src ip.dst ip.id tcp.srcport tcp.dstport tcp.seq_raw tcp.ack_raw tcp.flags".split()
tables = []
for name in sys.argv[2:]:
    command = ["tshark", "-n", "-c", sys.argv[1], "-r", name, "-T", "fields"]
    told = subprocess.run([*command, *(word for field in fields for word in ("-e", field))], capture_output=True).stdout
    tables.append(pd.read_csv(io.BytesIO(told), sep="\\t", names=fields, dtype={"tcp.flags": str}))
inner, outer = tables[1:]
merged = inner.merge(outer, on=["tcp.seq_raw", "tcp.ack_raw", "tcp.flags", "ip.id"], how="left", suffixes=("", "_out"))
print(int((merged["frame.number_out"].isna() & (merged["tcp.flags"] == "0x0002")).sum()))
"""
SCAPY = """
import itertools, sys
from scapy.all import PcapReader
for name in sys.argv[2:]:
    with PcapReader(name) as reader:
        for packet in itertools.islice(reader, int(sys.argv[1])):
            packet.haslayer("TCP")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One process, from outside."""

    seconds: float
    processor: float
    """Seconds of all its threads."""
    memory: int
    """Bytes, at the peak."""
    out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class One:
    """Who is measured."""

    packets: int
    command: list[str]
    right: Callable[[str], bool] = lambda _: True


def measured(command: list[str]) -> Run:
    """Run a command to its end."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        # Not Popen.wait: it drops what the process used.
        _, _, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = 0
        out.seek(0)
        told = out.read().decode()
    return Run(
        seconds=seconds, processor=used.ru_utime + used.ru_stime, memory=used.ru_maxrss * 1024, out=told
    )


def everybody(folder: Path, total: int) -> dict[str, One]:
    """Whom to measure on a bundle."""
    files = [str(folder / f"{name}.pcap") for name in POINTS]
    each = total // len(POINTS)

    def sample(name: str, code: str) -> One:
        part = min(SAMPLE[name], each)
        return One(packets=part * len(POINTS), command=[sys.executable, "-c", code, str(part), *files])

    loops = "; ".join(f"tcpdump -r {file} -w /dev/null" for file in files)
    found = {
        "tcpdump, read and copy": One(packets=total, command=["sh", "-c", loops]),
        "lostsyn check": One(
            packets=total,
            command=[
                str(Path(sys.executable).with_name("lostsyn")),
                "check",
                "--format",
                "json",
                str(folder),
            ],
            right=lambda out: json.loads(out)["counts"]["syn_vanished"] == VANISHED,
        ),
        "lostsyn, decoding and flow keys, one core": One(
            packets=each, command=["taskset", "-c", "0", sys.executable, "-c", DECODE, files[1]]
        ),
        "dpkt, simplest join of SYNs": sample("dpkt", DPKT),
        "scapy, dissection": sample("scapy", SCAPY),
    }
    if shutil.which("capinfos"):
        found["capinfos"] = One(packets=total, command=["capinfos", *files])
    if shutil.which("tshark"):
        found["tshark, fields joined in pandas"] = sample("tshark", TSHARK)
    return found


def compare(total: int, *, full: bool) -> None:
    """Build a bundle of about so many packets, measure everybody, print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build = [sys.executable, str(HERE / "bundle.py"), name, str(total), "--vanished", str(VANISHED)]
        total = int(subprocess.run([*build, *(["--full"] * full)], check=True, capture_output=True).stdout)
        size = sum(file.stat().st_size for file in folder.iterdir())
        who = everybody(folder, total)
        runs: dict[str, list[Run]] = {name: [] for name in who}
        for _ in range(TURNS):
            for name, one in who.items():
                # Once in vain: a virtual machine that gave its idle memory back to the host has to get it again.
                measured(one.command)
                runs[name].append(measured(one.command))
                if not one.right(runs[name][-1].out):
                    sys.exit(f"{name} gave a wrong answer: {runs[name][-1].out[:200]}")
    cost = {name: statistics.median(r.seconds for r in runs[name]) / one.packets for name, one in who.items()}
    base = cost["tcpdump, read and copy"]
    print(f"\n{total:,} packets, {size / 1e6:,.0f} MB, {TURNS} turns, {os.cpu_count()} processors\n")
    print("| | million packets/s | time, x tcpdump | processor, ns a packet | peak, bytes a packet |")
    print("|---|---:|---:|---:|---:|")
    for name, one in who.items():
        processor = statistics.median(r.processor for r in runs[name]) / one.packets * 1e9
        memory = max(r.memory for r in runs[name])
        print(
            f"| {name} | {1e-6 / cost[name]:.3g} | {cost[name] / base:.3g} | {processor:,.0f} | "
            f"{memory / one.packets:,.0f} ({memory / 1e6:,.0f} MB) |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("packets", type=float, nargs="*", default=[1e7])
    parser.add_argument("--full", action="store_true", help="records as long as the packets were")
    given = parser.parse_args()
    if not shutil.which("tcpdump"):
        sys.exit("tcpdump is needed: it is what everything is compared with")
    for packets in given.packets:
        compare(int(packets), full=given.full)
