"""The causes: one file each, named as its code, whose docstring is its public page; found by being there.

A cause has `CODE`, `TITLE`, `REMEDIES` and `summary(loss)`. One that explains lost or refused packets also has
`explain(case, scene)`, `RANK` and `COUNTED`. The lowest `RANK` is asked first: below 30 a setting, an entry or a rule that is
known to stop this packet, to 60 the devices and neighbours on its way, above that what counters prove. `COUNTED`: whether it
rests on conntrack's counters, which are compared with what the other causes leave over. It may have
* `suggest(case, scene)`, asked last: what captures alone show;
* `RECORDS`, the kinds of the kernel's drop records (`analyzer.evidence.drops`) that a packet may leave that dies of it: one of
  another kind contradicts the cause, and outranks it. Without `RECORDS`, any does;
* `BETWEEN_DEVICES`, true where it can lose a packet between two devices of one place (`Gap.stacked`), where no rule, no
  translation and no route lies.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

CODES = tuple(
    sorted(
        (name.replace("_", "-") for _, name, _ in pkgutil.iter_modules(__path__) if not name.startswith("_")),
        key=lambda code: (code == "unknown", code),
    )
)
"""What incidents can carry as their cause."""


def module(code: str) -> ModuleType:
    """The file of a cause: its page, remedies and detector.

    Raises:
        KeyError: No such cause.
    """
    if code not in CODES:
        raise KeyError(code)
    return importlib.import_module(f"{__name__}.{code.replace('-', '_')}")


@cache
def detectors() -> tuple[ModuleType, ...]:
    """The causes that explain packets, in the order of their `RANK`."""
    able = [found for code in CODES if hasattr(found := module(code), "explain") and code != "unknown"]
    return tuple(sorted(able, key=lambda found: (found.RANK, found.CODE)))
