"""`uname -r`, `uname -a`, `/proc/version`, and the kernel's own first line in dmesg."""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.evidence.facts import Fact, Kernel
from analyzer.evidence.unwrapping import without_commands

PURPOSE = "which kernel's conntrack is replayed"

_RELEASE = r"\d{1,2}\.\d{1,3}(?:\.\d{1,4})?(?:[-+~_.][\w.+~-]{1,100})?"
# `uname -a` gives the build's number or hash after the release.
_SENTENCE = re.compile(
    rf"^(?:\[ *\d+\.\d+\] )?(?:Linux version ({_RELEASE}) |Linux \S{{1,255}} ({_RELEASE}) #)", re.MULTILINE
)
_ALONE = re.compile(rf"\s*({_RELEASE})\s*")
_ADDRESS = re.compile(r"\s*\d+(?:\.\d+){3}\s*")


def recognises(head: str) -> bool:
    """Say whether the text names a kernel; a bare release must be all of it."""
    return _found(head) is not None


def parse(text: str, file: str) -> Iterator[Fact]:
    release = _found(text)
    if release is not None:
        yield Kernel(release=release, file=file)


def _found(text: str) -> str | None:
    if match := _SENTENCE.search(text):
        return match[1] or match[2]
    if len(text) > 500:
        return None
    alone = without_commands(text)
    match = _ALONE.fullmatch(alone)
    return match[1] if match and len(alone) < 200 and not _ADDRESS.fullmatch(alone) else None
