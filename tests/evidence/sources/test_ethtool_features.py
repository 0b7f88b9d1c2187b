"""Offloads of interfaces."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.facts import Features
from analyzer.evidence.sources import ethtool_features


def features(text: str) -> list[Features]:
    """Parse a text that is recognised."""
    assert ethtool_features.recognises(text)
    return [fact for fact in ethtool_features.parse(text, "a") if isinstance(fact, Features)]


def test_same_in_both_formats(sample: Callable[[str], str]) -> None:
    """Text and JSON of one command tell the same of the interface."""
    (text,), (told,) = features(sample("ethtool-k.txt")), features(sample("ethtool-k.json"))
    assert text.dev == told.dev == "v0"
    assert {name: told.on[name] for name in text.on} == text.on
    assert (True, True) == (text.on["tx-checksumming"], "tx-checksum-ipv4" in text.fixed)


def test_several_and_cut() -> None:
    """Each head begins another interface; a listing without one has no name."""
    text = "rx-checksumming: on\nFeatures for eth0:\nrx-checksumming: off\nFeatures for eth1:\ntx-checksumming: on [fixed]\n"
    assert [("", True), ("eth0", False), ("eth1", True)] == [
        (one.dev, next(iter(one.on.values()))) for one in features(text)
    ]


def test_other_text() -> None:
    """Words that are on or off are not enough."""
    assert not ethtool_features.recognises("power: on\nlight: off\n")
