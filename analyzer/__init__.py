"""Find where packets die on a Linux node, and say why.

The public names are imported when first used, so that `import analyzer` costs nothing and `analyzer.lab`
runs on a machine that has only the standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analyzer.api import Analysis as Analysis
    from analyzer.api import analyze as analyze
    from analyzer.capture.bundle import Bundle as Bundle
    from analyzer.errors import LostsynError as LostsynError
    from analyzer.errors import UnusableInput as UnusableInput
    from analyzer.incident.model import Finding as Finding
    from analyzer.incident.model import Incident as Incident

__version__ = "0.1.0"

_HOME = {
    "Analysis": "analyzer.api",
    "Bundle": "analyzer.capture.bundle",
    "Finding": "analyzer.incident.model",
    "Incident": "analyzer.incident.model",
    "LostsynError": "analyzer.errors",
    "UnusableInput": "analyzer.errors",
    "analyze": "analyzer.api",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    import importlib

    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
