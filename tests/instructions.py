"""What an analysis costs, counted and not timed: the same on a busy machine as on an idle one.

python -m tests.instructions   # counts, and writes the numbers that `tests/test_instructions.py` holds analyses to
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
KNOWN = Path(__file__).with_name("instructions.json")
CONNECTIONS = 2_000
"""Of `benchmarks/bundle.py`, each about eleven packets at three points."""
LEAST = 500_000
"""Instructions from which on a module counts."""

_SWITCH = """
#include <valgrind/callgrind.h>
void on(void) { CALLGRIND_START_INSTRUMENTATION; }
void off(void) { CALLGRIND_DUMP_STATS; CALLGRIND_STOP_INSTRUMENTATION; }
"""
# Threads wait for each other, each time another while: here everything is done where it is asked for.
_AT_ONCE = """
from concurrent.futures import Future
from contextlib import nullcontext
from analyzer.compute import threads
def submit(work):
    future = Future()
    future.set_result(work())
    return future
class AtOnce(nullcontext):
    map = staticmethod(map)
    def __enter__(self):
        return self
AtOnce.submit = staticmethod(submit)
threads.ThreadPoolExecutor = AtOnce
"""
_LOOPS = """
import ctypes, sys
from analyzer.capture.bundle import Bundle
from analyzer.capture.points import record
from analyzer.capture.storage import Memory
from analyzer.flow.point import assemble
from analyzer.nat.crossing import cross
from analyzer.node.topology import neighbours, place
bundle, switch = Bundle.open([sys.argv[1]]), ctypes.CDLL(sys.argv[2])
switch.on()
points = [assemble(one) for one in record(bundle.captures, lambda _: {}, {}, lambda _: None, Memory())]
place(points)
cross(points, neighbours(points))
for point in points:
    point.events
switch.off()
"""
_CALLS = """
import sys
from analyzer import analyze
analyze(sys.argv[1])
count = 0
def note(frame, event, argument):
    global count
    count += event in ("call", "c_call")
sys.setprofile(note)
analyze(sys.argv[1])
sys.setprofile(None)
print(count)
"""


def loops() -> dict[str, int]:
    """Instructions of each hot loop's module, and of numpy, from the first byte to paired packets, counted by callgrind."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make = f"import bundle, pathlib; bundle.write(pathlib.Path({name!r}, 'bundle'), {CONNECTIONS}, 20)"
        subprocess.run([sys.executable, "-c", make], cwd=ROOT / "benchmarks", check=True)
        (folder / "switch.c").write_text(_SWITCH)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", "switch.so", "switch.c"], cwd=folder, check=True)
        tool = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"]
        _run([*tool, sys.executable, "-c", _AT_ONCE + _LOOPS, folder / "bundle", folder / "switch.so"])
        return _by_module((folder / "out.1").read_text())


def _by_module(told: str) -> dict[str, int]:
    """Sum up callgrind's output; its format is that of the manual's section 13.1."""
    objects: dict[str, str] = {}
    counts: Counter[str] = Counter()
    module, called = "", False
    for line in told.splitlines():
        if found := re.match(r"(c?)ob=(\(\d+\))(?: (.+))?", line):
            path = objects.setdefault(found[2], found[3] or "")
            if not found[1]:
                module = "numpy" if "/numpy/" in path else re.sub(r".*/(?=analyzer/)|\..*", "", path)
        elif line.startswith("calls="):
            called = True
        elif cost := re.fullmatch(r"[+*-]?\d* (\d+)", line):
            # Behind a call stands what the called one cost, which is told there.
            if not called and (module == "numpy" or module.startswith("analyzer/")):
                counts[module] += int(cost[1])
            called = False
    return {name: count for name, count in counts.most_common() if count > LEAST}


def calls() -> int:
    """Calls of functions, Python's and those of C, of the analysis of a fixture."""
    return int(_run([sys.executable, "-c", _AT_ONCE + _CALLS, ROOT / "fixtures" / "table-full"]))


def _run(command: list[str | Path]) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    ).stdout


def toolchain() -> dict[str, str]:
    """Who else has a part in the numbers."""
    compiler = subprocess.run(["cc", "-dumpfullversion"], capture_output=True, text=True, check=True)
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cc": compiler.stdout.strip(),
        "machine": platform.machine(),
    }


if __name__ == "__main__":
    counted = {"loops": loops(), "calls": calls(), "toolchain": toolchain()}
    KNOWN.write_text(json.dumps(counted, indent=2) + "\n")
