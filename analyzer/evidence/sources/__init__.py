"""One file per source of side evidence.

A source is a module here with `recognises(head: str) -> bool`, given the file's first 64 KB, with
`parse(text: str, file: str) -> Iterator[Fact]`, and with `PURPOSE`: what a file of it is for, as the report says it. It
may have a `LIMIT`, bytes of a file that are read instead of the usual number. It is found by being here; its docstring is
its section in docs/evidence.md, and the first words of that its name on the upload page. Text comes from anywhere: a line
that is not understood is a `Caveat`, never an error.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from typing import Protocol, cast

from analyzer.evidence.facts import Fact


class Source(Protocol):
    """What a module here offers."""

    __name__: str
    PURPOSE: str
    """What a file of it is for, as the report says it."""

    def recognises(self, head: str) -> bool:
        """Say whether a file that begins like this holds the source's format."""
        ...

    def parse(self, text: str, file: str) -> Iterator[Fact]:
        """Yield what the text tells; *file* is how to call it."""
        ...


DROPS = "the kernel's own record of each dropped packet: proof of place and cause"
RULES = "rules that packets are walked through: what drops, rejects or translates them"
COUNTERS = "counters that rise where packets are dropped"
LINKS = "interfaces, their addresses, MTU and state: roles, routes, bad links"
NAMES = "names of pods, services and nodes for their addresses"


@cache
def sources() -> tuple[Source, ...]:
    """Return all of them; imported when the first text is to be recognised."""
    return tuple(
        source(module.name) for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
    )


def source(name: str) -> Source:
    """Return the source of that name."""
    return cast("Source", importlib.import_module(f"{__name__}.{name}"))
