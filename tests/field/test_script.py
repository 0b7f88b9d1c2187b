"""The script as text: what shellcheck, shells and its callers say of it. Its recordings: tests/kernel/test_capture.py."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from analyzer.cli.capture import OPTIONS, SWITCHES
from analyzer.field.script import script
from tests.kernel.recorded import SHELLS

pytestmark = pytest.mark.field

every_shell = pytest.mark.parametrize("shell", SHELLS.values(), ids=SHELLS)


def run(
    shell: Sequence[str], *options: str, text: str | None = None, **how: object
) -> subprocess.CompletedProcess[str]:
    """Feed it to a shell, as ssh would."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [*shell, "-s", "--", *options],
        input=text or script(),
        capture_output=True,
        text=True,
        check=False,
        **how,
    )


def test_shellcheck() -> None:
    """It has nothing to say, of no severity."""
    done = subprocess.run(
        ["shellcheck", "-s", "sh", "-"], input=script(), capture_output=True, text=True, check=False
    )

    assert "" == done.stdout


@every_shell
def test_help(shell: Sequence[str]) -> None:
    """It names the options that `lostsyn capture` has, and no others."""
    done = run(shell, "--help")
    named = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", done.stdout))

    assert 0 == done.returncode
    assert {option.opts[0] for option in (*OPTIONS, *SWITCHES)} == named


@every_shell
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--bogus"], "--bogus is not an option; --help lists them"),
        (["word"], "word is not an option; --help lists them"),
        (["--pod"], "--pod: a value is missing"),
        (["--filter="], "--filter: a value is missing"),
        (["--size", "1"], "--size: 1 is not between 3 and 1000000"),
        (["--seconds", "1e3"], "--seconds: 1e3 is not a whole number"),
        (["--snaplen=99999999999999999999"], "--snaplen: 99999999999999999999 is not a whole number"),
        (["--keep", "5"], "--keep starts over after each event: give --until or --seconds"),
        (["--dry-run", "--until", "insert-failed"], "--until: insert-failed is neither insert_failed, drop, invalid, "
         "table-full, syn-retransmit nor a command"),
        (["--dry-run", "--pid", "4194303"], "--pid: there is no process 4194303"),
        (["--dry-run", "-i", "lo", "--size", "3", "--snaplen", "0", "-i", "lo"], None),
    ],
)  # fmt: skip
def test_bad_use(shell: Sequence[str], options: list[str], says: str | None) -> None:
    """One sentence and exit status 2, the same in every shell."""
    done = run(shell, *options)

    if says is None:
        assert (0, "") == (done.returncode, done.stderr)
    else:
        assert (2, f"lostsyn-capture: {says}\n", "") == (done.returncode, done.stderr, done.stdout)


@every_shell
def test_without_tools(shell: Sequence[str], tmp_path: Path) -> None:
    """Without tcpdump and dumpcap it says so; nothing was begun."""
    for tool in ("id", "mkdir"):
        (tmp_path / tool).symlink_to("/usr/bin/busybox")
    path = {"PATH": str(tmp_path)}
    full = [
        subprocess.run(["which", shell[0]], capture_output=True, text=True, check=True).stdout.strip(),
        *shell[1:],
    ]
    done = run(full, "--dry-run", env=path, cwd=tmp_path)

    assert (2, "lostsyn-capture: neither tcpdump nor dumpcap is installed\n") == (
        done.returncode,
        done.stderr,
    )
    assert {"id", "mkdir"} == {file.name for file in tmp_path.iterdir()}


def test_what_a_dry_run_shows() -> None:
    """Command lines that a shell reads back, the same in every shell."""
    options = (
        "--dry-run",
        "-i",
        "lo",
        "--filter",
        "port 80 and not host 'x'",
        "--size",
        "30",
        "-o",
        "x.tar.gz",
    )
    shown = {run(shell, *options).stdout for shell in SHELLS.values()}
    (text,) = shown
    (line,) = [line for line in text.splitlines() if line.startswith("tcpdump ")]
    words = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {line.partition(' 2>')[0]}"], capture_output=True, text=True, check=True
    )

    assert "port 80 and not host 'x'" == words.stdout.splitlines()[-1]
    assert text.startswith("# recorded: lo\n")
    assert text.endswith("packed into x.tar.gz\n")
    assert "conntrack -S > before/conntrack-S.txt" in text


def test_bpftrace_program_is_inside() -> None:
    """The one text is all that a node needs."""
    assert "tracepoint:skb:kfree_skb" in script()
    assert "@drops.bt@" not in script()
