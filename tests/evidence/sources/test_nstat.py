"""The protocols' counters as nstat prints them."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.counting import Counters
from analyzer.evidence.facts import Caveat
from analyzer.evidence.sources import nstat


def counters(text: str) -> list[Counters]:
    """Parse a text that is recognised."""
    assert nstat.recognises(text)
    return [fact for fact in nstat.parse(text, "a") if isinstance(fact, Counters)]


def test_same_in_both_formats(sample: Callable[[str], str]) -> None:
    """Text and JSON of one command tell the same."""
    (text,), (told,) = counters(sample("nstat.txt")), counters(sample("nstat.json"))
    assert text.values == {name: told.values[name] for name in text.values}
    assert (1, 2) == (text.values["Ip.OutNoRoutes"], text.values["Ip.OutRequests"])


def test_several_and_without_a_head() -> None:
    """Each head begins a snapshot; a grepped line needs none."""
    text = "#kernel\nUdpInErrors 1 0.0\n#kernel\nUdpInErrors 5 0.0\n"
    assert [1, 5] == [one.values["Udp.InErrors"] for one in counters(text)]
    assert [{"Udp.InCsumErrors": 7}] == [
        one.values for one in counters("UdpInCsumErrors                 7                  0.0\n")
    ]


def test_damaged_and_other_text() -> None:
    """A JSON object that is cut is told; numbers of other things are none."""
    (caveat,) = nstat.parse('{"kernel":{"IpInReceives":1', "a")
    assert isinstance(caveat, Caveat)
    assert not nstat.recognises("Something 1 0.0\n")
