"""Lostsyn beside dpkt, scapy, tshark and tcpdump, on one synthetic bundle, turn by turn in one run.

    python benchmarks/decode.py [CONNECTIONS]

Prints packets per second and each one's time relative to `tcpdump -r FILE -w /dev/null` over the same packets. Shared
machines are noisy: read the ratios, not the seconds. The answer is checked: exactly the SYNs that the bundle
lost must be found.
"""

from __future__ import annotations

import itertools
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bundle import write

from analyzer import analyze
from analyzer.capture.bundle import Bundle
from analyzer.capture.decoder import Decoder
from analyzer.capture.storage import Memory

VANISHED = 20
TURNS = 3
SAMPLE = 20_000  # packets that the slow ones read


def main(connections: int) -> None:
    """Build the bundle, time everybody, print the table."""
    with tempfile.TemporaryDirectory() as folder:
        total = write(Path(folder), connections, VANISHED)
        one = Path(folder) / "cni0.pcap"
        packets = (one.stat().st_size - 24) // 100
        everybody: dict[str, tuple[int, Callable[[], None]]] = {
            "tcpdump read and copy, 3 files": (total, lambda: _tcpdump(folder)),
            "lostsyn, whole analysis, 3 files": (total, lambda: _analyze(folder)),
            "lostsyn, decode + flow keys, 1 core": (packets, lambda: _decode(one)),
            "dpkt, TCP objects": (min(SAMPLE, packets), lambda: _dpkt(one)),
            "scapy, dissection": (min(SAMPLE // 10, packets), lambda: _scapy(one)),
        }
        if shutil.which("tshark"):
            everybody["tshark, field export"] = (min(SAMPLE * 5, packets), lambda: _tshark(one))
        if not shutil.which("tcpdump"):
            sys.exit("tcpdump is needed: it is what everything is compared with")
        seconds: dict[str, list[float]] = {name: [] for name in everybody}
        for _, (name, (_, action)) in itertools.product(range(TURNS), everybody.items()):
            began = time.perf_counter()
            action()
            seconds[name].append(time.perf_counter() - began)
    per_packet = {name: statistics.median(taken) / everybody[name][0] for name, taken in seconds.items()}
    base = per_packet["tcpdump read and copy, 3 files"]
    print(f"{total:,} packets of 100 bytes, {connections:,} connections, median of {TURNS} turns\n")
    print(f"{'':38}{'M packets/s':>12}{'x tcpdump':>12}")
    for name, cost in per_packet.items():
        print(f"{name:38}{1e-6 / cost:12.3f}{cost / base:12.2f}")


def _tcpdump(folder: str) -> None:
    for file in sorted(Path(folder).glob("*.pcap")):
        subprocess.run(["tcpdump", "-r", file, "-w", "/dev/null"], check=True, capture_output=True)


def _analyze(folder: str) -> None:
    found = analyze(folder).counts.syn_vanished
    if found != VANISHED:
        sys.exit(f"wrong answer: {found} vanished SYNs instead of {VANISHED}")


def _decode(file: Path) -> None:
    Decoder(Memory()).read(Bundle.open([file]).captures[0].open(), lambda _: 0, lambda _: None)


def _dpkt(file: Path) -> None:
    import dpkt

    with file.open("rb") as stream:
        for _, data in itertools.islice(dpkt.pcap.Reader(stream), SAMPLE):
            assert dpkt.ethernet.Ethernet(data).data.data.seq >= 0


def _scapy(file: Path) -> None:
    from scapy.all import PcapReader

    with PcapReader(str(file)) as reader:
        for packet in itertools.islice(reader, SAMPLE // 10):
            assert packet["TCP"].seq >= 0


def _tshark(file: Path) -> None:
    fields = "frame.number frame.time_epoch ip.src ip.dst tcp.srcport tcp.dstport tcp.seq_raw tcp.ack_raw tcp.flags"
    arguments = [word for field in fields.split() for word in ("-e", field)]
    command = ["tshark", "-n", "-c", str(SAMPLE * 5), "-r", str(file), "-T", "fields", *arguments]
    subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
