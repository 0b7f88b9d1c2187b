"""What `lostsyn capture` says of its own recording."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from analyzer.evidence.facts import Caveat, RecordingInterval
from analyzer.evidence.sources import manifest

HOW = {"interface": "eth0", "files": "eth0.pcap*", "start_ns": 5, "stop_ns": 9}


def read(file: str = "a/manifest.json", **told: Any) -> list[object]:
    """Parse a manifest of these keys."""
    text = json.dumps({"lostsyn_capture": 1, **told})
    assert manifest.recognises(text)
    return list(manifest.parse(text, file))


def test_a_real_one(sample: Callable[[str], str]) -> None:
    """The interval of each interface, with its files in the manifest's folder; an end as wished is no caveat."""
    text = sample("manifest.json")
    facts = list(manifest.parse(text, "x/manifest.json"))

    assert manifest.recognises(text)
    assert ["veth-a", "veth-b", "cni0", "eth0"] == [
        f.point for f in facts if isinstance(f, RecordingInterval)
    ]
    assert facts[0] == RecordingInterval(
        point="veth-a",
        files="x/veth-a.pcap*",
        start=1795990260916601652,
        stop=1795990261995506764,
        filter="",
        snaplen=256,
        direction="inout",
        dropped=0,
        file="x/manifest.json",
    )


def test_whose_captures_it_is_of() -> None:
    """Those of its folder and name, whatever letters the folder has; not those of a neighbour."""
    (interval,) = read("day[1]/manifest.json", recordings=[HOW])
    assert isinstance(interval, RecordingInterval)

    assert [True, True, False, False, False] == [
        interval.holds(label)
        for label in (
            "day[1]/eth0.pcap0",
            "day[1]/eth0.pcap12.gz",
            "day[1]/eth0.100.pcap0",
            "eth0.pcap0",
            "day1/eth0.pcap0",
        )
    ]


def test_what_is_not_known_stays_open() -> None:
    """A ring that began to overwrite, and a script that was killed, give no time."""
    (interval,) = read(recordings=[HOW | {"start_ns": None, "stop_ns": None}])
    assert isinstance(interval, RecordingInterval)

    assert (None, None) == (interval.start, interval.stop)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"ended": "recorder-ended"}, "a recording program ended by itself"),
        ({"ended": "killed"}, "its script was killed"),
        ({"clock_steps": [{"time_ns": 7, "seconds": -3}]}, "set by -3 s"),
        ({"recordings": [{"interface": "eth0"}]}, "not understood, and left out"),
        ({"recordings": [HOW | {"stop_ns": 4}]}, "not understood, and left out"),
    ],
)
def test_caveats(told: dict[str, Any], says: str) -> None:
    """An early end, a clock that was set and an entry that says nothing are told, and nothing else is."""
    (caveat,) = read(**told)

    assert isinstance(caveat, Caveat)
    assert says in caveat.says


@pytest.mark.parametrize("ended", ["event", "seconds", "interrupted", 3, None, ["x"]])
def test_an_end_as_wished_is_no_caveat(ended: object) -> None:
    """Nor is a word from a stranger."""
    assert [] == read(ended=ended)


@pytest.mark.parametrize(
    "text",
    [
        '{"lostsyn_capture": 1, "recordings": [',
        '{"lostsyn_capture":' + "[" * 100_000,
        '{"lostsyn_capture": 1, "recordings": [{"interface": "\x1b[2J", "files": 3}, 7, null], "clock_steps": {"a": 1}}',
        '{"lostsyn_capture": 1, "recordings": [{"interface": "a", "files": "b", "start_ns": 1e999, "stop_ns": true}]}',
    ],
)
def test_hostile_ones(text: str) -> None:
    """What is cut short or made up costs a caveat at most, and prints nothing strange."""
    for fact in manifest.parse(text, "a"):
        assert isinstance(fact, Caveat | RecordingInterval)
        assert isinstance(fact, RecordingInterval) or fact.says.isprintable()


@pytest.mark.parametrize("text", ["", "{}", '{"recordings": []}', "lostsyn_capture"])
def test_others_are_not_recognised(text: str) -> None:
    """Only the key makes it."""
    assert not manifest.recognises(text)
