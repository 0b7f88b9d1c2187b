"""Connections across two nodes: joined, not joined, lost between, and what cannot be told."""

from __future__ import annotations

import errno
import os
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors import LostsynError
from analyzer.fleet import joining
from tests.conversation import bystander, record
from tests.fleet.nodes import AHEAD, TRANSIT, analysed, both, entering, fleet, joined, leaving, there

ROW = "10.0.0.1:20000 > 10.0.0.2:30080/tcp"


def test_a_connection_is_joined(tmp_path: Path) -> None:
    """Both nodes, the tuples at each place, the transit and the clocks."""
    left, entered = both(20000, 5)
    (row,) = joined(fleet(tmp_path / "in", [left], [entered]), tmp_path / "out")

    assert ("node-a", "node-b", "node-a/monday", "node-b/monday") == (
        row["left_node"], row["entered_node"], row["left_bundle"], row["entered_bundle"],
    )  # fmt: skip
    assert ("10.244.1.5:20000", ROW, ROW, "10.244.2.7:8080") == (
        row["pod"], row["left"], row["entered"], row["inside"],
    )  # fmt: skip
    assert ("passed", "proven", 1, 1, 0) == (
        row["fate"], row["confidence"], row["syns_left"], row["syns_entered"], row["vanished"],
    )  # fmt: skip
    # 1 ms after the SYN left the pod, 10 us before it left the node; 0.2 ms of it, and 10 us, within node-b.
    assert 780_000 == row["round_trip_ns"]
    assert abs(row["clock_offset_ns"] - AHEAD * 1e9) < 200_000
    assert abs(row["transit_ns"] - TRANSIT * 1e9) < 200_000


def test_the_same_tuple_with_another_isn_is_another_connection(tmp_path: Path) -> None:
    """A near miss: ports are used again, sequence numbers are not."""
    left, _ = both(20000, 5)
    entered = entering(20000, isn=77)
    entered.syn(there(5))
    entered.synack(there(5) + 0.0002)

    assert [] == joined(fleet(tmp_path / "in", [left], [entered]), tmp_path / "out")


def test_the_same_syn_with_another_answer_is_another_connection(tmp_path: Path) -> None:
    """A near miss: what stands between and answers for the server opens connections of its own."""
    left, _ = both(20000, 5)
    entered = entering(20000, server_isn=77)
    entered.syn(there(5))
    entered.synack(there(5) + 0.0002)

    assert [] == joined(fleet(tmp_path / "in", [left], [entered]), tmp_path / "out")


def test_translated_between_the_nodes(tmp_path: Path) -> None:
    """Another tuple, but both sides' sequence numbers: a gateway in between translated it."""
    left, _ = both(20000, 5)
    entered = entering(20000, client="198.51.100.7:4000")
    entered.syn(there(5))
    entered.synack(there(5) + 0.0002)
    (row,) = joined(fleet(tmp_path / "in", [left], [entered]), tmp_path / "out")

    assert (ROW, "198.51.100.7:4000 > 10.0.0.2:30080/tcp", "proven") == (
        row["left"], row["entered"], row["confidence"],
    )  # fmt: skip


def test_a_syn_that_never_entered(tmp_path: Path) -> None:
    """Never answered, node-b recording, others entered: lost between the nodes."""
    left = leaving(20000)
    left.syn(5)
    left.syn(6)
    (row,) = joined(fleet(tmp_path / "in", [left], []), tmp_path / "out")

    assert ("node-a", "node-b", ROW, None) == (
        row["left_node"], row["entered_node"], row["left"], row["entered"],
    )  # fmt: skip
    assert ("vanished", 2, "possible") == (row["fate"], row["vanished"], row["confidence"])


def test_an_answered_syn_was_not_lost(tmp_path: Path) -> None:
    """A near miss: node-b's captures lack it, but somebody answered."""
    left, _ = both(20000, 5)

    assert [] == joined(fleet(tmp_path / "in", [left], []), tmp_path / "out")


def test_one_of_two_syns_entered(tmp_path: Path) -> None:
    """The first one was lost between the nodes, though the connection was made."""
    left, entered = leaving(20000), entering(20000)
    left.syn(5)
    left.syn(6)
    left.synack(6.001)
    entered.syn(there(6))
    entered.synack(there(6) + 0.0002)
    (row,) = joined(fleet(tmp_path / "in", [left], [entered]), tmp_path / "out")

    assert ("vanished", 1, 2, 1) == (row["fate"], row["vanished"], row["syns_left"], row["syns_entered"])


def test_a_missed_syn_that_was_answered_was_not_lost(tmp_path: Path) -> None:
    """A near miss: the answer came before the next SYN, so node-b's capture missed it."""
    left, entered = leaving(20000), entering(20000)
    left.syn(5)
    left.synack(5.001)
    left.syn(6)
    left.synack(6.001)
    entered.syn(there(6))
    entered.synack(there(6) + 0.0002)
    (row,) = joined(fleet(tmp_path / "in", [left], [entered]), tmp_path / "out")

    assert ("passed", 0) == (row["fate"], row["vanished"])


def test_nobody_recorded(tmp_path: Path) -> None:
    """Node-b's captures ended before: nothing can be said."""
    left = leaving(20000)
    left.syn(15)
    (row,) = joined(fleet(tmp_path / "in", [left], [], end=10), tmp_path / "out")

    assert ("undecidable", 0, "node-b was not recording then") == (
        row["fate"],
        row["vanished"],
        row["because"],
    )


def test_the_capture_ends_at_once(tmp_path: Path) -> None:
    """Sent at the end of node-a's own captures: an answer could not be seen any more."""
    left = leaving(20000)
    left.syn(19.9)
    (row,) = joined(fleet(tmp_path / "in", [left], []), tmp_path / "out")

    assert ("undecidable", "its own node's capture ended before an answer could come") == (
        row["fate"], row["because"],
    )  # fmt: skip


def test_an_address_elsewhere(tmp_path: Path) -> None:
    """No connection to that address ever entered a node: it is none of this fleet's, and not told of."""
    left = leaving(20000, server="198.51.100.3:443")
    left.syn(5)

    assert [] == joined(fleet(tmp_path / "in", [left], []), tmp_path / "out")


def test_an_address_that_two_nodes_serve(tmp_path: Path) -> None:
    """Which node it should have entered is open."""
    left = leaving(20000)
    left.syn(15)
    third_left, third_entered = both(20001, 7)
    root = fleet(tmp_path / "in", [left, third_left], [])
    record(root / "node-d" / "monday", third_entered, bystander(-5), bystander(25))
    rows = joined(root, tmp_path / "out")
    row = next(row for row in rows if row["left"] == ROW)

    assert ("undecidable", None) == (row["fate"], row["entered_node"])
    assert "the address is served by several nodes: node-b, node-d" == row["because"]


def test_a_syn_under_another_tuple(tmp_path: Path) -> None:
    """The same sequence number entered under another tuple and was not answered: it may be this one."""
    left, entered = leaving(20000), entering(20000, client="198.51.100.7:4000")
    left.syn(5)
    entered.syn(there(5))
    (row,) = joined(fleet(tmp_path / "in", [left], [entered]), tmp_path / "out")

    assert ("undecidable", None) == (row["fate"], row["entered"])
    assert row["because"].startswith("a connection with the same sequence number")


def test_without_answers_the_clocks_are_not_known(tmp_path: Path) -> None:
    """SYNs alone tell neither transit nor offset; so a loss cannot be told either."""
    left, entered, lost = leaving(20000), entering(20000), leaving(20001)
    left.syn(5)
    entered.syn(there(5))
    lost.syn(6)
    rows = joined(fleet(tmp_path / "in", [left, lost], [entered], ordinary=0), tmp_path / "out")

    assert ["passed", "undecidable"] == [row["fate"] for row in rows]
    assert "likely" == rows[0]["confidence"]
    assert all(pd.isna(rows[0][name]) for name in ("transit_ns", "round_trip_ns", "clock_offset_ns"))


def test_two_bundles_of_one_moment(tmp_path: Path) -> None:
    """What a node recorded twice is joined once."""
    left, entered = both(20000, 5)
    root = fleet(tmp_path / "in", [left], [entered])
    (root / "node-a" / "copy").mkdir()
    for file in (root / "node-a" / "monday").iterdir():
        (root / "node-a" / "copy" / file.name).write_bytes(file.read_bytes())

    assert 1 == len(joined(root, tmp_path / "out"))


def test_slices_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joined in many small slices, the table is the same as in one."""
    lost = leaving(20001)
    lost.syn(6)
    left, entered = both(20000, 5)
    results, place = analysed(fleet(tmp_path / "in", [left, lost], [entered]), tmp_path / "out")
    whole = joining.join(results, place)
    monkeypatch.setattr(joining, "SLICE", 2)

    assert 3 == len(whole)
    pd.testing.assert_frame_equal(whole, joining.join(results, place))


def test_no_room_to_sort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is told in one sentence."""
    left, entered = both(20000, 5)
    results, place = analysed(fleet(tmp_path / "in", [left], [entered]), tmp_path / "out")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(joining.pa.ipc, "new_stream", full)
    with pytest.raises(LostsynError, match=r"cannot be read, or not sorted into .*No space left.*set TMPDIR"):
        joining.join(results, place)


def test_nothing_to_join(tmp_path: Path) -> None:
    """One node alone has an empty table, with its columns."""
    record(tmp_path / "in" / "node-a" / "x", bystander(-5), bystander(5))
    table = joining.join(*analysed(tmp_path / "in", tmp_path / "out"))

    assert 0 == len(table)
    assert joining.SCHEMA.names == list(table.columns)


def flows(
    node: str, heading: str, ports: list[int], isn: int = 12345, host: str = "10.0.0.1"
) -> pd.DataFrame:
    """Flows at a node's uplink, nobody answered."""
    return pd.DataFrame(
        {"node": node, "bundle": f"{node}/x", "heading": heading, "orig_h": host, "orig_p": ports, "resp_h": "10.0.0.2",
         "resp_p": 80, "orig_isn": isn, "resp_isn": pd.array([None] * len(ports), "UInt32")}
    )  # fmt: skip


def matched(*rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What is joined, and what is not; as in one slice."""
    whole = pd.concat(rows, ignore_index=True)
    return joining.match(whole.assign(node=whole["node"].astype("category")))


def test_a_flood_of_one_isn_is_joined_by_its_tuples() -> None:
    """Thousands of SYNs with one sequence number are not compared each with each."""
    ports = list(range(1000))
    tracemalloc.start()
    pairs, rest = matched(flows("a", "out", ports), flows("b", "in", ports[1:]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert ports[1:] == pairs["orig_p_a"].tolist() == pairs["orig_p_b"].tolist()
    assert [(0, 999)] == list(zip(rest["orig_p"], rest["rivals"], strict=True))
    assert peak < 20 << 20


def test_a_flood_that_was_translated_is_not_joined() -> None:
    """Which of many flows with one sequence number is which, nothing tells; each has the others as rivals."""
    ports = list(range(joining.CROWD))
    pairs, rest = matched(flows("a", "out", ports), flows("b", "in", ports, host="198.51.100.7"))

    assert (0, [joining.CROWD] * joining.CROWD) == (len(pairs), rest["rivals"].tolist())


@given(
    st.lists(
        st.tuples(*map(st.sampled_from, ["abc", ["out", "in", "unknown"], [1, 2, 3, 4], [7, 8]])), min_size=1
    )
)
def test_rivals_are_counted_as_they_would_be_paired(told: list[tuple[str, str, int, int]]) -> None:
    """Of other nodes, with the same ISN, one of both with a known heading: whether they are a crowd or not."""
    _, rest = matched(*(flows(node, heading, [port], isn) for node, heading, port, isn in told))
    seen = {(node, port, isn): heading for node, heading, port, isn in reversed(told)}

    for row in rest.to_dict("records"):
        rivals = [
            heading
            for (node, _, isn), heading in seen.items()
            if node != row["node"] and isn == row["orig_isn"] and heading != "out"
        ]
        known = [heading for heading in rivals if row["heading"] == "out" or heading == "in"]
        assert len(known) == row["rivals"]
