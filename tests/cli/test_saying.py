"""What is printed is printable, and no runner of a CI job obeys it."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.cli.saying import coloured, in_commands, in_json, in_xml, note, shown

COMMANDS = (
    "::error file=a::told",
    " \t::set-env name=PATH::/tmp",
    "a ##[error]told",
    "##vso[task.complete]x",
)


def obeyed(line: str) -> bool:
    """Whether GitHub's or Azure's runner takes a line for a command (ActionCommand.TryParseV2, TryParse)."""
    line = line.lstrip()
    return (line.startswith("::") and "::" in line[2:]) or "##[" in line or "##vso[" in line


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("before", ["", "first\n"])
def test_no_command_is_obeyed(command: str, before: str) -> None:
    """Wherever a line begins."""
    assert obeyed(command)
    assert not any(map(obeyed, shown(before + command).split("\n")))


@given(st.text(alphabet=st.sampled_from(":#[]vso \n\r\t\x1b\u2028a") | st.characters()))
def test_whatever_is_shown(text: str) -> None:
    """Lines are printable, and as many as there were."""
    lines = shown(text).split("\n")

    assert all(line.isprintable() and not obeyed(line) for line in lines)
    assert text.count("\n") + 1 == len(lines)


def test_what_is_harmless_stays() -> None:
    """Addresses at the beginning of a line, headings, other letters."""
    for text in ("::1 refused", "  2001:db8::1 > ::ffff:1", "## heading", "#[attribute]", "µ … é 漢", ""):
        assert text == shown(text)


@given(st.dictionaries(st.text(), st.text(alphabet=st.sampled_from(':#["\\vso\n') | st.characters())))
def test_documents_say_the_same(told: dict[str, str]) -> None:
    """JSON and XML are written otherwise, and hold what they held."""
    text = json.dumps(told, indent=1, ensure_ascii=False)
    assert told == json.loads(in_json(text))
    assert not any(map(obeyed, in_json(text).split("\n")))


@pytest.mark.parametrize("command", COMMANDS)
def test_xml_says_the_same(command: str) -> None:
    """Character references are what they stand for."""
    element = ElementTree.Element("failure", message=command)
    element.text = f"first\n{command}"
    text = in_xml(ElementTree.tostring(element, encoding="unicode"))
    again = ElementTree.fromstring(text)  # noqa: S314 - our own

    assert element.text == again.text
    assert not any(map(obeyed, text.split("\n")))


def test_annotations_stay_commands() -> None:
    """The format of GitHub is made of commands; what they hold is not one of the old form."""
    assert "::error title=a::# #[b]\n" == in_commands("::error title=a::##[b]\n")


def test_of_escape_sequences_only_colours_stay() -> None:
    """A name that brings another one along has it spelt out."""
    assert "\x1b[31mred\x1b[0m [U+001B][2J" == coloured("\x1b[31mred\x1b[0m \x1b[2J")


def test_a_note_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it tells of."""
    note("a\n::error::b\x1b[2J")

    assert "lostsyn: a ::error::b[U+001B][2J\n" == capsys.readouterr().err
