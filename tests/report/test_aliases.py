"""Aliases keep prefixes, are never shared, and depend on the key."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from analyzer.report.aliases import Aliases

ALIASES = Aliases(b"a key of the tests")
V4 = st.integers(0, 2**32 - 1) | st.sampled_from(
    [
        int(ip_address(text))
        for text in ("10.0.0.1", "10.255.255.255", "9.255.255.255", "192.168.0.1", "127.0.0.1")
    ]
)
V6 = (
    st.integers(0, 2**128 - 1)
    | st.integers(0, 2**32 - 1).map(lambda low: 0xFFFF << 32 | low)
    | st.integers(0, 2**24 - 1).map(lambda low: int(ip_address("ff02::1:ff00:0")) | low)
    | st.integers(0, 2**16).map(lambda low: int(ip_address("2001:db8::")) | low)
)
MAC = st.integers(0, 2**48 - 1) | st.integers(0, 2**24 - 1).map(lambda low: 0x3333FF << 24 | low)


def _shared(one: int, other: int) -> int:
    """How many of the bits that are looked at differ: the position of the first that does, from the right."""
    return (one ^ other).bit_length()


@given(st.data(), st.sampled_from([("v4", V4, 32), ("v6", V6, 128), ("mac", MAC, 48)]))
def test_prefixes_are_kept(data: st.DataObject, kind: tuple[str, st.SearchStrategy[int], int]) -> None:
    """What two addresses share, their aliases share, to the bit; so two addresses of a kind never have one alias."""
    name, addresses, width = kind
    one = data.draw(addresses)
    other = data.draw(addresses | st.integers(0, width - 1).map(lambda bit: one ^ 1 << bit))
    assume(name != "mac" or one >> 40 & 1 == other >> 40 & 1)  # a station and a group share no prefix
    alias = getattr(ALIASES, name)

    assert _shared(one, other) == _shared(alias(one), alias(other))
    assert 0 <= alias(one) < 1 << width


@given(V4, V6, MAC)
def test_one_key_one_alias(v4: int, v6: int, mac: int) -> None:
    """The same key gives the same aliases in any order and any process."""
    again = Aliases(b"a key of the tests")

    assert (ALIASES.mac(mac), ALIASES.v6(v6), ALIASES.v4(v4)) == (again.mac(mac), again.v6(v6), again.v4(v4))


@given(st.integers(0x0A000000, 0x0AFFFFFF), st.integers(0, 2**32))
def test_another_key_other_aliases(address: int, salt: int) -> None:
    """Of two keys, few bits agree by more than chance: some address of a network is told apart."""
    other = Aliases(b"another" + salt.to_bytes(5, "big"))
    network = [address ^ low for low in range(64)]

    assert [ALIASES.v4(one) for one in network] != [other.v4(one) for one in network]


def test_a_known_answer() -> None:
    """Aliases stay the same from version to version, so that a key keeps its worth."""
    aliases = Aliases(bytes(32))

    assert KNOWN == {
        "10.244.0.11": str(ip_address(aliases.v4(int(ip_address("10.244.0.11"))))),
        "2001:db8::1": str(ip_address(aliases.v6(int(ip_address("2001:db8::1"))))),
        "02:42:ac:11:00:02": aliases.mac(0x0242AC110002).to_bytes(6, "big").hex(":"),
    }


KNOWN = {
    "10.244.0.11": "10.1.174.114",
    "2001:db8::1": "35a4:6297:bee6:7017:9d35:19e4:3271:bb94",
    "02:42:ac:11:00:02": "02:2e:1b:e6:83:8f",
}


@given(st.sampled_from(["10.0.0.0", "192.168.0.0", "172.16.0.0", "169.254.0.0", "100.64.0.0"]), V4)
def test_private_stays_private(network: str, any_address: int) -> None:
    """Private, shared and link-local addresses stay in their network, and no other address gets there."""
    length = {"10": 8, "192": 16, "172": 12, "169": 16, "100": 10}[network.partition(".")[0]]
    prefix = int(ip_address(network)) >> (32 - length)
    inside = prefix << (32 - length) | any_address & (1 << 32 - length) - 1

    assert prefix == ALIASES.v4(inside) >> (32 - length)
    assert (any_address >> (32 - length) == prefix) == (ALIASES.v4(any_address) >> (32 - length) == prefix)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - no socket is bound here
        "127.0.0.53",
        "224.0.0.251",
        "255.255.255.255",
        "255.255.0.0",
        "::",
        "::1",
        "ff02::1",
        "ff02::fb",
    ],
)
def test_what_names_nobody_is_kept(address: str) -> None:
    """Unspecified, loopback, multicast and broadcast addresses, and netmasks, are as they were."""
    parsed = ip_address(address)
    alias = ALIASES.v4 if parsed.version == 4 else ALIASES.v6

    assert int(parsed) == alias(int(parsed))


@pytest.mark.parametrize("prefix", ["fe80::", "fd12::", "fc12::", "2001::", "ff02::1:ff00:0"])
def test_what_ipv6_addresses_are_for_stays(prefix: str) -> None:
    """Link-local, unique local, global and solicited-node addresses stay such, yet are no longer the same."""
    first = {"fe80::": 64, "fd12::": 8, "fc12::": 8, "2001::": 3, "ff02::1:ff00:0": 104}[prefix]
    address = int(ip_address(prefix)) | 0xABCDEF
    alias = ALIASES.v6(address)

    assert alias >> (128 - first) == address >> (128 - first)
    assert alias != address


@given(st.integers(0, 2**32 - 1))
def test_an_ipv4_address_within_ipv6(address: int) -> None:
    """A mapped or translated IPv4 address has the alias that it has alone."""
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        start = int(ip_address(prefix))

        assert start | ALIASES.v4(address) == ALIASES.v6(start | address)


@given(MAC)
def test_what_kind_of_mac_it_is_stays(address: int) -> None:
    """Group and locally administered addresses stay such."""
    assert address >> 40 & 3 == ALIASES.mac(address) >> 40 & 3


def test_group_macs_follow_the_addresses_that_they_stand_for() -> None:
    """Broadcast, zero and multicast are kept; a solicited node's has the bits of its address's alias."""
    kept = (0xFFFFFFFFFFFF, 0, 0x01005E0000FB, 0x333300000001)
    node = ALIASES.v6(int(ip_address("ff02::1:ff12:3456"))) & 0xFFFFFF

    assert kept == tuple(map(ALIASES.mac, kept))
    assert 0x3333FF << 24 | node == ALIASES.mac(0x3333FF123456)
    assert 0x123456 != node
