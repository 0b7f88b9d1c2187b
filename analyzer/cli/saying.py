"""What goes to a terminal or into the log of a CI job: printable, and nothing that either would obey.

Names come from captures. A runner takes a line that begins with `::error::` for a command (actions/runner,
ActionCommand.TryParseV2, blanks before it included), and `##[...]` and `##vso[...]` anywhere in a line (TryParse there,
and in the agent of Azure Pipelines); where a line wraps, a name may well begin one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import click

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


def coloured(text: str) -> str:
    """Return a text for a terminal: of escape sequences only colours, so that a name which brought one along sets no more."""
    return "".join(part if k % 2 else shown(part) for k, part in enumerate(_COLOUR.split(text)))


def in_json(text: str) -> str:
    """Return the same JSON, its strings written so that a runner obeys none; no line of JSON begins within one."""
    return _BRACKET_COMMAND.sub(r"\\u0023#", text)


def in_xml(text: str) -> str:
    """Return the same XML, with character references where a runner would see a command."""
    return _LINE_COMMAND.sub(r"\1&#58;:", _BRACKET_COMMAND.sub("&#35;#", text))


def in_commands(text: str) -> str:
    """Return workflow commands: each line is one of ours and says so first; what it quotes is none of the old form."""
    return _BRACKET_COMMAND.sub("# #", text)


def say(text: str) -> None:
    """Print lines on stderr."""
    click.echo(shown(text), err=True)


def note(text: str) -> None:
    """Say one sentence on stderr."""
    say(f"lostsyn: {' '.join(text.split())}")


def close(word: str, known: Iterable[str]) -> str:
    """Ask whether a known word that is much like *word* was meant; empty where none is."""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=3)
    return f"did you mean {' or '.join(near)}?" if near else ""


def _spelt(letter: str) -> str:
    if letter == "\t":
        return " "
    return letter if letter.isprintable() else f"[U+{ord(letter):04X}]"
