"""Neighbours as net-tools list them."""

from __future__ import annotations

from analyzer.evidence.facts import Neighbour
from analyzer.evidence.sources import arp


def test_both_forms() -> None:
    """`arp -an` and `arp -n` tell the same, an incomplete entry without a MAC address."""
    forms = (
        "? (10.20.0.1) at <incomplete> on eth0\ngateway (10.20.0.2) at 02:42:AC:11:00:02 [ether] PERM on eth0\n",
        "Address                  HWtype  HWaddress           Flags Mask            Iface\n"
        "10.20.0.1                        (incomplete)                              eth0\n"
        "10.20.0.2                ether   02:42:ac:11:00:02   CM                    eth0\n",
    )
    for text in forms:
        assert arp.recognises(text)
        assert [
            Neighbour(address="10.20.0.1", dev="eth0", mac=None, state="INCOMPLETE", file="a"),
            Neighbour(address="10.20.0.2", dev="eth0", mac="02:42:ac:11:00:02", state="PERMANENT", file="a"),
        ] == list(arp.parse(text, "a"))


def test_other_text() -> None:
    """`ip neigh` is read elsewhere."""
    assert not arp.recognises("10.20.0.1 dev eth0 INCOMPLETE\n")
