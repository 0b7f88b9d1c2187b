"""Lists of objects in a text, as `ip -j` prints them: alone, pretty-printed (`-p`), or between other output."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from analyzer.evidence.facts import Caveat

MOST = 8 << 20
"""Characters that are decoded; a node with ten thousand interfaces has 5 million."""
LONGEST = 32 << 20
"""Characters of other documents."""
_LIST = re.compile(r"^[ \t]*(\[)\s*\{", re.MULTILINE)


def holds(head: str, *keys: str) -> bool:
    """Say whether a list begins, and these keys come."""
    return _LIST.search(head) is not None and all(re.search(rf'"{key}"\s*:', head) for key in keys)


def objects(text: str, file: str, *keys: str) -> Iterator[dict[str, Any] | Caveat]:
    """Yield the objects of every list, if the text holds these keys; a caveat where a list is cut short."""
    if holds(text, *keys):
        for items in documents(text[:MOST], file, _LIST):
            if isinstance(items, Caveat):
                yield items
            else:
                yield from (item for item in items if isinstance(item, dict))


def documents(text: str, file: str, begins: re.Pattern[str]) -> Iterator[Any]:
    """Yield each document that begins at a pattern's first group; a caveat for one that is cut short, which is the last."""
    text, at = text[:LONGEST], 0
    while match := begins.search(text, at):
        try:
            document, at = json.JSONDecoder().raw_decode(text, match.start(1))
        except (ValueError, RecursionError) as problem:
            yield Caveat(says=f"{file}: not understood as JSON, or cut short: {problem}")
            return
        yield document
