"""Work that kills the process that does it; light to import, since each new process imports it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analyzer.fleet.dataset import Result
from analyzer.fleet.places import Place
from analyzer.fleet.work import work


@dataclass(frozen=True, slots=True, kw_only=True)
class Fatal(Place):
    """A place at which writing a result kills the process, when all else is written."""

    def write(self, name: str, data: bytes) -> None:
        """Write anything but a result."""
        if name.startswith("bundles/"):
            os.kill(os.getpid(), signal.SIGKILL)
        Place.write(self, name, data)


def dying(
    bundle: Any, *, source: Place, target: Place, version: str, victim: str, flag: Path | None
) -> Result:
    """Analyse, but let the victim's process be killed before its result is written.

    Args:
        bundle: As `work`.
        source: As `work`.
        target: As `work`.
        version: As `work`.
        victim: The bundle's path.
        flag: A file that is made by the first death, after which there is no other; None: it dies every time.
    """
    if bundle.path == victim and not (flag and flag.exists()):
        if flag:
            flag.touch()
        target = Fatal(url=target.url, files=target.files, root=target.root)
    return work(bundle, source, target, version)


def refuse(bundle: object, **_: object) -> Result:
    """As a worker on which the package is not installed."""
    raise ModuleNotFoundError("No module named 'analyzer'")
