"""What a fleet keeps of a bundle beside the tables that every analysis has."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from analyzer.fleet import dataset, joining
from analyzer.fleet.dataset import Result
from analyzer.fleet.places import Place
from analyzer.fleet.tables import MORE, MOST_SYNS
from tests.conftest import ROOT
from tests.conversation import START, TRANSIT, Conversation, bystander, record
from tests.fleet.nodes import analysed

Kept = tuple[list[Result], Place]


def test_every_column_is_documented() -> None:
    """docs/fleet.md tells what the columns mean that no other analysis has."""
    page = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")
    names = {field.name for fields in MORE.values() for field in fields} | set(joining.SCHEMA.names)

    assert set() == names - set(re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE))


def test_openings(tmp_path: Path) -> None:
    """Sequence numbers, times of SYNs and SYN-ACKs, and what the next point inwards saw; of TCP, where they were seen."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept(2)
    late = Conversation(pod="10.244.0.11:20001", server="192.0.2.100:80", nat="192.0.2.10:1025")
    late.data(5, 3)
    record(tmp_path / "in" / "n" / "x", talk, late, bystander(-1), bystander(5))
    results, place = analysed(tmp_path / "in", tmp_path / "out")
    table = dataset.read(
        "flows", results, place,
        ["role", "orig_p", "orig_isn", "resp_isn", "syns", "synacks", "inner_orig", "inner_resp"],
    ).to_pandas()  # fmt: skip
    outside = table[table["role"] == "uplink"].set_index("orig_p")
    bridge = table[table["role"] == "bridge"].set_index("orig_p")

    assert (1_000_000, 5_000_000) == (outside.loc[1024, "orig_isn"], outside.loc[1024, "resp_isn"])
    assert [START + 10**9 + 2 * TRANSIT] == outside.loc[1024, "syns"].astype("int64").tolist()
    assert [START + 2 * 10**9] == outside.loc[1024, "synacks"].astype("int64").tolist()
    assert ("10.244.0.11:20000", "192.0.2.100:80") == tuple(outside.loc[1024, ["inner_orig", "inner_resp"]])
    assert 2 == len(bridge.loc[20000, "syns"])
    assert pd.isna(outside.loc[1025, "orig_isn"])
    assert 0 == len(outside.loc[1025, "syns"])


def test_findings_name_pod_and_destination(kept: Kept) -> None:
    """Of a connection that leaves, the opener is the pod."""
    results, place = kept
    table = dataset.read("findings", results, place, ["bundle", "pod", "destination"]).to_pandas()

    assert [["node-a/monday", "10.244.1.5", "192.0.2.100:80/tcp"]] == table.values.tolist()


def test_the_pod_that_is_asked(tmp_path: Path) -> None:
    """Of a connection that enters and is lost behind the bridge, the pod is the one that it was for."""
    talks = [
        Conversation(
            pod=f"198.51.100.7:{port}", server="10.0.0.2:30080", dnat="10.244.2.7:8080", way="eth0 | cni0 veth-b", isn=port
        )
        for port in (4000, 4001, 4002)
    ]  # fmt: skip
    talks[0].syn(0).lost_after("cni0")
    talks[1].syn(1)
    talks[1].accept()
    talks[2].syn(-1)  # veth-b is recorded by then
    talks[2].accept()
    record(tmp_path / "in" / "n" / "x", *talks, bystander(-5), bystander(5))
    (result,), place = analysed(tmp_path / "in", tmp_path / "out")
    table = dataset.read("findings", [result], place, ["pod", "destination"]).to_pandas()

    assert [["10.244.2.7", "10.0.0.2:30080/tcp"]] == table.to_numpy().tolist()


def test_many_syns(tmp_path: Path) -> None:
    """Of a flow that repeats its SYN for ever, the first times are kept."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:1024")
    for second in range(MOST_SYNS + 4):
        talk.syn(second)
    record(tmp_path / "in" / "n" / "x", talk, bystander(-5), bystander(50))
    table = dataset.read("flows", *analysed(tmp_path / "in", tmp_path / "out"), ["role", "syns"]).to_pandas()
    longest = max(table["syns"], key=len)

    assert MOST_SYNS == len(longest)
    assert (np.diff(longest.astype("int64")) > 0).all()
