"""The way of the data begins: captures to columns, in the time in which what makes use of them is imported."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.capture.bundle import Bundle
from analyzer.capture.hashing import LIMIT, hashes
from analyzer.capture.points import record
from analyzer.capture.storage import Memory, TemporaryFiles
from analyzer.errors import TooLarge, UnusableInput
from analyzer.evidence import collect
from analyzer.threads import beside

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from analyzer.analysis import Analysis


def analyze(
    paths: Path | str | Bundle | Sequence[Path | str],
    *,
    points: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    memory: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
    hash_limit: int | None = LIMIT,
) -> Analysis:
    """Analyse the captures and the side evidence of one incident on one node.

    Args:
        paths: Files, folders or archives that make one bundle, or an opened `Bundle`.
        points: File (as given, its label, or its last part) to the name of its capture point.
        roles: Capture point to role: `pod`, `bridge` or `uplink`.
        memory: Bytes of memory to get along with: the columns then lie in temporary files. The result is the same.
        progress: Called now and then with how many more stored bytes were read.
        hash_limit: Most bytes of the bundle's files, the small ones first, of which `Analysis.inputs` has the SHA-256;
            None for all.

    Raises:
        UnusableInput: Nothing in *paths* can be analysed, *points* names no capture of theirs, or *roles* no point or no
            role.
        TooLarge: There is not enough memory.
    """
    try:
        bundle = _bundle(paths, points)
        with ThreadPoolExecutor(1) as pool:
            inputs = pool.submit(hashes, bundle.files, hash_limit)
            return replace(_analyze(bundle, roles or {}, memory, progress), inputs=inputs.result())
    except MemoryError:
        least = (
            "more memory than there is"
            if memory is None
            else f"more than --memory {memory >> 20}M leaves room for"
        )
        raise TooLarge(
            f"the analysis needs {least}; keep the columns on a disk with --memory 2G, or leave out captures"
        ) from None


def _analyze(
    bundle: Bundle, roles: Mapping[str, str], memory: int | None, progress: Callable[[int], None]
) -> Analysis:
    evidence = collect(bundle.evidence)
    storage = TemporaryFiles(memory) if memory else Memory()
    # Half of the modules serve what comes after decoding, and importing them is the work of one processor.
    with beside(lambda: import_module("analyzer.concluding")):
        recordings = record(bundle.captures, evidence.interfaces, roles, progress, storage)
    from analyzer.concluding import conclude

    return conclude(bundle, evidence, recordings)


def _bundle(paths: Path | str | Bundle | Sequence[Path | str], points: Mapping[str, str] | None) -> Bundle:
    if isinstance(paths, Bundle):
        if points:
            raise UnusableInput("points: the bundle is opened already; give them to Bundle.open")
        return paths
    return Bundle.open([paths] if isinstance(paths, str | Path) else list(paths), points=points)
