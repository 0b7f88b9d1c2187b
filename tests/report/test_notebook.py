"""What a notebook shows: fragments that say what the report says, and are closed to every string."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.dom import minidom

import pytest

from analyzer.connection.model import Connection, Fate, Passage, Sighting
from analyzer.report import notebook

HOSTILE = "</style></svg><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x1b\u202e"


class Reader(HTMLParser):
    """Collects the tags, and that every tag is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        self.open.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in {"src", "href"}]

    def handle_endtag(self, tag: str) -> None:
        """Close the tag that was opened last."""
        assert self.open.pop() == tag


def tags(text: str) -> list[str]:
    """The tags of a fragment, all of which must be closed."""
    reader = Reader()
    reader.feed(re.sub(r"<(\w+)([^<>]*)/>", r"<\1\2></\1>", text.replace("<br>", "")))
    reader.close()
    assert not reader.open
    return reader.tags


def passage(*points: str, outward: bool = True) -> Passage:
    """A packet that these points saw, in the order of its way."""
    return Passage(
        sightings=tuple(
            Sighting(point=name, file=f"{name}.pcap", frame=n, time=n, src="10.0.0.1", dst="10.0.0.2")
            for n, name in enumerate(points, 1)
        ),
        outward=outward,
        label="SYN",
        fate=Fate.PASSED,
    )


@pytest.mark.parametrize("name", ["race", "late_ack", "both", "clean", "empty"])
def test_an_analysis(sample: Any, name: str) -> None:
    """The verdict, each incident with a ladder, every point, every caveat; one style and no script."""
    told = getattr(sample, name)()
    text = told._repr_html_()
    found = tags(text)

    assert (1, 0) == (found.count("style"), found.count("script"))
    assert len(told.incidents) == text.count('class="drawing ladder"')
    for said in (*(i.summary for i in told.incidents), *(p.name for p in told.capture_points), *told.caveats):
        assert said in text.replace("&#39;", "'").replace("&gt;", ">")


def test_many_incidents(sample: Any) -> None:
    """What is not told is counted."""
    told = replace(sample.race(), incidents=sample.race().incidents * 10)

    assert "7 further incidents not shown here" in told._repr_html_()


def test_an_incident(sample: Any) -> None:
    """Summary, attempts, ladder, evidence, exclusions; of the late ACK the window, too."""
    race, late = sample.RACE._repr_html_(), sample.LATE_ACK._repr_html_()

    for text, incident in ((race, sample.RACE), (late, sample.LATE_ACK)):
        tags(text)
        assert incident.summary.split("'")[0] in text
        assert 'class="drawing ladder"' in text
        assert incident.id in text
    assert 'class="drawing timeline"' in race
    assert 'class="drawing window"' in late
    assert sample.RACE.excluded[0].because in race


def test_a_finding(sample: Any) -> None:
    """One connection: both its names, how long it waited, its ladder."""
    told = sample.RACE.findings[0]
    text = told._repr_html_()
    tags(text)

    assert told.inner.replace(">", "&gt;") in text
    assert str(told.outer).replace(">", "&gt;") in text
    assert "waited" in text
    assert 'class="drawing ladder"' in text


def test_a_ladder_is_a_file_too(sample: Any) -> None:
    """The drawing's `svg` is a whole document; its words say whose it is."""
    drawing = notebook.ladder(sample.RACE.findings[0], sample.POINTS)

    assert "svg" == minidom.parseString(drawing.svg).documentElement.tagName  # noqa: S318 - our own
    assert 'class="drawing ladder"' in drawing._repr_html_()
    assert f"Drawing(of='ladder of {sample.RACE.findings[0].inner}')" == repr(drawing)


def test_points_stand_in_the_order_of_the_way() -> None:
    """Without an analysis, packets tell which lane comes before which, whichever way they went."""
    told = Connection(
        inner="a",
        outer=None,
        time=0,
        passages=(
            passage("veth-b", "cni0", "eth0"),
            passage("veth-a", "cni0"),
            passage("eth0", "br-1", outward=False),
        ),
    )
    text = notebook.ladder(told).svg
    lanes = re.findall(r'class="lane-name[^>]*>([^<]+)<', text)

    assert {"veth-a", "veth-b"} == set(lanes[:2])
    assert lanes.index("cni0") < lanes.index("br-1") + 1 < lanes.index("eth0") + 1
    assert "outside" == lanes[-1]


def test_nothing_to_draw(sample: Any) -> None:
    """A connection without a packet is said to have none."""
    empty = Connection(inner="10.0.0.1 > 10.0.0.2/icmp", outer=None, time=0)

    assert "No packet to draw." in notebook.ladder(empty)._repr_html_()
    assert "drawing ladder" not in replace(sample.RACE.findings[0], passages=())._repr_html_()


def test_no_string_breaks_out(sample: Any) -> None:
    """Names and sentences from strangers stay text."""
    race = replace(sample.RACE, summary=HOSTILE, id=HOSTILE, cause=HOSTILE)
    points = tuple(replace(point, name=HOSTILE) for point in sample.POINTS[:1])
    told = replace(
        sample.race(), incidents=(race,), bundle=HOSTILE, caveats=(HOSTILE,), capture_points=points
    )
    finding = replace(sample.RACE.findings[0], inner=HOSTILE, outer=HOSTILE)
    for text in (
        told._repr_html_(),
        race._repr_html_(),
        finding._repr_html_(),
        notebook.ladder(finding).html,
    ):
        assert {"script", "img"}.isdisjoint(tags(text))
        assert {"\x1b", "\u202e"}.isdisjoint(text)


def test_both_themes_are_known() -> None:
    """The palette of the report is there for a notebook that says it is light, and for one that says it is dark."""
    style = str(notebook._style())

    assert 1 == style.count("@media screen {")
    assert style.count("--paper: #15181c") == style.count("--paper: #fdfdfb") == 2
