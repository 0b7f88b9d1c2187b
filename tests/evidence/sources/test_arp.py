"""Neighbours as net-tools list them."""

from __future__ import annotations

from analyzer.evidence.facts import Caveat, Neighbour
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


def test_proc() -> None:
    """`/proc/net/arp`: what has no address yet has none, whatever the column says; a name instead of an address is told."""
    text = (
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        "10.244.1.9       0x1         0x0         00:00:00:00:00:00     *        cni0\n"
        "192.0.2.5        0x1         0x6         52:54:00:12:34:56     *        eth0\n"
        "node-b.example   ether   52:54:00:12:34:56   C                     eth0\n"
    )
    assert arp.recognises(text)
    one, other, caveat = arp.parse(text, "a")
    assert isinstance(one, Neighbour)
    assert isinstance(other, Neighbour)
    assert [(None, "INCOMPLETE"), ("52:54:00:12:34:56", "PERMANENT")] == [
        (n.mac, n.state) for n in (one, other)
    ]
    assert isinstance(caveat, Caveat)
