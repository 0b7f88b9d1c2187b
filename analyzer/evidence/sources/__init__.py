"""One file per source of side evidence.

A source is a module here with `recognises(head: str) -> bool`, given the file's first 64 KB, and
`parse(text: str, file: str) -> Iterator[Fact]`; it may have a `LIMIT`, bytes of a file that are read instead
of the usual number. It is found by being here. Text comes from anywhere: a line
that is not understood is a `Caveat`, never an error.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.evidence.facts import Fact


class Source(Protocol):
    """What a module here offers."""

    __name__: str

    def recognises(self, head: str) -> bool:
        """Say whether a file that begins like this holds the source's format."""
        ...

    def parse(self, text: str, file: str) -> Iterator[Fact]:
        """Yield what the text tells; *file* is how to call it."""
        ...


@cache
def sources() -> tuple[Source, ...]:
    """Return all of them; imported when the first text is to be recognised."""
    return tuple(
        cast(Source, importlib.import_module(f"{__name__}.{module.name}"))
        for module in pkgutil.iter_modules(__path__)
    )
