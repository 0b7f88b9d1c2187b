"""Names that a stranger chose, in every output: printable, obeyed by nobody, and no tag but ours."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from analyzer import analyze
from analyzer.capture.bundle import Bundle
from analyzer.cli.formats import FORMATS
from tests.capture.test_reader import enhanced, interface, option, section
from tests.cli.test_saying import obeyed
from tests.conversation import Conversation, bystander, record
from tests.report.test_notebook import tags

NAMES = {
    "escape": "\x1b[2J\x1b]0;owned\x07eth0",
    "bidi": "\u202eeth0\u2066\u200b",
    "line": "eth0\r\n::error file=a::owned",
    "wraps": "a " * 40 + "::error::owned ::warning::b",
    "bracket": "eth0 ##[error]owned ##vso[task.setvariable variable=a]b",
    "tag": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "quote": "\"'><svg onload=alert(1)>]]>--><!--",
    "percent": "%0A::error::owned%25",
    "template": "{{ 7 * 7 }}{% raw %}${7*7}",
    "long": "w" * 250,
    "blank": "   ",
    "nothing": "\u200b",
}


def _records(path: Path) -> list[tuple[int, bytes]]:
    data, at, found = path.read_bytes(), 24, []
    while at < len(data):
        seconds, fraction, size, _ = struct.unpack_from("<IIII", data, at)
        found.append((seconds * 10**9 + fraction, data[at + 16 : at + 16 + size]))
        at += 16 + size
    return found


@pytest.fixture(params=NAMES)
def bundle(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A lost SYN; the folder, its file, every interface and the kernel have the name, as far as a file system allows."""
    name = NAMES[request.param]
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:20000")
    talk.syn().lost_after("cni0")
    talk.syn(at=1.0)
    talk.accept()
    record(tmp_path / "plain", talk, bystander(-5), bystander(20))
    folder = tmp_path / "node" / f"b{name.replace('/', '_')}"
    folder.mkdir(parents=True)
    points = sorted((tmp_path / "plain").glob("*.pcap"))
    described = [
        interface(link=1, options=option(2, f"{name}{p.stem[:1]}".encode()) + option(9, b"\x09"))
        for p in points
    ]
    packets = sorted(
        (time, number, data) for number, path in enumerate(points) for time, data in _records(path)
    )
    file = folder / f"{name.replace('/', '_')[:100]}.pcapng"
    file.write_bytes(
        section() + b"".join([*described, *(enhanced(n, time, data) for time, n, data in packets)])
    )
    (folder / "uname.txt").write_text(f"Linux {name} 6.1.0 #1 SMP {name} x86_64 GNU/Linux\n")
    (folder / f"ignored {name.replace('/', '_')[:100]}.bin").write_bytes(b"\x00\x01")
    return folder


def harmless(text: str) -> None:
    """Assert that a terminal shows it, and no runner obeys it."""
    for line in text.split("\n"):
        assert line.isprintable(), line
        assert not obeyed(line), line


def test_every_output(bundle: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """What goes to the terminal, formats for machines, the report, the notebook's fragments."""
    printed = {form: lostsyn("check", bundle, "--format", form) for form in FORMATS}
    for form, ran in printed.items():
        assert 1 == ran.code, form
        harmless(ran.err)
        lines = ran.out.split("\n")
        if form == "github":  # commands of ours, each begun by us
            ours = ("::error title=", "::notice title=Lostsyn::")
            assert all(line.isprintable() for line in lines)
            assert 1 == sum(line.startswith(ours[1]) for line in lines)
            lines = [line for line in lines if not line.startswith(ours)]
            assert "owned\n::" not in ran.out
        assert not any(map(obeyed, lines)), form
    harmless(printed["text"].out)
    json.loads(printed["json"].out)
    json.loads(printed["sarif"].out)
    ElementTree.fromstring(printed["junit"].out)  # noqa: S314 - our own
    told = json.loads(printed["json"].out)
    names = [point["name"] for point in told["points"]]
    assert 3 == len(set(names))
    assert all(name.strip() and name.isprintable() for name in names)

    ran = lostsyn("report", bundle, "-o", tmp_path / "r.html", "--evidence", tmp_path / "e.pcapng")
    assert 0 == ran.code
    harmless(ran.err)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count("<script") == page.count("</script")
    assert not any(f"<{bad}" in page for bad in ("img ", "svg onload", "script>alert"))
    assert not {"\x1b", "\x07", "\u202e", "\u2066"} & set(page)

    analysis = analyze(bundle)
    for made in (analysis, *analysis.incidents, analysis.ladder(analysis.incidents[0])):
        fragment = made._repr_html_()
        assert not {"img", "script"} & set(tags(fragment))
        assert not {"\x1b", "\x07", "\u202e"} & set(fragment)
    again = Bundle.open([tmp_path / "e.pcapng"])
    assert len(names) == len(analyze(again).capture_points)


def test_a_fleet(bundle: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """Its text, its JSON, its page, and what it says meanwhile."""
    pytest.importorskip("pyarrow")
    for form in ("text", "json"):
        ran = lostsyn(
            "fleet", bundle.parent.parent, "-o", tmp_path / "fleet", "--workers", "1", "--format", form
        )
        assert 0 == ran.code, ran.err
        harmless(ran.err)
        assert not any(map(obeyed, ran.out.split("\n")))
    page = (tmp_path / "fleet" / "report.html").read_text(encoding="utf-8")
    assert not any(f"<{bad}" in page for bad in ("img ", "svg onload", "script>alert"))
    assert not {"\x1b", "\x07", "\u202e", "\u2066"} & set(page)


def test_errors(bundle: Path, tmp_path: Path, lostsyn: Callable[..., Any]) -> None:
    """What cannot be used is said harmlessly, whatever it is called."""
    (tmp_path / "empty").mkdir()
    nothing = tmp_path / "empty" / bundle.name
    nothing.write_bytes(b"\x00")
    for arguments in (
        ("check", nothing),
        ("check", tmp_path / "gone" / bundle.name),
        ("check", bundle, "--role", f"{bundle.name}=pod"),
        ("check", bundle, "--point", f"eth0={bundle.name}"),
        ("check", bundle, "--expect", nothing),
        ("explain", bundle.name),
        ("report", bundle, "-o", tmp_path / "gone" / bundle.name),
    ):
        ran = lostsyn(*arguments)
        assert 2 == ran.code
        harmless(ran.err)
