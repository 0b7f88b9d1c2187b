"""The analysis of one upload, and what can be downloaded of it. Runs confined."""

from __future__ import annotations

import importlib
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from analyzer.api import Analysis, analyze
from analyzer.capture.bundle import Bundle
from analyzer.errors import LostsynError, UnknownPoint
from analyzer.report import html, json_
from analyzer.report.checked import untold
from analyzer.report.redaction import redact
from analyzer.report.verdict import headline
from analyzer.report.words import printable
from analyzer.web.folder import EVIDENCE, JSON, OUTCOME, PROGRESS, REDACTED, REPORT, write_json
from analyzer.web.recognition import told

_OFTEN = 0.2
"""Seconds between two notes of progress."""


def work(order: dict[str, Any], folder: Path) -> None:
    """Analyse the files of `order["files"]` (path, name) with `order["roles"]`; leave the results in *folder*."""
    called = {Path(file["path"]): file["name"] for file in order["files"]}
    bundle = Bundle.open(list(called), called=called)
    caveats = [_renamed(caveat, called) for caveat in bundle.caveats]
    bundle = replace(bundle, name=order["name"], caveats=tuple(caveats))
    progress = _Progress(folder / PROGRESS, sum(capture.size for capture in bundle.captures))
    unused: frozenset[str] = frozenset()
    try:
        analysis = analyze(bundle, roles=order["roles"], progress=progress.advance)
    except UnknownPoint as problem:  # its file may be gone from the upload since the role was given
        unused = problem.names
        roles = {point: role for point, role in order["roles"].items() if point not in unused}
        analysis = analyze(bundle, roles=roles, progress=progress.advance)
    if unused:
        caveat = f"the role given for {', '.join(sorted(unused))} was not used: no capture point is called so"
        analysis = replace(analysis, caveats=(*analysis.caveats, caveat))
    progress.step("writing the report")
    (folder / REPORT).write_text(html.render(analysis), encoding="utf-8")
    (folder / JSON).write_text(json_.render(analysis), encoding="utf-8")
    redacted = redact(analysis, secrets.token_bytes(32))  # reports of two uploads cannot be joined
    (folder / REDACTED).write_text(html.render(redacted), encoding="utf-8")
    if analysis.incidents:
        _excerpt(analysis, folder / EVIDENCE)
    write_json(
        folder / OUTCOME,
        {
            "says": printable(headline(analysis), 2000),
            "incidents": len(analysis.incidents),
            "inconclusive": untold(analysis) or None,
        },
    )


def _excerpt(analysis: Analysis, path: Path) -> None:
    """Write the incidents' packets as a capture, if they can be read again."""
    with suppress(ModuleNotFoundError, LostsynError):
        importlib.import_module("analyzer.report.evidence").write(analysis, path)


def _renamed(caveat: str, called: dict[Path, str]) -> str:
    for path, name in called.items():
        caveat = told(caveat, path, name)
    return caveat


class _Progress:
    """Notes how far the analysis is, for the page to show."""

    def __init__(self, path: Path, total: int) -> None:
        self._path = path
        self._total = total
        self._read = 0
        self._noted = 0.0
        self._lock = threading.Lock()
        self.step("reading")

    def advance(self, count: int) -> None:
        """Note that *count* more bytes were read; called by several threads."""
        with self._lock:
            self._read += count
            if self._read >= self._total:
                self.step("analysing")
            elif time.monotonic() - self._noted > _OFTEN:
                self.step("reading")

    def step(self, name: str) -> None:
        """Note what is being done."""
        self._noted = time.monotonic()
        write_json(self._path, {"step": name, "read": min(self._read, self._total), "total": self._total})
