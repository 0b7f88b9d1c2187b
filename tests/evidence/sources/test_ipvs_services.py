"""Virtual services."""

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


def test_both_forms() -> None:
    """Services are those of the list and of the counters."""
    assert [("tcp", "10.96.44.5:80"), ("udp", "10.96.0.10:53")] == [
        (service.proto, service.address) for service in services(LISTED)
    ]
    assert [("tcp", "10.96.44.5:80")] == [(service.proto, service.address) for service in services(STATS)]


def test_other_text() -> None:
    """Connections are read elsewhere."""
    assert not ipvs_services.recognises(
        "IPVS connection entries\npro expire state source virtual destination\n"
    )
