"""What goes to a terminal or into the log of a CI job: printable, and nothing that either would obey.

Names come from captures. A runner takes a line that begins with `::error::` for a command (actions/runner,
ActionCommand.TryParseV2, blanks before it included), and `##[...]` and `##vso[...]` anywhere in a line (TryParse there,
and in the agent of Azure Pipelines); where a line wraps, a name may well begin one.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

_COLOUR = re.compile("(\x1b\\[[0-9;]{1,8}m)")
_LINE_COMMAND = re.compile(r"^(\s*)::(?=.*::)", re.MULTILINE)
_BRACKET_COMMAND = re.compile(r"##(?=\w*\[)")


def shown(text: str) -> str:
    """Return *text* with what cannot be shown spelt out, and what a runner would obey broken by a blank."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if not line.isprintable():
            lines[number] = "".join(map(_spelt, line))
    return _LINE_COMMAND.sub(r"\1: :", _BRACKET_COMMAND.sub("# #", "\n".join(lines)))


def document(text: str, form: str) -> str:
    """Return a result as it is printed: the same document, its strings written so that a runner obeys none.

    Args:
        text: What a renderer made.
        form: `text`, `json`, `sarif`, `junit` or `github`; `terminal` is a text that a renderer coloured, for no log.
    """
    if form == "terminal":
        # Of escape sequences only colours: a name that brought one along could set no more.
        return "".join(part if k % 2 else shown(part) for k, part in enumerate(_COLOUR.split(text)))
    if form in ("json", "sarif"):
        return _BRACKET_COMMAND.sub(r"\\u0023#", text)  # no line of JSON begins within a string
    if form == "junit":
        return _LINE_COMMAND.sub(r"\1&#58;:", _BRACKET_COMMAND.sub("&#35;#", text))
    if form == "github":
        return _BRACKET_COMMAND.sub("# #", text)  # each line is a command of ours, and says so first
    return shown(text)


def say(text: str) -> None:
    """Print lines on stderr."""
    click.echo(shown(text), err=True)


def note(text: str) -> None:
    """Say one sentence on stderr."""
    say(f"lostsyn: {' '.join(text.split())}")


def close(word: str, known: Iterable[str]) -> str:
    """Ask whether a known word that is much like *word* was meant; empty where none is."""
    near = difflib.get_close_matches(word, list(known), n=3)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _spelt(letter: str) -> str:
    if letter == "\t":
        return " "
    return letter if letter.isprintable() else f"[U+{ord(letter):04X}]"
