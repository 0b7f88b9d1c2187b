"""Who analyses; that deaths are survived is tested in test_running."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from analyzer.errors import LostsynError, MissingTool
from analyzer.fleet import workers
from analyzer.fleet.workers import Processes, Scheduler
from tests.web.serving import until


def test_one_pool_as_long_as_it_is_whole() -> None:
    """Tasks share the pool; after a death, or for another width, there is a new one."""
    two = Processes(2)
    first = two.executor(2)

    assert first is two.executor(2)
    two.mend()
    assert first is not two.executor(2)
    assert two.executor(1) is not two.executor(2)
    two.close()


def test_as_many_as_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a number is given."""
    monkeypatch.setattr("os.cpu_count", lambda: 7)

    assert (7, 3) == (Processes().width(), Processes(3).width())


def test_dask_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence says what to install."""
    monkeypatch.setitem(sys.modules, "distributed", None)

    with pytest.raises(MissingTool, match=r"--scheduler needs Dask: pip install 'lostsyn\[fleet\]'"):
        Scheduler("tcp://127.0.0.1:9")


@pytest.mark.parametrize("address", ["nonsense://x", "tcp://127.0.0.1:99999999"])
def test_no_scheduler(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address at which none can be is one sentence."""
    monkeypatch.setattr(workers, "CONNECT", 0.1)
    with pytest.raises(LostsynError, match="no Dask scheduler answers there"):
        Scheduler(address)


def test_a_scheduler_that_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever asks it afterwards is told what to do."""
    monkeypatch.setattr(workers, "CONNECT", 8.0)
    tells = tmp_path / "scheduler.json"
    process = subprocess.Popen(
        [
            sys.executable, "-m", "distributed.cli.dask_scheduler",
            "--host=127.0.0.1", "--port=0", "--dashboard-address=127.0.0.1:0", f"--scheduler-file={tells}",
        ],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: tells.exists() and tells.read_text().endswith("}"), "the scheduler's address")
        scheduler = Scheduler(json.loads(tells.read_text())["address"])
        assert 0 == scheduler.width()
    finally:
        process.kill()
        process.wait()
    with pytest.raises(LostsynError, match="the scheduler is gone; what was done is kept"):
        scheduler.width()
    scheduler.close()
