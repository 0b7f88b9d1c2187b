"""Containerfile: its stages fit together, its commands are ours, its shell is sound; built on this machine's root, it works."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import click
import pytest

from analyzer.cli import group
from tests.conftest import FIXTURES, ROOT

TEXT = (ROOT / "Containerfile").read_text(encoding="utf-8")
LINES = [line.split(maxsplit=1) for line in TEXT.splitlines() if line and not line.startswith("#")]


def stages() -> dict[str, dict[str, list[str]]]:
    """Of each stage what its instructions say, those of the stage that it begins with included."""
    found: dict[str, dict[str, list[str]]] = {}
    name = ""
    for word, rest in LINES:
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found[name] = {key: list(values) for key, values in found.get(base, {"FROM": [base]}).items()}
        elif name:
            found[name].setdefault(word, []).append(rest)
    return found


def test_stages() -> None:
    """Three images, which begin with one Python and take what the first stage built; two of them run as nobody in particular."""
    made = stages()

    assert ["build", "analysis", "serve", "capture"] == list(made)
    assert {"${PYTHON}"} == {stage["FROM"][0] for stage in made.values()}
    assert set(made) >= set(re.findall(r"--from=(\w+)", TEXT))
    assert {"analysis": "10001", "serve": "10001", "capture": "0"} == {
        name: stage["USER"][-1] for name, stage in made.items() if name != "build"
    }


@pytest.mark.parametrize("name", ["analysis", "serve", "capture"])
def test_commands(name: str) -> None:
    """What an image runs is a command of ours, with options that it has."""
    stage = stages()[name]
    program, *arguments = json.loads(stage["ENTRYPOINT"][-1]) + json.loads(stage["CMD"][-1])

    assert "lostsyn" == program
    if arguments[0] in ("serve", "capture"):
        command = group.get_command(click.Context(group, **group.context_settings), arguments.pop(0))
        assert command is not None
        known = {word for parameter in command.params for word in parameter.opts} | {"--help"}
        assert {word for word in arguments if word.startswith("--")} <= known


def test_packages() -> None:
    """What is installed of Debian is what the tests run with here, and a compiler to build with."""
    asked = {
        name for part in re.findall(r"--no-install-recommends ([a-z0-9 -]+)", TEXT) for name in part.split()
    }
    here = re.search(r'packages="([^"]+)"', (ROOT / ".ci/run").read_text(encoding="utf-8"))

    assert here
    assert {"gcc", "libc6-dev"} == asked - set(here[1].split())


@pytest.mark.field
def test_shell() -> None:
    """Shellcheck has nothing to say."""
    script = "#!/bin/sh\n" + "\n".join(rest for word, rest in LINES if word == "RUN")
    ran = subprocess.run(["shellcheck", "-"], input=script, capture_output=True, text=True, check=False)

    assert (0, "") == (ran.returncode, ran.stdout)


# This machine's programs in a root of its own, since no registry of images can be reached; gone with the mount namespace.
_ROOT = """
set -eu
root=$1 site=$2
mount --make-rprivate /
mount -t tmpfs none "$root"
cd "$root"
mkdir -p usr dev proc tmp opt data home var/lib site source
mount --rbind /usr usr && mount --rbind /dev dev && mount -t proc none proc && mount --bind "$site" site
mkdir opt/bin && { cp -a usr/local/bin/python3* opt/bin 2>/dev/null || true; } && mount --bind opt/bin usr/local/bin
mount -o remount,bind,ro usr && mount -o remount,bind,ro site
for name in bin sbin lib lib64; do cp -a "/$name" . 2>/dev/null || true; done
cp -a /etc etc
printf '#!/bin/sh\\n' >opt/apt-get && chmod +x opt/apt-get  # what it installs is here
export PATH=/opt:/usr/local/bin:/usr/bin:/usr/sbin:/bin HOME=/tmp PYTHONPATH=/site CFLAGS=-O0
export PIP_NO_DEPS=1 PIP_NO_INDEX=1 PIP_NO_BUILD_ISOLATION=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
"""


@pytest.mark.kernel
def test_built_on_this_root(tmp_path: Path) -> None:
    """Every RUN works; the image's user finds what is in a shipped capture, and the upload page answers."""
    shutil.copytree(
        ROOT / "analyzer",
        tmp_path / "source/analyzer",
        ignore=shutil.ignore_patterns("*.so", "*.c", "__pycache__"),
    )
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / "source")
    (tmp_path / "root").mkdir()
    steps = [f"cp -r {tmp_path}/source/. source/", f"cp -r {FIXTURES}/snat-race tmp/bundle"]
    steps += [
        f"chroot . sh -c {shlex.quote(rest)}" for word, rest in LINES[: _line("capture")] if word == "RUN"
    ]
    serving = shlex.join(json.loads(stages()["serve"]["CMD"][-1]))
    script = (
        "cd /data && lostsyn report /tmp/bundle 2>&1 && rm lostsyn-report.html && "
        f"(lostsyn {serving} & i=0; until curl -s http://127.0.0.1:8480/healthz || [ $i -gt 300 ]; do i=$((i+1)); sleep 0.1; "
        "done; kill $!)"
    )
    steps.append(f"chroot --userspec=10001:10001 . sh -c {shlex.quote(script)}")
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", _ROOT + "ip link set lo up\n" + "\n".join(steps), "sh",
         str(tmp_path / "root"), sysconfig.get_path("purelib")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert 0 == done.returncode, done.stdout[-2000:] + done.stderr[-2000:]
    assert "SNAT port race (proven)" in done.stdout
    assert "running uncompiled" not in done.stdout
    assert '{"status":"ok"}' in done.stdout


def _line(stage: str) -> int:
    """Where a stage begins."""
    return next(n for n, (word, rest) in enumerate(LINES) if word == "FROM" and rest.endswith(f" AS {stage}"))
