"""Write .ci/requirements.txt: what CI installs, by version and hash (`make lock`).

Of Python 3.11 on x86-64 Linux, where CI runs; pip says which files it would install, and takes no others then.
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEAD = "# Written by `make lock`: what CI installs on Python 3.11, x86-64 Linux. pip refuses a file with another hash.\n"

project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
wanted = [*project["build-system"]["requires"], "wheel", f"{ROOT}[test]"]
resolve = [
    sys.executable,
    "-m",
    "pip",
    "install",
    "--quiet",
    "--dry-run",
    "--ignore-installed",
    "--report",
    "-",
    *wanted,
]
report = json.loads(subprocess.run(resolve, check=True, stdout=subprocess.PIPE).stdout)
lines = sorted(
    f"{found['metadata']['name'].lower()}=={found['metadata']['version']}"
    f" --hash=sha256:{found['download_info']['archive_info']['hashes']['sha256']}\n"
    for found in report["install"]
    if "archive_info" in found["download_info"]
)
(ROOT / ".ci/requirements.txt").write_text(HEAD + "".join(lines), encoding="utf-8")
