"""The HTML report: complete for every analysis, closed to every string, small."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import re
from enum import Enum
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.dom import minidom

import pytest

from analyzer.connection.model import Fate
from analyzer.incident.model import Occupancy
from analyzer.report import html

HOSTILE = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>'",
    "</title></style></svg><!--",
    "{{ 7 * 7 }}{% raw %}",
    "\x00\x07\x1b[2J\x7f\x9b",
    "\u202egnp.exe\u2066\u200f\ufeff",
    "\udcff\ud800\ufffe",
    "]]>&nbsp;&#x3c;script>",
    "javascript:alert(1)",
    "n" * 10_000,
    "",
)
CLOSED = {"kind", "confidence", "fate", "verdict", "proto"}  # Literal types: not free text.


class Reader(HTMLParser):
    """Collects tags and attributes, and that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and its attributes."""
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in {"meta", "link", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that closes itself."""
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last."""
        assert self.open.pop() == tag


def read(text: str) -> Reader:
    """Parse *text*, all of whose tags must be closed."""
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    return reader


def poisoned(value: Any, text: str, name: str = "") -> Any:
    """Return *value* with *text* in place of every free string in it."""
    if isinstance(value, Enum) or name in CLOSED:
        return value
    if isinstance(value, str):
        known = {"partner", "offender", "host-reset", "reply", "attempt", "context"}
        return value if (name == "role" and value in known) or name == "test" else text
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: poisoned(getattr(value, f.name), text, f.name) for f in dataclasses.fields(value)}
        return type(value)(**fields)
    if isinstance(value, dict):
        return {
            (key if name == "mappings" else text): poisoned(item, text, key if name == "mappings" else "")
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(poisoned(item, text, name) for item in value)
    return value


@pytest.mark.parametrize("name", ["race", "late_ack", "both", "clean", "empty"])
def test_closed_to_the_outside(sample, name: str) -> None:
    """No element, attribute or style of the page asks for anything outside it."""
    text = html.render(getattr(sample, name)())
    reader = read(text)
    links = [
        value for _, attribute, value in reader.attributes if attribute in {"href", "src", "action", "srcset"}
    ]

    assert all(link.startswith("#") or link == "data:," for link in links)
    assert not re.search(r"@import|url\(|//[a-z]", text.replace("http://www.w3.org/2000/svg", ""))
    assert {"script": 1, "style": 1} == {tag: reader.tags.count(tag) for tag in ("script", "style")}
    assert not [
        attribute
        for _, attribute, _ in reader.attributes
        if attribute.startswith("on") or attribute == "style"
    ]


def test_the_policy_allows_the_page_and_nothing_else(sample) -> None:
    """The policy starts from nothing, and its hashes are those of the page's style and script."""
    text = html.render(sample.race())
    (policy,) = [
        value for tag, name, value in read(text).attributes if tag == "meta" and "default-src" in value
    ]

    def allowed(element: str) -> str:
        body = re.search(f"<{element}>(.*?)</{element}>", text, re.DOTALL)
        assert body
        return base64.b64encode(hashlib.sha256(body[1].encode()).digest()).decode()

    assert policy == (
        f"default-src 'none'; style-src 'sha256-{allowed('style')}'; "
        f"script-src 'sha256-{allowed('script')}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:24])
def test_no_string_breaks_out(sample, text: str) -> None:
    """Whatever its strings hold, the page keeps its elements and attributes, and can be encoded."""
    # The two incidents get one cause by it.
    same = ("cause", "confidence", "remedies")
    alike = dataclasses.replace(sample.RACE, **{name: getattr(sample.LATE_ACK, name) for name in same})
    clean = read(html.render(dataclasses.replace(sample.both(), incidents=(alike, sample.LATE_ACK))))
    dirty = html.render(poisoned(sample.both(), text))
    reader = read(dirty)

    assert set(reader.tags) <= set(clean.tags)
    assert {(tag, name) for tag, name, _ in reader.attributes} <= {
        (tag, name) for tag, name, _ in clean.attributes
    }
    assert 1 == reader.tags.count("script")
    assert all(value.startswith(("#", "data:,")) for _, name, value in reader.attributes if name == "href")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", dirty)
    assert len(dirty.encode()) < 3_000_000


def test_drawings_are_well_formed_xml(sample) -> None:
    """Every SVG of a page parses as XML, with hostile strings too."""
    for text in ("eth0", *HOSTILE):
        page = html.render(poisoned(sample.both(), text))
        drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)

        assert len(drawings) >= 3
        for drawing in drawings:
            minidom.parseString(drawing)  # noqa: S318 - our own rendering


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:24])
def test_the_ladder_alone(sample, text: str) -> None:
    """The ladder is an SVG file of its own, with its style, well-formed for any strings."""
    finding = poisoned(sample.RACE.findings[0], text)
    drawing = html.ladder_svg(finding, poisoned(sample.POINTS, text))
    root = minidom.parseString(drawing).documentElement  # noqa: S318 - our own rendering

    assert ("svg", "http://www.w3.org/2000/svg") == (root.tagName, root.namespaceURI)
    assert 1 == len(root.getElementsByTagName("style"))


def combinations(sample: Any) -> list[Any]:
    """Return analyses with every optional part there or not."""
    race, late = sample.RACE.findings[0], sample.LATE_ACK.findings[0]
    made = []
    for base, gap, outer, parts in itertools.product(
        (race, late),
        (None, ("cni0", "eth0")),
        (None, "192.0.2.10:1 > 192.0.2.100:80/tcp", race.inner),
        (
            {},
            {"passages": ()},
            {"window": ()},
            {"attempts": ()},
            {"facts": {}, "evidence": (), "delay_s": None},
        ),
    ):
        finding = dataclasses.replace(base, gap=gap, outer=outer, **parts)
        incident = dataclasses.replace(
            sample.RACE, findings=(finding,) * 2, gap=gap, evidence=(), excluded=(), remedies=()
        )
        made.append(
            dataclasses.replace(
                sample.race(), incidents=(incident,), caveats=(), reconciliation=(), kernel=None
            )
        )
    return made


def test_every_combination_renders(sample) -> None:
    """No part that may be missing is needed by a template: undefined names are errors."""
    for analysis in combinations(sample):
        read(html.render(analysis))


@pytest.mark.parametrize("fate", list(Fate))
@pytest.mark.parametrize("role", ["", "attempt", "reply", "partner", "offender", "host-reset", "context"])
def test_every_role_and_fate_renders(sample, fate: Fate, role: str) -> None:
    """Each role with each fate, in both directions, has a drawing and a row."""
    passages = [
        dataclasses.replace(passage, fate=fate, role=role, outward=outward, gap=None)
        for passage in sample.RACE.findings[0].passages
        for outward in (True, False)
    ]
    finding = dataclasses.replace(sample.RACE.findings[0], passages=tuple(passages))
    analysis = dataclasses.replace(
        sample.race(), incidents=(dataclasses.replace(sample.RACE, findings=(finding,)),)
    )
    text = html.render(analysis)
    read(text)

    assert f'<span class="fate {fate}">' in text


def test_points_without_packets(sample) -> None:
    """A point that recorded nothing has a row that says so."""
    empty = dataclasses.replace(sample.POINTS[0], first=None, last=None, packets=0, dropped=None, files=())
    text = html.render(dataclasses.replace(sample.race(), capture_points=(empty,)))
    read(text)

    assert "no packet" in text


def test_a_huge_analysis_stays_small(sample) -> None:
    """5,000 findings, their strings long, make a file under 10 MB that says what it left out."""
    analysis = sample.many(5000)
    text = html.render(analysis)
    spread = [
        dataclasses.replace(
            sample.LATE_ACK, findings=sample.LATE_ACK.findings * 12, id=f"invalid-reset-{number}"
        )
        for number in range(500)
    ]
    wide = html.render(dataclasses.replace(sample.late_ack(), incidents=tuple(spread)))
    long = html.render(poisoned(dataclasses.replace(sample.many(400), caveats=("c",) * 5000), "&" * 10_000))

    assert "4,600 further connections are not listed here" in text
    assert "<summary>5,000 mappings</summary>" in text
    assert "4,800 further mappings not shown here." in text
    assert "460 further incidents not shown here" in wide
    assert "4,940 further caveats not shown here" in long
    for page in (text, wide, long):
        assert len(page.encode()) < 10_000_000


def test_one_incident_alone(sample) -> None:
    """A file of one incident has its verdict, its drawing, and the bundle's points and caveats."""
    text = html.render_incident(sample.both(), sample.LATE_ACK)

    assert (
        '<h1 class="bad">1 of 613 connections was delayed or failed because of this node: late ACK rejected by conntrack '
        "(proven); " in text
    )
    assert 'id="invalid-reset-1"' in text
    assert 'id="syn-vanished-1"' not in text
    assert "1 further incident, in reports of their own" in text
    assert 'id="points"' in text
    assert 'id="caveats"' in text


def test_every_link_leads_somewhere(sample) -> None:
    """Each link within the page has its target, and no id is used twice."""
    reader = read(html.render(sample.both()))
    ids = [value for _, name, value in reader.attributes if name == "id"]
    targets = [value[1:] for _, name, value in reader.attributes if name == "href" and value.startswith("#")]

    assert len(ids) == len(set(ids))
    assert set(targets) <= set(ids)


def test_the_same_bytes_every_time(sample) -> None:
    """Rendering is deterministic, so rendered examples can be kept under version control."""
    assert html.render(sample.both()) == html.render(sample.both())


def test_the_script_is_little(sample) -> None:
    """The page's script stays under 10 KB."""
    script = re.search("<script>(.*?)</script>", html.render(sample.race()), re.DOTALL)
    assert script

    assert len(script[1]) < 10_000


def test_what_a_page_must_say(sample) -> None:
    """Verdict, sentence, drawings, frames, filters, evidence, look-alikes, remedies: all are there."""
    text = html.render(sample.both())
    for expected in (
        "5 of 613 connections were delayed or failed because of this node",
        "4 SYNs vanished between cni0 and eth0",
        "Three connections from two pods",
        'class="drawing ladder"',
        'class="drawing timeline"',
        'class="drawing window"',
        "39,008 bytes short",
        "frame.number in {117893, ",
        "ip.addr == 10.244.0.11 &amp;&amp; tcp.port == 20000",
        "insert_failed and drop both rose by 4",
        "a RST of the server",
        "--random-fully",
        "Reduces the race, does not abolish it.",
        "4 of 4 explained by lost SYNs",
        "cut short; 4,877 packets were read.",
        "34 µs after",
    ):
        assert expected in text


def test_no_line_is_cut(sample) -> None:
    """A drawing's line has all of its corners, however long it is: the limit of strings is for what strangers wrote."""
    times = tuple(range(0, 500 * 10**9, 10**9))
    occupancy = Occupancy(times=times, entries=tuple(n % 7 for n in range(500)), limit=None, shares={})
    page = html.render(dataclasses.replace(sample.clean(), occupancy=occupancy))
    lines = re.findall(r'points="([^"]*)"', page)

    assert max(map(len, lines)) > 5000
    assert all(re.fullmatch(r"(?:-?[\d.]+,-?[\d.]+ ?)+", line) for line in lines)


def test_no_filter_is_cut(sample) -> None:
    """A filter that the page offers for copying is whole, however many frames and connections there are."""
    passages = [
        dataclasses.replace(
            sample.RACE.findings[0].passages[1],
            sightings=(sample.seen("eth0", 10**9 + number, 0, f"10.244.0.11:{number}", "192.0.2.100:80"),),
        )
        for number in range(1, 2000)
    ]
    finding = dataclasses.replace(sample.RACE.findings[0], passages=tuple(passages))
    incident = dataclasses.replace(sample.RACE, findings=(finding, *sample.many(500).incidents[0].findings))
    text = html.render(dataclasses.replace(sample.race(), incidents=(incident,)))
    offered = re.findall("<code>(.*?)</code>", text)

    assert len(offered) > 4
    assert not [code for code in offered if "…" in code]
    assert "frames did not fit" in text
    assert "connections did not fit" in text


def test_the_first_screen(sample) -> None:
    """Impact, cause with confidence, and fix come in this order, then the account; nothing of it is zero."""
    text = html.render(sample.race())
    body = text[text.index("<body") :]
    places = [
        body.index(part)
        for part in (
            "<h1",
            ">Cause<",
            ">proven<",
            ">Fix<",
            '<dl class="counts account">',
            "<nav",
            'id="syn-vanished-1"',
        )
    ]

    assert places == sorted(places)
    assert "<dd>0</dd>" not in body
    assert "608" in body


def test_no_copying_of_placeholders(sample) -> None:
    """A command that its reader has to complete has no button, and says what to replace."""
    remedy = dataclasses.replace(sample.RACE.remedies[0], command="nft delete rule ip nat post handle HANDLE")
    race = dataclasses.replace(sample.RACE, remedies=(remedy,))
    text = html.render(dataclasses.replace(sample.race(), incidents=(race,)))
    command = text[text.index('<div class="command">') :]

    assert "Replace HANDLE first." in text
    assert "<button" not in command[: command.index("</div>")]


def test_contrast() -> None:
    """Every colour of text is readable on every ground: WCAG 2.2, 1.4.3."""

    def luminance(colour: str) -> float:
        digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    themes = re.findall(r"\.lostsyn \{(.*?)\}", html.source("palette.css"), re.DOTALL)
    assert 3 == len(themes)
    for theme in themes:
        colours = dict(re.findall(r"--([a-z-]+): #([0-9a-f]{3,6})", theme))
        for text in ("ink", "muted", "faint", "bad", "warn", "good", "nat", "link"):
            for ground in ("paper", "raised"):
                low, high = sorted((luminance(colours[text]), luminance(colours[ground])))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


@pytest.mark.parametrize(
    ("mode", "kept"),
    [(0o700, True), (0o770, False), (None, False)],
    ids=["the user's own", "a group may write", "none can be made"],
)
def test_compiled_templates(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int | None, kept: bool
) -> None:
    """They are kept for the next run where nobody else can write, and the page is the same without."""
    folder = tmp_path / "lostsyn"
    folder.mkdir(mode=0o700) if mode else tmp_path.joinpath("lostsyn").write_text("a file")
    folder.chmod(mode or 0o600)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pages = []
    for _ in range(2):
        html.environment.cache_clear()
        pages.append(html.environment().get_template("losses.svg").render(losses=None, chart=None))
    html.environment.cache_clear()

    assert pages[0] == pages[1]
    assert kept == bool(list(tmp_path.glob("lostsyn/*.cache")))
