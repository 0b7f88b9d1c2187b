"""What an output was made by and from: version, command line, the SHA-256 of each input."""

from __future__ import annotations

from analyzer import __version__
from analyzer.report.words import printable
from analyzer.result.analysis import Result

UNHASHED = "not computed (--sha256 does)"


def made_by(analysis: Result) -> str:
    """`lostsyn 0.9.0`, and the command line where there was one."""
    return f"lostsyn {__version__}" + (f": {printable(analysis.command, 1000)}" if analysis.command else "")


def inputs(analysis: Result) -> list[tuple[str, str]]:
    """Each file that was looked into, with its SHA-256."""
    return [(printable(one.file, 300), one.sha256 or UNHASHED) for one in analysis.inputs]
