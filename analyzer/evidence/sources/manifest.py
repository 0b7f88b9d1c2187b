"""`manifest.json` of `lostsyn capture`: from when to when each interface was recorded, and how the recording ended.

A capture alone only shows its first and last packet. With the manifest, silence on an interface is evidence too.
"""

from __future__ import annotations

import glob
import json
import re
from collections.abc import Iterator
from typing import Any

from analyzer.capture.naming import printable
from analyzer.evidence.facts import Caveat, Fact, RecordingInterval

PURPOSE = "when each point was recorded"

MOST = 1000
"""Interfaces that are told of."""
_BEGIN = re.compile(r'\{\s*"lostsyn_capture"\s*:')
_LATEST = 1 << 63
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
    begin = _BEGIN.search(text)
    if begin is None:
        return
    try:
        told, _ = json.JSONDecoder().raw_decode(text, begin.start())
    except (ValueError, RecursionError) as problem:
        yield Caveat(says=f"{file}: not understood as JSON, or cut short: {problem}")
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
    point, files = told.get("interface"), told.get("files")
    start, stop = _time(told.get("start_ns")), _time(told.get("stop_ns"))
    if not (isinstance(point, str) and point and isinstance(files, str) and files):
        return None
    if start is not None and stop is not None and stop < start:
        return None
    dropped, snaplen = told.get("dropped"), told.get("snaplen")
    return RecordingInterval(
        point=printable(point[:64]),
        files=f"{glob.escape(folder)}/{files[:200]}" if folder else files[:200],
        start=start,
        stop=stop,
        filter=printable(str(told.get("filter") or "")[:1000]),
        snaplen=snaplen if isinstance(snaplen, int) and snaplen > 0 else 0,
        direction=d if (d := told.get("direction")) in ("in", "out") else "inout",
        dropped=dropped if isinstance(dropped, int) and dropped >= 0 else None,
        file=file,
    )


def _list(told: dict[str, Any], key: str) -> list[dict[str, Any]]:
    items = told.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def _time(value: object) -> int | None:
    """A time that fits; JSON may hold any number."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < _LATEST else None
