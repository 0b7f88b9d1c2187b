"""Drop records of a run: as many as the kernel counts, and nothing stays behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from analyzer.evidence.drops import DropRecord
from analyzer.evidence.sources import bpftrace, tracefs
from analyzer.evidence.witness import Loss, join
from analyzer.lab import drops
from analyzer.lab.experiment import conduct
from analyzer.lab.namespaces import Namespace

Fields = Callable[..., list[list[str]]]
SOURCES = {"bpftrace": bpftrace, "tracefs": tracefs}
SYN = "ip && tcp.flags.syn == 1 && tcp.flags.ack == 0"
NAMES = ("frame.time_epoch", "ip.src", "ip.dst", "tcp.srcport", "tcp.dstport", "tcp.seq_raw", "ip.id")


def lost(folder: Path, tshark: Fields) -> list[Loss]:
    """The SYNs that are on cni0 and not on eth0."""
    seen = tshark(folder / "cni0.pcap", SYN, *NAMES)
    left = {(row[5], row[6]) for row in tshark(folder / "eth0.pcap", SYN, *NAMES)}
    times = [int(row[0].replace(".", "").ljust(19, "0")) for row in seen]
    found = []
    for at, (_, src, dst, sport, dport, seq, number) in zip(times, seen, strict=True):
        if (seq, number) not in left:
            again = [
                t
                for t, row in zip(times, seen, strict=True)
                if t > at and row[1:6] == [src, dst, sport, dport, seq]
            ]
            found.append(
                Loss(
                    "tcp", src, dst, int(sport), int(dport), int(seq), int(number, 16), last_seen_ns=at,
                    next_ns=min(again, default=None),
                )
            )  # fmt: skip
    return found


@pytest.mark.kernel
@pytest.mark.tshark
@pytest.mark.parametrize("tool", SOURCES)
def test_a_record_for_every_failed_insertion(
    tool: str, tmp_path: Path, tshark: Fields, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a race the drops in POSTROUTING are the kernel's `insert_failed`, and each lost SYN has its own."""
    monkeypatch.setattr(drops, "TOOLS", (tool,))
    truth = conduct("snat-race", tmp_path, rounds=200)
    if not (tmp_path / drops.FILE).exists():
        pytest.skip(f"{tool} does not run here")
    text = (tmp_path / drops.FILE).read_text()
    records = [fact for fact in SOURCES[tool].parse(text, drops.FILE) if isinstance(fact, DropRecord)]
    confirmed = [
        r
        for r in records
        if (r.reason, r.hook, r.location) == ("NETFILTER_DROP", "POSTROUTING", "nf_hook_slow")
    ]
    assert truth["counters"]["insert_failed"] == len(confirmed)
    losses = lost(tmp_path, tshark)
    assert len(losses) == len(confirmed)
    assert dict.fromkeys(range(len(losses)), "POSTROUTING") == {
        n: r.hook for n, r in join(records, losses).items()
    }


@pytest.mark.kernel
def test_nothing_that_records_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle without drop records is a bundle."""
    monkeypatch.setattr(drops, "TOOLS", ("bpftrace",))
    monkeypatch.setattr("shutil.which", lambda _: None)
    with Namespace("drops") as where, drops.recorded(where, tmp_path) as tool:
        assert tool is None
    assert [] == list(tmp_path.iterdir())


def instances() -> list[str]:
    """The kernel's trace instances of ours."""
    root = "/sys/kernel/tracing"
    script = f"test -d {root}/instances || mount -t tracefs nodev {root}; ls {root}/instances"
    listed = subprocess.run(
        ("unshare", "--mount", "sh", "-c", script), capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split() if name.startswith("lostsyn-")]


RECORD = """
import sys, time
from pathlib import Path
from analyzer.lab import drops
from analyzer.lab.namespaces import Namespace
drops.TOOLS = (sys.argv[1],)
with Namespace("drops") as where, drops.recorded(where, Path(sys.argv[2])) as tool:
    print(tool, flush=True)
    time.sleep(60)
"""


@pytest.mark.kernel
@pytest.mark.parametrize("tool", SOURCES)
def test_whatever_happens_it_ends(tool: str, tmp_path: Path) -> None:
    """Killed without a chance to clean up, the recorder leaves neither a trace instance nor a program."""
    argv = (sys.executable, "-c", RECORD, tool, str(tmp_path))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if (told := process.stdout.readline()) == "None\n":
            pytest.skip(f"{tool} does not run here")
        assert f"{tool}\n" == told
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert ("tracefs" == tool) == bool([name for name in instances() if name.split("-")[1] in children])
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(Path("/proc", child).exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [] == [child for child in children if Path("/proc", child).exists()]
    assert [] == [name for name in instances() if name.split("-")[1] in children]
    for name in Path("/run/netns").glob(f"lostsyn-{process.pid}-*"):
        subprocess.run(("ip", "netns", "delete", name.name), check=True)
