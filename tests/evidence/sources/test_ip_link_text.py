"""`ip link` and `ip addr` as text."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.facts import Link
from analyzer.evidence.sources import ip_link_text


def links(text: str) -> list[Link]:
    """Parse a text that is recognised."""
    assert ip_link_text.recognises(text)
    return [fact for fact in ip_link_text.parse(text, "a") if isinstance(fact, Link)]


def test_recorded(sample: Callable[[str], str]) -> None:
    """Index, name without its peer, MAC and addresses."""
    found = {link.name: link for link in links(sample("ip-address.txt"))}
    assert ["lo", "eth0", "cni0", "vp"] == list(found)
    eth0 = found["eth0"]
    assert (2, "86:a2:c1:29:38:d6") == (eth0.index, eth0.mac)
    assert ("192.0.2.10", "2001:db8::10", "fe80::84a2:c1ff:fe29:38d6") == eth0.addresses
    assert found["lo"].mac is None


def test_one_line_each(sample: Callable[[str], str]) -> None:
    """`ip -o addr` has an address per line, and no MAC."""
    assert [("lo", 2), ("eth0", 3), ("cni0", 3), ("vp", 1)] == [
        (link.name, len(link.addresses)) for link in links(sample("ip-address-o.txt"))
    ]


def test_cut_and_other_text(sample: Callable[[str], str]) -> None:
    """Text cut anywhere gives what it still tells; lists with numbers are not taken."""
    text = sample("ip-address.txt")
    for cut in range(60, len(text), 37):
        links(text[:cut])
    for other in ("1: do this\n2: do that\n", "0:\tfrom all lookup local\n"):
        assert not ip_link_text.recognises(other)
