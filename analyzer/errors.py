"""The errors of Lostsyn.

    LostsynError            what could not be done, where, what was kept, what to do; exit code 2
    +-- UnusableInput       nothing in the given paths can be analysed (also a ValueError)
    |   +-- UnknownPoint    a role was given for a capture point that is not there
    +-- TooLarge            it does not fit into memory (also a MemoryError)
    +-- MissingTool         a program or a right that a command needs is not there (also an OSError)

A damaged tail of a capture is not an error: it is a caveat of the analysis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class LostsynError(Exception):
    """Base of all errors shown to a user as one sentence on stderr."""

    exit_code = 2
    """Of the command that it ends."""


class UnusableInput(LostsynError, ValueError):  # noqa: N818 - reads as the sentence it becomes
    """Nothing in the given paths can be analysed."""

    def __init__(self, reason: str, advice: str = "") -> None:
        """Say why, and what to do on a command line; `str()` is both."""
        super().__init__(f"{reason}; {advice}" if advice else reason)
        self.reason = reason


class UnknownPoint(UnusableInput):
    """A role was given for a capture point that is not there."""

    def __init__(self, reason: str, names: Iterable[str]) -> None:
        """Say why, and which names no point has."""
        super().__init__(reason)
        self.names = frozenset(names)


class TooLarge(LostsynError, MemoryError):  # noqa: N818
    """What is to be analysed does not fit into memory."""


class MissingTool(LostsynError, OSError):  # noqa: N818
    """A program, or a right, that the command needs is not there."""
