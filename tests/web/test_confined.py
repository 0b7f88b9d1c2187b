"""The confined process: what it may use, and how its end is told."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analyzer.web import confined
from analyzer.web.confined import Limits
from tests.conftest import FIXTURES, ROOT

ENOUGH = Limits(memory=4 << 30, cpu=60, disk=1 << 30, time=60)
RACE = FIXTURES / "snat-race"


def _order(*names: str) -> dict[str, Any]:
    files = [
        {"number": number, "name": name, "path": str(RACE / name), "complete": True}
        for number, name in enumerate(names, 1)
    ]
    return {"name": "test", "roles": {}, "files": files, "others": []}


def _run(task: str, work: Path, order: dict[str, Any], **limits: Any) -> str | None:
    given = Limits(**{**{name: getattr(ENOUGH, name) for name in ENOUGH.__slots__}, **limits})
    return asyncio.run(confined.run(task, work, order, given))


def test_a_task_is_done(tmp_path: Path) -> None:
    """Nothing is said of a task that was done; what it wrote is there."""
    assert None is _run("recognise", tmp_path, _order("uname.txt"))
    assert (tmp_path / "1.json").exists()


def test_what_cannot_be_analysed_is_a_sentence(tmp_path: Path) -> None:
    """The reason that the command line would print is what the page shows; what to type there is not."""
    said = _run("analyse", tmp_path, _order("uname.txt"))

    assert "uname.txt: no capture (pcap or pcapng) found among 1 text file." == said


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"time": 0.05}, "more than 0.05 s, the limit"),
        ({"disk": 100}, "Writing to disk failed: File too large."),
    ],
)
def test_limits(tmp_path: Path, limits: dict[str, Any], says: str) -> None:
    """Whichever limit stops it, the sentence names the limit."""
    said = _run("analyse", tmp_path, _order("cni0.pcap", "eth0.pcap"), **limits)

    assert said
    assert says in said


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that makes other code the task, and returns the folder to work in."""

    def made(code: str) -> Path:
        body = "".join(f"    {line}\n" for line in code.splitlines())
        (tmp_path / "stand_in.py").write_text(f"def work(order, folder):\n{body}")
        (tmp_path / "sitecustomize.py").write_text(
            "import importlib.util, sys\n"
            "import analyzer.web.recognition\n"
            f"spec = importlib.util.spec_from_file_location('analyzer.web.recognition', {str(tmp_path / 'stand_in.py')!r})\n"
            "module = importlib.util.module_from_spec(spec)\n"
            "spec.loader.exec_module(module)\n"
            "sys.modules['analyzer.web.recognition'] = module\n"
        )
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
        work = tmp_path / "data/uploads/one/recognise.work"
        work.mkdir(parents=True)
        return work

    return made


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("while True: pass", "more than 1 s of processor time, the limit"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "crashed (SIGSEGV)"),
        ("import os; os._exit(7)", "ended unexpectedly with status 7"),
        ("x = [bytes(1 << 20) for _ in range(10_000)]", "memory, the limit"),
    ],
)
def test_how_a_task_goes_wrong(stand_in: Callable[[str], Path], code: str, says: str) -> None:
    """A task that spins, crashes, leaves or takes too much ends with a sentence of its own."""
    said = _run("recognise", stand_in(code), _order("uname.txt"), cpu=1, memory=1 << 30)

    assert said
    assert says in said


def test_the_log_says_more(stand_in: Callable[[str], Path], caplog: pytest.LogCaptureFixture) -> None:
    """What nobody foresaw ends in the server's log, as far as it says why, and printable."""
    said = _run("recognise", stand_in("raise ValueError('why \\x1b[2J' + 'x' * 9000)"), _order("uname.txt"))

    assert said == "The process ended unexpectedly with status 1; the server's log says more."
    assert "xxx" in caplog.text
    assert "\x1b" not in caplog.text
    assert len(caplog.text) < 5000


@pytest.mark.parametrize(
    ("statuses", "says"),
    [
        ([0], None),
        ([-signal.SIGKILL, 0], None),
        ([-signal.SIGTERM, 7], "The process ended unexpectedly with status 7; the server's log says more."),
        (
            [-signal.SIGTERM, -signal.SIGKILL],
            "Something outside killed its process (SIGKILL), also when it was tried once more; the machine may have too "
            "little memory.",
        ),
        ([-signal.SIGSEGV], "The process crashed (SIGSEGV); one of the files may be made to do that."),
    ],
)
def test_killed_from_outside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statuses: list[int], says: str | None
) -> None:
    """What the kernel, short of memory, or an operator killed is tried once more, in an empty folder; a crash is not."""
    coming, work = iter(statuses), tmp_path / "work"
    work.mkdir()

    async def process(*_: object) -> int:
        assert [] == list(work.iterdir())
        (work / "left").touch()
        return next(coming)

    monkeypatch.setattr(confined, "_process", process)
    assert says == _run("recognise", work, _order("uname.txt"))
    assert [] == list(coming)


def test_it_ends_with_its_server(tmp_path: Path) -> None:
    """A process whose server died before it began does nothing."""
    code = (
        "import sys; from analyzer.web.confined import Limits, enter; "
        "enter(Limits(memory=1 << 32, cpu=9, disk=9, time=9), 1); print('confined')"
    )
    done = asyncio.run(_output(code))

    assert b"" == done


async def _output(code: str) -> bytes:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0]
