"""The public pages (`lostsyn explain`): of every cause, of the kinds that have none, and of what only looks like a loss."""

from __future__ import annotations

import importlib
import inspect

from analyzer.incident import causes

OTHERS = ("invalid-reset", "invalid-dropped", "unnatted-leak", "challenge-ack", "look-alikes")
"""Codes beside those of the causes; each is a module of this package."""
CODES = (*causes.CODES, *OTHERS)


def page(code: str) -> str:
    """The page of a code: the docstring of the file that knows about it.

    Raises:
        KeyError: No such code.
    """
    if code in OTHERS:
        module = importlib.import_module(f"analyzer.incident.{code.replace('-', '_')}")
    else:
        module = causes.module(code)
    return inspect.cleandoc(module.__doc__ or "")
