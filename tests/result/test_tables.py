"""The public tables: their columns as documented, their numbers as captured."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from analyzer import Analysis, analyze
from analyzer.result.schema import COLUMNS
from tests.conftest import Case, analysed
from tests.conversation import START, TRANSIT, Conversation, bystander, record

POD, SERVER, NAT = "10.244.0.11:20000", "192.0.2.100:80", "192.0.2.10:1024"


@pytest.fixture
def lost(tmp_path: Path) -> Analysis:
    """A loss, a datagram, and connections around."""
    talk = Conversation(pod=POD, server=SERVER, nat=NAT)
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept()
    udp = Conversation(pod="10.244.0.11:53000", server="192.0.2.100:53", nat="192.0.2.10:53000", proto="udp")
    udp.data(45, 2)
    udp.reply(100)
    return analyze(record(tmp_path, talk, udp, bystander(-1), bystander(5)))


def every_table(analysis: Analysis) -> dict[str, pd.DataFrame]:
    """Each documented table."""
    return {
        "points": analysis.points,
        "packets": analysis.packets(analysis.capture_points[0].name),
        "flows": analysis.flows,
        "crossings": analysis.crossings,
        "passages": analysis.passages,
        "findings": analysis.findings,
        "connections": analysis.connections,
    }


def documented(name: str) -> dict[str, str]:
    """Column to the dtype that the documentation says."""
    return {column: said.dtype for column, said in COLUMNS[name].items()}


def matches(said: str, dtype: object) -> bool:
    """Whether a column has the documented dtype; texts are objects or pandas' own strings."""
    return str(dtype) in ("object", "str", "string") if said == "str" else said == str(dtype)


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_those_documented(name: str, lost: Analysis) -> None:
    """Names, order and dtypes."""
    table = every_table(lost)[name]

    assert len(table)
    assert list(documented(name)) == list(table.columns)
    for column, said in documented(name).items():
        assert matches(said, table[column].dtype), (column, said, table[column].dtype)


@pytest.mark.parametrize("name", COLUMNS)
def test_empty_tables_have_their_columns(name: str, tmp_path: Path) -> None:
    """A capture of nothing has its points and tables of nothing, with the same columns of the same dtypes."""
    analysis = analyze(record(tmp_path, points=("cni0", "eth0")))
    table = every_table(analysis)[name]

    assert (2 if name == "points" else 0) == len(table)
    assert list(documented(name)) == list(table.columns)
    for column, said in documented(name).items():
        assert matches(said, table[column].dtype), (column, said, table[column].dtype)


def test_every_fixture(bundle_case: Case) -> None:
    """The tables of real captures are whole and agree with each other."""
    analysis = analysed(bundle_case.name)
    for name, table in every_table(analysis).items():
        assert list(documented(name)) == list(table.columns)
    flows, packets = analysis.flows, {p.name: analysis.packets(p.name) for p in analysis.capture_points}
    assert [len(table) for table in packets.values()] == analysis.points["packets"].tolist()
    for point, table in packets.items():
        mine = flows[flows["point"] == point]
        assert len(table) == int(mine["orig_pkts"].sum() + mine["resp_pkts"].sum())
        counted = table.groupby("flow").size().reindex(mine["flow"], fill_value=0)
        assert (counted.to_numpy() == (mine["orig_pkts"] + mine["resp_pkts"]).to_numpy()).all()
    requests = analysis.passages[analysis.passages["first"]]
    assert analysis.counts.syn_attempts == int((requests["proto"] == 6).sum())
    assert analysis.counts.udp_requests == int((requests["proto"] == 17).sum())
    assert analysis.counts.syn_vanished == int(
        ((analysis.passages["fate"] == "vanished") & (analysis.passages["proto"] == 6)).sum()
    )
    assert sum(len(i.findings) for i in analysis.incidents) == len(analysis.findings)


def test_points(tmp_path: Path) -> None:
    """In the order of the way out; what is not known is missing, not zero."""
    table = analysed("capture-loss").points
    assert [("veth-a", "pod"), ("veth-b", "pod"), ("cni0", "bridge"), ("eth0", "uplink")] == list(
        zip(table["point"], table["role"], strict=True)
    )
    assert [0, 0, 0, 265] == table["dropped"].tolist()

    empty = analyze(record(tmp_path, points=("cni0",))).points.iloc[0]
    assert ("cni0.pcap", 0, True, True, True) == (
        empty["files"], empty["packets"], *(pd.isna(empty[column]) for column in ("first", "last", "dropped")),
    )  # fmt: skip


def test_packets(lost: Analysis) -> None:
    """A reply is told as it went over the wire."""
    table = lost.packets("eth0")
    replies = table[table["reply"] & (table["dport"] == 1024)]

    assert ["192.0.2.100"] == replies["src"].astype(str).tolist()
    assert [80] == replies["sport"].tolist()
    assert ["192.0.2.10"] == replies["dst"].astype(str).tolist()
    syn = table[(table["sport"] == 1024) & (table["flags"] == 2)].iloc[0]
    assert START + 10**9 + 2 * TRANSIT == syn["time"].value
    assert ("eth0.pcap", 1_000_000, 0) == (syn["file"], syn["seq"], syn["length"])


def test_crossings(lost: Analysis) -> None:
    """The mapping of the lossy connection."""
    row = lost.crossings.query("outer_point == 'eth0' and inner_orig == @POD").iloc[0]

    assert (NAT, SERVER, True, False, "out", "proven") == (
        row["outer_orig"],
        row["outer_resp"],
        row["snat"],
        row["dnat"],
        row["heading"],
        row["confidence"],
    )


def test_crossings_show_a_ladder(lost: Analysis) -> None:
    """The first row's, of a part as well; a table that has no flow to draw shows itself alone."""
    table = lost.crossings
    part = table.query("snat")

    assert lost.ladder(table.iloc[0]).html in table._repr_html_()
    assert lost.ladder(part.iloc[0]).html in part._repr_html_()
    both = pd.concat([table, analysed("late-ack").crossings])
    for none in (table[["snat"]], table.iloc[:0], both):
        assert "<svg" not in none._repr_html_()
    assert len(both) > len(table)


def test_passages(lost: Analysis) -> None:
    """Every request at every point that saw it."""
    table = lost.passages

    assert 1 == int((table["fate"] == "vanished").sum())
    assert {"cni0"} == set(table[table["fate"] == "vanished"]["point"])
    assert [17] * 3 == table[table["proto"] == 17]["proto"].tolist()
    assert int(table["first"].sum()) == lost.counts.syn_attempts + lost.counts.udp_requests


def test_findings(lost: Analysis) -> None:
    """One row for the one finding."""
    (row,) = lost.findings.to_dict("records")

    assert ("syn-vanished-1", "syn-vanished", "cni0-eth0", 2, 1, 1.0) == (
        row["incident"],
        row["kind"],
        row["gap"],
        row["attempts"],
        row["vanished"],
        row["delay_s"],
    )


def test_no_such_point(lost: Analysis) -> None:
    """The error names those that there are."""
    with pytest.raises(KeyError, match=r"no capture point is called 'eth7'; there are .*cni0"):
        lost.packets("eth7")
