"""Runs the commands of docs/tutorial.md; `python -m tests.tutorial` writes anew what they print."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run(folder: Path) -> str:
    """Run the page's blocks, one after the other, in *folder*, and return the page with what they print.

    Where tshark is not installed, blocks that call it stay as they are.
    """
    (folder / "fixtures").symlink_to(ROOT / "fixtures")
    return BLOCK.sub(lambda block: _again(block, folder), PAGE.read_text(encoding="utf-8"))


def _again(block: re.Match[str], folder: Path) -> str:
    commands = re.findall(r"^\$ (.*(?:\\\n.*)*)$", block[1], re.MULTILINE)
    if any(command.startswith("tshark") for command in commands) and not shutil.which("tshark"):
        return block[0]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    told = []
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=os.environ | {"PATH": path, "LC_ALL": "C.UTF-8"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        quiet = (line for line in done.stdout.splitlines() if not line.startswith("Running as user"))
        told += [f"$ {command}", *(line.rstrip() for line in quiet)]
    return "```console\n" + "\n".join(told) + "\n```"


def main() -> None:
    """Write the page anew."""
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(run(Path(folder)), encoding="utf-8")


if __name__ == "__main__":
    main()
