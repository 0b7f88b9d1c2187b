"""The command itself: help, errors, and what it imports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analyzer.cli import COMMANDS
from tests.conftest import ROOT


def test_help_imports_nothing_heavy() -> None:
    """`lostsyn --help` answers at once: neither numpy nor pandas, scapy or jinja2 is loaded for it."""
    program = (
        "import sys; from analyzer.cli import main; sys.argv = ['lostsyn', '--help']\n"
        "try: main()\n"
        "finally: print(sorted(set(sys.modules) & {'numpy', 'pandas', 'scapy', 'jinja2', 'dpkt'}))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ran.stdout.endswith("\n[]\n")
    assert "Usage: lostsyn" in ran.stdout
    assert "" == ran.stderr


def test_every_command_is_listed_and_helps_itself(lostsyn: Callable[..., Any]) -> None:
    """Every sub-command is in the help and has one of its own."""
    listed = lostsyn("--help").out
    for name in COMMANDS:
        assert f"\n  {name} " in listed
        ran = lostsyn(name, "--help")
        assert 0 == ran.code
        assert f"Usage: lostsyn {name}" in ran.out


@pytest.mark.parametrize("asked", [[], ["check"]])
def test_short_help(asked: list[str], lostsyn: Callable[..., Any]) -> None:
    """`-h` is `--help`."""
    assert lostsyn(*asked, "--help") == lostsyn(*asked, "-h")


def test_a_path_alone(tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """`lostsyn PATH` is `lostsyn report PATH`, with its options; a command comes before a file of its name."""
    (tmp_path / "empty.txt").touch()
    page = tmp_path / "x.html"
    short, long = (lostsyn(*given, ROOT / "fixtures/snat-race", "-o", page) for given in ([], ["report"]))
    none = lostsyn(tmp_path / "empty.txt")

    assert short == long
    assert page.exists()
    assert (2, "") == (none.code, none.out)
    assert "no capture" in none.err


def test_did_you_mean(lostsyn: Callable[..., Any]) -> None:
    """A slip in the name of a command is answered with what was meant; a missing file is told as such."""
    assert lostsyn("chekc").err.endswith(
        "Error: No such command, and no file or folder: 'chekc'. Did you mean check?\n"
    )
    assert lostsyn("no/such.pcap").err.endswith(
        "Error: No such command, and no file or folder: 'no/such.pcap'.\n"
    )


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["check"], ["check", "--format", "xml", "."], ["--frob"]]
)
def test_wrong_usage(arguments: list[str], lostsyn: Callable[..., Any]) -> None:
    """Usage errors go to stderr and are 2."""
    ran = lostsyn(*arguments)

    assert (2, "") == (ran.code, ran.out)
    assert "Usage: lostsyn" in ran.err


def test_as_a_module() -> None:
    """`python -m analyzer` is the command."""
    ran = subprocess.run(
        [sys.executable, "-m", "analyzer", "--version"], capture_output=True, text=True, check=True
    )

    assert ran.stdout.startswith("lostsyn, version ")


# What a command loads of the packages that are only needed for some of its work.
LOADS: dict[tuple[str, ...], set[str]] = {
    ("explain",): {"numpy"},
    ("explain", "snat-port-race"): {"numpy"},
    ("check", "fixtures/snat-race"): {"numpy"},
    ("check", "fixtures/late-ack"): {"numpy", "dpkt"},
    ("report", "fixtures/snat-race", "-o", os.devnull): {"numpy", "jinja2"},
}
SOME = ("numpy", "pandas", "scapy", "dpkt", "jinja2", "tomli_w", "matplotlib", "pyarrow", "starlette", "zstd")


@pytest.mark.parametrize("arguments", LOADS, ids=" ".join)
def test_loads_what_it_needs(arguments: tuple[str, ...]) -> None:
    """No package is loaded before there is something for it to do: pandas for tables, dpkt for TCP options of evidence."""
    program = (
        "import sys; from analyzer.cli import main; sys.argv[0] = 'lostsyn'\n"
        f"try: main()\nfinally: print('loaded', *[m for m in {SOME} if m in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )

    assert ran.stderr.splitlines()[-1].split() == ["loaded", *(m for m in SOME if m in LOADS[arguments])]


def test_a_terminal_that_is_not_utf_8() -> None:
    """What it cannot show becomes a question mark, not a traceback."""
    program = "import sys; from analyzer.cli import main; sys.argv = ['lostsyn', 'explain', '\u2026']; main()"
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=False)

    assert 2 == ran.returncode
    assert b"Traceback" not in ran.stderr
    assert b"?" in ran.stderr


BROKEN = "from analyzer.cli import main; import sys; sys.argv = ['lostsyn', *sys.argv[1:]]; {then}; main()"


def _run(*arguments: str, then: str = "pass", **options: Any) -> subprocess.CompletedProcess[str]:
    program = BROKEN.format(then=then)
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], text=True, stderr=subprocess.PIPE, check=False, **options
    )


@pytest.mark.parametrize("arguments", [["--help"], ["explain"], ["check", "--help"], ["completion", "bash"]])
def test_a_full_output(arguments: list[str]) -> None:
    """What cannot be written is no result: 2, and one sentence."""
    with Path("/dev/full").open("w") as full:
        ran = _run(*arguments, stdout=full)

    assert (2, "lostsyn: stdout: No space left on device\n") == (ran.returncode, ran.stderr)


def test_incidents_that_cannot_be_written() -> None:
    """Not even they are 1: who reads the code believes that the result is there."""
    with Path("/dev/full").open("w") as full:
        ran = _run("check", "fixtures/snat-race", stdout=full, cwd=ROOT)

    assert (2, 1) == (ran.returncode, ran.stderr.count("No space left on device"))


def test_a_reader_that_has_gone() -> None:
    """A closed pipe."""
    reading, writing = os.pipe()
    os.close(reading)
    ran = _run("explain", "snat-port-race", stdout=writing)
    os.close(writing)

    assert (2, "lostsyn: stdout was closed before everything was written\n") == (ran.returncode, ran.stderr)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ("KeyboardInterrupt", "lostsyn: interrupted; unfinished output was not written\n"),
        ("MemoryError", "lostsyn: not enough memory; with --memory SIZE"),
        (
            "ValueError('a\\n::error::b')",
            "lostsyn: failed unexpectedly: ValueError in <string> line 1: a ::error::b",
        ),
        ("OSError(28, 'No space left on device', '/tmp/x')", "lostsyn: /tmp/x: No space left on device\n"),
    ],
)
def test_whatever_goes_wrong(error: str, says: str) -> None:
    """One sentence and 2; 1 is only ever incidents."""
    then = f"import analyzer.cli.explain as e; e.pages.page = lambda _: (_ for _ in ()).throw({error})"
    ran = _run("explain", "snat-port-race", then=then, stdout=subprocess.DEVNULL)

    assert 2 == ran.returncode
    assert ran.stderr.startswith(says)
    assert 1 == ran.stderr.count("\n")


@pytest.mark.parametrize("arguments", [["--debug", "explain", "unknown"], ["explain", "unknown", "--debug"]])
def test_details_on_request(arguments: list[str]) -> None:
    """`--debug` tells where it failed, wherever it stands, and then the sentence."""
    then = "import analyzer.cli.explain as e; e.pages.page = lambda _: 1 / 0"
    ran = _run(*arguments, then=then, stdout=subprocess.DEVNULL)

    assert 2 == ran.returncode
    assert ran.stderr.startswith("Traceback (most recent call last):\n")
    assert "lostsyn: failed unexpectedly: ZeroDivisionError" in ran.stderr.splitlines()[-1]


def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C while captures are read."""
    then = (
        "import os, signal, analyzer.api as p; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "p.collect = lambda _: os.kill(os.getpid(), signal.SIGINT) or __import__('time').sleep(1)"
    )
    ran = _run("check", "fixtures/snat-race", then=then, stdout=subprocess.PIPE, cwd=ROOT)

    assert (2, "", "lostsyn: interrupted; unfinished output was not written\n") == (
        ran.returncode,
        ran.stdout,
        ran.stderr,
    )


def test_a_disk_that_gets_full(tmp_path: Path) -> None:
    """A write that is taken in part is no success, also where Python does not buffer (containers set PYTHONUNBUFFERED)."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
    program = f"{limit}import sys; from analyzer.cli import main; sys.argv[0] = 'lostsyn'; main()"
    with (tmp_path / "out").open("w") as out:
        ran = subprocess.run(
            [sys.executable, "-u", "-c", program, "explain", "snat-port-race"],
            stdout=out, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip

    assert (2, "lostsyn: stdout: File too large\n") == (ran.returncode, ran.stderr)


def test_one_pipe_for_both_that_nobody_reads() -> None:
    """`lostsyn ... 2>&1 | head`: the code is 2, not what Python ends with when it cannot flush."""
    reading, writing = os.pipe()
    os.close(reading)
    program = "import sys; from analyzer.cli import main; sys.argv[0] = 'lostsyn'; main()"
    ran = subprocess.run(
        [sys.executable, "-c", program, "explain", "snat-port-race"],
        stdout=writing,
        stderr=writing,
        check=False,
    )
    os.close(writing)

    assert 2 == ran.returncode


@pytest.mark.parametrize(("closed", "expected"), [(1, 2), (2, 0)])
def test_a_closed_stream(closed: int, expected: int) -> None:
    """What has nowhere to go is a failure; notes that nobody reads are none, and neither gets into a file that is opened."""
    closing = ["sh", "-c", f'exec "$@" {closed}>&-', "sh", sys.executable, "-c"]
    program = "import sys; from analyzer.cli import main; sys.argv[0] = 'lostsyn'; main()"
    ran = subprocess.run(
        [*closing, program, "explain", "snat-port-race"], capture_output=True, text=True, check=False
    )

    assert expected == ran.returncode
    assert ("lostsyn: stdout: Bad file descriptor\n" if closed == 1 else "") == ran.stderr
