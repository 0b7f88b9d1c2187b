"""`ip -j link` and `ip -j addr`."""

from __future__ import annotations

import json

import pytest

from analyzer.capture.link import Link
from analyzer.evidence.facts import Caveat
from analyzer.evidence.sources import ip_link

TABLE = [
    {"ifindex": 1, "ifname": "lo", "address": "00:00:00:00:00:00", "addr_info": [{"local": "127.0.0.1"}]},
    {"ifindex": 7, "link_index": 2, "ifname": "veth1a2b", "master": "cni0", "address": "9E:EB:63:6A:E6:94"},
    {"ifindex": 8, "ifname": "tunl0", "address": "192.0.2.10"},
]


@pytest.mark.parametrize(
    "text", [json.dumps(TABLE), json.dumps(TABLE, indent=4), "$ ip -j link\n" + json.dumps(TABLE)]
)
def test_table(text: str) -> None:
    """Index, name, MAC and addresses are read, on one line or on many."""
    assert ip_link.recognises(text)
    assert [
        Link(index=1, name="lo", mac="00:00:00:00:00:00", addresses=("127.0.0.1",), file="a"),
        Link(
            index=7,
            name="veth1a2b",
            mac="9e:eb:63:6a:e6:94",
            addresses=(),
            file="a",
            master="cni0",
            parent="if2",
        ),
        Link(index=8, name="tunl0", mac=None, addresses=(), file="a"),
    ] == list(ip_link.parse(text, "a"))


def test_values_of_wrong_kinds() -> None:
    """What is no address is none; an interface without a name is a caveat."""
    odd = [
        {
            "ifindex": 3,
            "ifname": "eth0\x1b",
            "address": 5,
            "addr_info": [{"local": "x"}, {"local": "fe80::1%3"}, 7, {}],
        },
        {"ifindex": 4, "ifname": "eth1", "address": "zz:00:00:00:00:00", "addr_info": "none"},
        {"ifindex": "5", "ifname": "eth2"},
        {"ifindex": True, "ifname": "eth3"},
        {"ifindex": 6},
        "text",
    ]
    first, second, *others = ip_link.parse(json.dumps(odd), "a")
    assert Link(index=3, name="eth0?", mac=None, addresses=(), file="a") == first
    assert Link(index=4, name="eth1", mac=None, addresses=(), file="a") == second
    assert [Caveat] * 3 == list(map(type, others))


@pytest.mark.parametrize("text", [json.dumps(TABLE)[:-5], '[{"a":' * 100_000, '[{"a":' + "1" * 5000 + "}]"])
def test_damaged(text: str) -> None:
    """Text that is not JSON, nests too deep or has absurd numbers is a caveat."""
    (caveat,) = ip_link.parse(text, "a")
    assert isinstance(caveat, Caveat)
    assert caveat.says.startswith("a: not understood as JSON")


def test_other_tables() -> None:
    """Routes and neighbours are not taken for it."""
    assert not ip_link.recognises('[{"dst":"default","gateway":"192.0.2.1","dev":"eth0"}]')
    assert not ip_link.recognises('"ifindex": 3, "ifname": "eth0"')
