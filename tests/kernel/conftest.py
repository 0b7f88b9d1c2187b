"""What the kernel's tests share."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.kernel.recorded import Script


@pytest.fixture(autouse=True)
def no_script_runs_on() -> Iterator[None]:
    """End the scripts of a test that failed."""
    yield
    while Script.started:
        process = Script.started.pop().process
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
