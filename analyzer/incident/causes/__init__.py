"""The causes: one file each, whose docstring is its public page."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

CODES = (
    "snat-port-race",
    "snat-port-exhaustion",
    "conntrack-table-full",
    "policy-drop",
    "next-hop-unresolved",
    "dns-insert-race",
    "ack-under-lower-bound",
    "ack-over-upper-bound",
    "seq-over-upper-bound",
    "seq-under-lower-bound",
    "unknown",
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
