"""Namespaces and the tasks in them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from analyzer.errors import LostsynError, MissingTool
from analyzer.lab.namespaces import Namespace, Task, require, run


def _double(number: int) -> int:
    return 2 * number


def _fail() -> None:
    raise RuntimeError("the pump is dry")


def test_a_task_returns_what_its_function_returns() -> None:
    """The value crosses the process boundary."""
    task = Task(_double, (21,))
    assert task.result(5) == 42
    task.stop()


def test_a_failed_task_says_why() -> None:
    """The exception's own words reach the parent in one sentence."""
    task = Task(_fail, ())
    with pytest.raises(LostsynError, match=r"_fail failed: .*the pump is dry"):
        task.result(5)
    task.stop()


def test_a_task_that_does_not_end_is_told_and_stopped() -> None:
    """Nothing waits forever."""
    task = Task(time.sleep, (60,))
    with pytest.raises(LostsynError, match="did not end within 0 s"):
        task.result(0.1)
    task.stop()
    with pytest.raises(OSError, match="closed"):
        task.result(0.1)


def test_a_task_ends_with_whoever_started_it() -> None:
    """Though its parent ends in a way that stops no task."""
    program = (
        "import os, time; from analyzer.lab.namespaces import Task\n"
        "task = Task(time.sleep, (60,)); print(task._process.pid, flush=True); os._exit(0)"
    )
    # The task has this pipe as well, so it is at its end when both are gone, or `subprocess.TimeoutExpired` is raised.
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True, timeout=30
    )

    assert done.stdout.strip().isdecimal()


def test_a_failed_tool_is_quoted() -> None:
    """The tool's own message is part of ours."""
    with pytest.raises(LostsynError, match=r"'ls /nowhere' failed with status 2: .*No such file"):
        run("ls", "/nowhere")


def test_without_root_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """No half-built network, no traceback."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingTool, match="run it as root"):
        require("ls")


def test_missing_tools_are_all_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run tells everything that must be installed."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(MissingTool, match="needs no-tool-a, no-tool-b: install"):
        require("ls", "no-tool-a", "no-tool-b")


@pytest.mark.kernel
def test_a_namespace_is_entered_and_left(namespaces: Callable[[], list[str]]) -> None:
    """Inside there is only lo; outside is what was before; nothing is left behind."""
    before = _current()
    with Namespace("test") as inside:
        assert [f"lostsyn-{os.getpid()}-test"] == namespaces()
        with inside.entered():
            assert [line.split(":")[0].strip() for line in _devices()] == ["lo"]
            assert before != _current()
        assert before == _current()
    assert namespaces() == []


@pytest.mark.kernel
def test_a_failure_inside_removes_the_namespace_and_its_tasks(namespaces: Callable[[], list[str]]) -> None:
    """Also when the `with` block raises, from within the namespace."""
    before = _current()
    with ExitStack() as stack:
        stack.enter_context(pytest.raises(RuntimeError, match="dry"))
        inside = stack.enter_context(Namespace("test"))
        task = inside.start(time.sleep, 60)
        stack.enter_context(inside.entered())
        _fail()
    assert before == _current()
    assert namespaces() == []
    with pytest.raises(OSError, match="closed"):
        task.result(1)


def _current() -> str:
    return str(Path("/proc/self/ns/net").readlink())


def _devices() -> list[str]:
    # thread-self, since /proc/net is the namespace of the process's first thread
    return Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
