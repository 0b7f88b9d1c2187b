"""`ip link` and `ip addr` as text."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.capture.link import Link
from analyzer.evidence.counting import Counters
from analyzer.evidence.facts import Caveat, Fact
from analyzer.evidence.sources import ip_link, ip_link_text


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


def test_same_as_json(sample: Callable[[str], str]) -> None:
    """State, size, kind, what an interface belongs to and its counters are told alike, as text and as JSON."""
    told = list(ip_link.parse(sample("ip-j-d-s-link.json"), "a"))
    text = [
        *ip_link_text.parse(sample("ip-d-link.txt"), "a"),
        *ip_link_text.parse(sample("ip-s-s-link.txt"), "a"),
    ]

    def known(facts: list[Fact]) -> dict[str, tuple[object, ...]]:
        return {
            f.name: (f.index, f.mtu, f.flags, f.state, f.kind, f.master, f.settings.get("port"), f.settings.get("id"))
            for f in facts if isinstance(f, Link) and (f.kind or f.name == "lo")
        }  # fmt: skip

    assert known(told) == known(text)
    assert (1450, "vxlan", "8472", "42") == tuple(known(text)["vx1"][n] for n in (1, 4, 6, 7))
    assert ("br0", True) == next((f.master, f.up) for f in text if isinstance(f, Link) and f.name == "v0")
    names = [{f.of: f.values for f in facts if isinstance(f, Counters)} for facts in (told, text)]
    for name, values in names[0].items():
        assert values.keys() <= names[1][name].keys()
    assert 1 == names[1]["br0"]["tx_dropped"]


def test_brief(sample: Callable[[str], str]) -> None:
    """`-br` has no indexes; names, states and addresses it has."""
    link, address = (
        {f.name: f for f in ip_link_text.parse(sample(name), "a") if isinstance(f, Link)}
        for name in ("ip-br-link.txt", "ip-br-a.txt")
    )
    assert {"lo", "v0", "br0", "vx1"} == link.keys() == address.keys()
    assert (None, "UP", "if2", True) == (link["v0"].index, link["v0"].state, link["v0"].parent, link["v0"].up)
    assert ("10.9.0.1", "2001:db8::1") == address["br0"].addresses[:2]
    assert link["br0"].mac is not None


def test_no_index_that_there_is() -> None:
    """An interface's index is a C int."""
    facts = list(ip_link_text.parse("2147483648: eth0: <UP> mtu 1500\n0: eth1: <UP> mtu 1500\n", "a"))
    assert [
        Caveat(says="a: 2 interfaces were left out: beyond the first 20000, or without an index")
    ] == facts
