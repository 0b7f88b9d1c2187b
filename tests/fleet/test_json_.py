"""The fleet report for programs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from analyzer import __version__
from analyzer.fleet import json_, summary
from analyzer.fleet.summary import FleetReport
from tests.conftest import ROOT
from tests.fleet import sample


@pytest.mark.parametrize(
    "report", [sample.usual(), sample.large(), sample.nothing()], ids=["usual", "large", "nothing"]
)
def test_valid_and_bounded(report: FleetReport) -> None:
    """Strict JSON in ASCII with one set of keys, whatever is in it."""
    text = json_.render(report)
    told = json.loads(text)

    assert text.isascii()
    assert 1 == told["format_version"]
    assert {"name": "lostsyn", "version": __version__} == told["tool"]
    assert list(json.loads(json_.render(sample.usual()))) == list(told)
    assert max(len(value) for value in told.values() if isinstance(value, list)) <= summary.RANKED
    assert len(text) < 4_000_000


def test_rows() -> None:
    """Times are ISO 8601, causes are pairs, a node's losses are its own columns."""
    told = json_.to_dict(sample.usual())

    assert ["2000-01-01T00:00:00.000000000Z", "2000-01-02T00:00:00.000000000Z"] == told["period"]
    assert {"lost": 0, "causes": []} == {key: told["nodes"][0][key] for key in ("lost", "causes")}
    assert [{"cause": "snat-port-race", "lost": 5}, {"cause": "unknown", "lost": 1}] == told["nodes"][1][
        "causes"
    ]
    assert (680_000, None) == (told["between"][0]["round_trip_ns"], told["between"][0]["transit_ns"])
    assert [{"begin": "2000-01-01T00:01:40.000000000Z", "lost": 5}] == told["over_time"]["nodes"]["node-b"]
    assert 0 == told["hidden"]["nodes"]
    assert 1800 == json_.to_dict(sample.large())["hidden"]["nodes"]


def test_every_key_is_documented() -> None:
    """docs/fleet.md names each key."""
    spans = set(re.findall(r"`([a-z_]+)`", Path(ROOT / "docs/fleet.md").read_text(encoding="utf-8")))

    assert set() == set(keys(json_.to_dict(sample.usual()))) - spans - {"node-a", "node-b", "node-c"}


def keys(part: Any) -> list[str]:
    """Keys at any depth."""
    if isinstance(part, dict):
        return [*part, *(key for value in part.values() for key in keys(value))]
    return [key for value in part for key in keys(value)] if isinstance(part, list) else []
