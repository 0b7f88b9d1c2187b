"""`ipvsadm -Lcn`."""

from __future__ import annotations

import pytest

from analyzer.evidence.facts import Caveat, IpvsConnection
from analyzer.evidence.sources import ipvs

HEAD = "IPVS connection entries\npro expire state       source             virtual            destination\n"
TCP = "TCP 01:57  TIME_WAIT   10.0.0.1:34567     10.96.0.1:443      192.0.2.5:6443\n"
UDP = "UDP 04:24  UDP         10.244.0.11:44117 10.96.0.10:53 10.244.0.2:53\n"
SIX = "TCP 14:59  ESTABLISHED [2001:db8::1]:34567 [fd00:10:96::1]:443 [2001:db8::5]:6443\n"


def test_connections() -> None:
    """Protocol, state, seconds left and endpoints are kept."""
    assert ipvs.recognises(HEAD + TCP)
    one, two, three = ipvs.parse(HEAD + TCP + UDP + SIX, "a")
    assert IpvsConnection(
        proto="tcp", expires=117, state="TIME_WAIT", client="10.0.0.1:34567", virtual="10.96.0.1:443",
        destination="192.0.2.5:6443", file="a",
    ) == one  # fmt: skip
    assert isinstance(two, IpvsConnection)
    assert ("udp", "UDP", 264) == (two.proto, two.state, two.expires)
    assert isinstance(three, IpvsConnection)
    assert "[fd00:10:96::1]:443" == three.virtual


def test_cut_and_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut line is a caveat, and so are connections beyond the limit."""
    one, caveat = ipvs.parse(HEAD + TCP + TCP[:40], "a")
    assert isinstance(one, IpvsConnection)
    assert isinstance(caveat, Caveat)
    monkeypatch.setattr(ipvs, "MOST", 2)
    assert (
        Caveat(says="a: 3 connections beyond the first 2 were left out")
        == list(ipvs.parse(HEAD + TCP * 5, "a"))[-1]
    )


def test_other_text() -> None:
    """The list of services is not taken for it."""
    assert not ipvs.recognises(
        "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n"
    )
