"""The unit of work: one bundle, analysed where a worker runs, its tables written, its result told.

Whatever a bundle does to the analysis, short of killing the process, becomes a sentence: no other bundle suffers.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analyzer import __version__
from analyzer.api import analyze
from analyzer.capture.bundle import FILES
from analyzer.errors import LostsynError
from analyzer.fleet import dataset
from analyzer.fleet.bundles import FleetBundle
from analyzer.fleet.places import Place

SPARE = 1 << 30
"""Bytes of the disk that a downloaded bundle leaves free; of a small disk, half of what is free."""


def work(
    bundle: FleetBundle, source: Place, target: Place, version: str, memory: int | None = None
) -> dataset.Result:
    """Analyse *bundle* and keep what was found; never raises.

    Args:
        bundle: Which one.
        source: The folder that it was found below.
        target: Where the dataset is.
        version: Of Lostsyn, where the fleet was asked about.
        memory: As `analyze` takes it.
    """
    try:
        if version != __version__:
            raise LostsynError(
                f"the worker has lostsyn {__version__}, but was asked by {version}: install one version everywhere"
            )
        if any("\ud800" <= sign <= "\udfff" for sign in bundle.path):
            raise LostsynError("its name is not UTF-8, as names in tables must be; give it another one")
        with _here(bundle, source) as path:
            return dataset.write(analyze(path, memory=memory), bundle, target)
    except LostsynError as error:
        return dataset.Result.of(bundle, problem=str(error))
    except Exception as error:  # a bundle that breaks the analysis must not stop the fleet
        return dataset.Result.of(bundle, problem=f"the analysis failed: {type(error).__name__}: {error}")


@contextmanager
def _here(bundle: FleetBundle, source: Place) -> Iterator[Path]:
    """Where the bundle is on this machine; what is elsewhere is downloaded for as long as it is needed."""
    if source.is_local:
        yield Path(source.path(bundle.path))
        return
    if len(bundle.files) > FILES:
        raise LostsynError(f"{len(bundle.files)} files, more than the {FILES} that a bundle may have")
    with tempfile.TemporaryDirectory(prefix="lostsyn-") as made:
        free = shutil.disk_usage(made).free
        if bundle.size > max(free - SPARE, free // 2):
            raise LostsynError(
                f"it has {bundle.size >> 20} MiB, but {made.rpartition('/')[0]} has only {free >> 20} MiB free: "
                "set TMPDIR to a larger disk"
            )
        folder = Path(made)
        for name in bundle.files:
            parts = [Path(bundle.path).name, *name.removeprefix(bundle.path).split("/")]
            parts = [part for part in parts if part]
            if any(part in (".", "..") or "\0" in part for part in parts):
                raise LostsynError(f"{name!r} cannot be used as a file name here")
            path = folder.joinpath(*parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            source.files.get_file(source.path(name), str(path))
        yield folder / Path(bundle.path).name
