"""The compiled loops under AddressSanitizer and UndefinedBehaviorSanitizer: built for it, they read damaged captures.

Compiled, a loop checks no index that it has checked itself, so a wrong check is no exception there but a read of what lies
beside. Here each allocation is one of malloc's own (`PYTHONMALLOC`), with poisoned bytes around it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import ROOT

HOT = re.findall(r'^    "(analyzer/.*)\.py",', (ROOT / "setup.py").read_text(encoding="utf-8"), re.M)
DIRECTIVES = ("cdivision=True", "initializedcheck=False", "wraparound=False")
# Without optimisation, which would take three times as long to compile, and without what AddressSanitizer sees as well.
FLAGS = (
    "-O0", "-w", "-shared", "-fPIC", "-fsanitize=address,undefined", "-fno-sanitize=null,alignment,object-size",
    "-fno-sanitize-recover=all",
)  # fmt: skip
CASES = """
import sys
sys.path[:0] = sys.argv[1:]  # the analyzer that was built here, then the tests
from tests.fuzz.running import campaign
from tests.fuzz.targets import TARGETS
for name, cases in {"decoder": 1200, "analysis": 4}.items():
    found = campaign(name, cases)
    assert not found.finds, found.finds
files = [str(module.__file__) for name, module in sys.modules.items() if name.startswith("analyzer.")]
hot = [file for file in files if file.endswith(".so")]
assert all(file.startswith(sys.argv[1]) for file in hot), hot
print(len(hot))
"""


def build(folder: Path) -> None:
    """Make a copy of the package in which the hot loops are compiled with sanitizers."""
    shutil.copytree(
        ROOT / "analyzer", folder / "analyzer", ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__")
    )
    options = [word for directive in DIRECTIVES for word in ("-X", directive)]
    paths = [f"{path}.py" for path in HOT]
    _run(folder, sys.executable, "-m", "Cython.Build.Cythonize", "-q", "-3", *options, *paths)
    gcc = ["gcc", *FLAGS, f"-I{sysconfig.get_paths()['include']}"]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda path: _run(folder, *gcc, f"{path}.c", "-o", f"{path}.so"), HOT))


def _run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.strip()


def watched(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python where every access is watched."""
    library = _run(ROOT, "gcc", "-print-file-name=libasan.so")
    # Who throws C++ exceptions must find the library that does before the sanitizer looks for it.
    environment = {
        **os.environ,
        "LD_PRELOAD": f"{library} libstdc++.so.6",
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",
        "OPENBLAS_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, "-P", "-c", *arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(autouse=True)
def compiler() -> None:
    """Skip where nothing can be compiled."""
    if not shutil.which("gcc"):
        pytest.skip("needs gcc")


def test_no_loop_leaves_its_memory(tmp_path: Path) -> None:
    """A thousand damaged captures, and a few whole analyses, through every hot loop."""
    build(tmp_path)
    found = watched(CASES, str(tmp_path), str(ROOT))

    assert (0, f"{len(HOT)}\n") == (found.returncode, found.stdout), found.stderr[-4000:]


def test_a_byte_too_many_is_found() -> None:
    """What was not found above would have been."""
    found = watched(
        "import ctypes as c; m = c.CDLL(None).malloc; m.restype = c.c_void_p; c.memset(m(8), 0, 9)"
    )

    assert found.returncode != 0
    assert "heap-buffer-overflow" in found.stderr
