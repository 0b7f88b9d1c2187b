"""One connection through all points: every packet once, requests with their fate, the rest as it was seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer import Analysis, analyze
from analyzer.connection.model import Fate
from analyzer.incident.following import follow, located
from tests.conftest import Case
from tests.conversation import Conversation, bystander, record

POD, SERVER, NAT = "10.244.0.11:20000", "192.0.2.100:80", "192.0.2.10:1024"


def talk() -> Conversation:
    """A connection through NAT."""
    return Conversation(pod=POD, server=SERVER, nat=NAT)


def analysed(folder: Path, *talks: Conversation) -> Analysis:
    """An analysis of these and of others around, so that every point records all the time."""
    return analyze(record(folder, *talks, bystander(-5), bystander(20)))


def row(analysis: Analysis, point: str) -> dict[str, object]:
    """The row of the connection's flow at a point."""
    flows = analysis.flows
    port = 1024 if point == "eth0" else 20000
    return dict(flows[(flows["point"] == point) & (flows["orig_p"] == port)].iloc[0])


@pytest.mark.parametrize("point", ["veth-a", "cni0", "eth0"])
def test_the_same_from_everywhere(point: str, tmp_path: Path) -> None:
    """Whichever point's flow is given, the whole connection is followed, from its first packet on."""
    lossy = talk()
    lossy.syn(0).lost_after("cni0")
    lossy.syn(1)
    lossy.accept()
    analysis = analysed(tmp_path, lossy)
    told = analysis.follow(row(analysis, point))

    assert (f"{POD} > {SERVER}/tcp", f"{NAT} > {SERVER}/tcp") == (told.inner, told.outer)
    assert (("cni0", "eth0"), 0) == (told.gap, told.omitted)
    assert ["SYN", "SYN", "SYN-ACK"] == [p.label for p in told.passages][:3]
    assert [Fate.VANISHED, Fate.PASSED] == [p.fate for p in told.passages][:2]
    assert ["attempt", "attempt", "reply", "context"] == [p.role for p in told.passages][:4]
    assert ["veth-a", "cni0"] == [s.point for s in told.passages[0].sightings]
    assert ["eth0", "cni0", "veth-a"] == [s.point for s in told.passages[2].sightings]
    assert told.time == told.passages[0].sightings[0].time


def test_what_is_no_request_is_not_called_lost(tmp_path: Path) -> None:
    """Data that the next point did not see is undecidable: only of requests it was asked what became of them."""
    whole = talk()
    whole.syn(0)
    whole.accept()
    whole.data(100).only_at("veth-a", "cni0")
    analysis = analysed(tmp_path, whole)
    told = analysis.follow(row(analysis, "cni0"))

    assert [(Fate.UNDECIDABLE, ("cni0", "eth0"))] == [
        (p.fate, p.gap) for p in told.passages if "100 bytes" in p.label
    ]
    assert None is told.gap


def test_seen_at_one_point_only(tmp_path: Path) -> None:
    """What never got anywhere has no outside."""
    lossy = talk()
    lossy.syn(0).lost_after("veth-a")
    analysis = analysed(tmp_path, lossy)
    told = analysis.follow(row(analysis, "veth-a"))

    assert (None, 1) == (told.outer, len(told.passages))


@given(most=st.integers(1, 12))
def test_every_packet_is_told_or_counted(most: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Told and omitted packets together are all, each once."""
    long = talk()
    long.syn(0)
    long.accept()
    for _ in range(4):
        long.data(100)
    analysis = analysed(tmp_path_factory.mktemp("long"), long)
    point, flow = located(analysis.captured, row(analysis, "cni0"))
    told = follow(analysis.captured, point, flow, most)

    assert most == len(told.passages) or not told.omitted
    assert len(analysis.packets("cni0").query("flow == @flow")) == len(told.passages) + told.omitted


def test_every_crossing_of_real_captures(cases: dict[str, Case]) -> None:
    """Each can be followed and drawn: through DNAT, in IPv6, around the bridge, without NAT."""
    for name in ("service-race", "snat-race-ipv6", "service-local-br-netfilter", "clean", "late-start"):
        analysis = analyze(cases[name].folder)
        for _, crossing in analysis.crossings.drop_duplicates(
            ["inner_point", "outer_point", "heading"]
        ).iterrows():
            told = analysis.follow(crossing)
            assert told.passages
            assert told.omitted >= 0
            assert 'class="drawing ladder"' in analysis.ladder(crossing)._repr_html_()


def test_no_such_flow(tmp_path: Path) -> None:
    """A point or a flow that is not there, and a row of something else, are KeyErrors."""
    analysis = analysed(tmp_path)
    for wrong in (
        {"point": "eth7", "flow": 0},
        {"point": "eth0", "flow": 9999},
        {"point": "eth0", "flow": -1},
        {},
    ):
        with pytest.raises(KeyError):
            analysis.follow(wrong)
