"""`manifest.json` of `lostsyn capture`: from when to when each interface was recorded, and how the recording ended.

A capture alone only shows its first and last packet. With the manifest, silence on an interface is evidence too.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from typing import Any

from analyzer.capture.naming import printable
from analyzer.evidence import json_lists
from analyzer.evidence.facts import Caveat, Fact, RecordingInterval
from analyzer.evidence.json_lines import integer, string

PURPOSE = "when each point was recorded"

MOST = 1000
"""Interfaces that are told of."""
_BEGIN = re.compile(r'(\{)\s*"lostsyn_capture"\s*:')
_EARLY = {
    "killed": "its script was killed",
    "recorder-ended": "a recording program ended by itself",
    "disk-full": "the disk was full",
    "hangup": "the connection that it was streamed to was closed",
}


def recognises(head: str) -> bool:
    return _BEGIN.search(head) is not None


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the intervals; a caveat for what ended a recording early, and where the clock was set meanwhile."""
    told = next(json_lists.documents(text, file, _BEGIN), None)
    if isinstance(told, Caveat):
        yield told
    if not isinstance(told, dict):
        return
    ended = told.get("ended")
    if isinstance(ended, str) and ended in _EARLY:
        yield Caveat(says=f"{file}: the recording ended early: {_EARLY[ended]}")
    for step in _list(told, "clock_steps"):
        if isinstance(seconds := step.get("seconds"), int):
            yield Caveat(
                says=f"{file}: the node's clock was set by {seconds} s while it was recorded; times before and after do not "
                "belong together"
            )
    folder = file.rpartition("/")[0]
    for recording in _list(told, "recordings")[:MOST]:
        interval = _interval(recording, folder, file)
        yield interval or Caveat(
            says=f"{file}: not understood, and left out: {printable(str(recording)[:80])}"
        )


def _interval(told: dict[str, Any], folder: str, file: str) -> RecordingInterval | None:
    point, files = string(told, "interface"), string(told, "files")
    start, stop = integer(told, "start_ns") or None, integer(told, "stop_ns") or None
    if not point or not files or (start and stop and stop < start):
        return None
    return RecordingInterval(
        point=printable(point[:64]),
        files=f"{glob.escape(folder)}/{files[:200]}" if folder else files[:200],
        start=start,
        stop=stop,
        filter=printable(str(told.get("filter") or "")[:1000]),
        snaplen=integer(told, "snaplen") or 0,
        direction=d if (d := told.get("direction")) in ("in", "out") else "inout",
        dropped=integer(told, "dropped"),
        file=file,
    )


def _list(told: dict[str, Any], key: str) -> list[dict[str, Any]]:
    items = told.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
