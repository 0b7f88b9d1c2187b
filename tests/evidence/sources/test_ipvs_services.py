"""Virtual services and their servers."""

from __future__ import annotations

from analyzer.evidence.facts import IpvsService
from analyzer.evidence.sources import ipvs_services

LISTED = """IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.96.44.5:80 rr
  -> 10.32.9.14:8080              Masq    1      0          12
  -> 10.32.9.15:8080              Masq    0      0          0
UDP  10.96.0.10:53 rr persistent 10800
"""
STATS = """IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes
  -> RemoteAddress:Port
TCP  10.96.44.5:80                     120     1200       3M       4K        5
  -> 10.32.9.14:8080                    20      200      100        1        2
"""


def services(text: str) -> list[IpvsService]:
    """Parse a text that is recognised."""
    assert ipvs_services.recognises(text)
    return [fact for fact in ipvs_services.parse(text, "a") if isinstance(fact, IpvsService)]


def test_list() -> None:
    """Services with their servers, weights and connections."""
    web, dns = services(LISTED)
    assert ("tcp", "10.96.44.5:80", "rr") == (web.proto, web.address, web.scheduler)
    assert [("10.32.9.14:8080", "Masq", 1, 0, 12), ("10.32.9.15:8080", "Masq", 0, 0, 0)] == [
        (one.address, one.forward, one.weight, one.active, one.inactive) for one in web.destinations
    ]
    assert ("10.96.0.10:53", ()) == (dns.address, dns.destinations)


def test_stats() -> None:
    """Counters, where they are rounded with their order of magnitude."""
    (web,) = services(STATS)
    assert {
        "Conns": 120,
        "InPkts": 1200,
        "OutPkts": 3_000_000,
        "InBytes": 4000,
        "OutBytes": 5,
    } == web.counters
    assert ({"Conns": 20, "InPkts": 200, "OutPkts": 100, "InBytes": 1, "OutBytes": 2}, None) == (
        web.destinations[0].counters, web.destinations[0].weight,
    )  # fmt: skip


def test_other_text() -> None:
    """Connections are read elsewhere."""
    assert not ipvs_services.recognises(
        "IPVS connection entries\npro expire state source virtual destination\n"
    )
