"""Aliases of addresses: keyed, one for each address, and prefix-preserving.

Two addresses that share their first k bits, and no more, have aliases that share their first k bits, and no more:
networks stay networks. The construction is that of Crypto-PAn (Xu, Fan, Ammar, Moon: Prefix-preserving IP address
anonymization, 2002): bit i is flipped or not by a pseudo-random function of the bits before it, here HMAC-SHA256.

What a reader has to recognise is kept: private, link-local, loopback and multicast addresses stay such, since no bit
on the way to these networks is ever flipped. Below a private network everything is aliased; loopback, multicast and
reserved addresses, which name nobody, are left as they are.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

_KEPT_4 = (
    "0.0.0.0/32 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16 224.0.0.0/3"
)
_KEPT_6 = "::/128 ::1/128 ::ffff:0:0/96 64:ff9b::/96 fc00::/8 fd00::/8 fe80::/64 ff00::/8"
_MAPPED, _NAT64 = 0xFFFF, 0x64FF9B << 64
"""The first 96 bits of addresses that end in an IPv4 address: RFC 4291 section 2.5.5.2, RFC 6052 section 2.1."""
_SOLICITED = 0xFF02_0000_0000_0000_0000_0001_FF
"""The first 104 bits of a solicited-node multicast address, which ends as a unicast address does (RFC 4291 section 2.7.1)."""


class Aliases:
    """The aliases that one key gives; addresses are integers, as `int.from_bytes` reads them from a packet."""

    def __init__(self, key: bytes) -> None:
        """Take a key of any length; without it nobody can tell an alias's address."""
        self._v4 = _Tree(
            key, b"4", 32, [(int(n.network_address), n.prefixlen) for n in map(IPv4Network, _KEPT_4.split())]
        )
        self._v6 = _Tree(
            key, b"6", 128, [(int(n.network_address), n.prefixlen) for n in map(IPv6Network, _KEPT_6.split())]
        )
        # The two lowest bits of the first byte say group and locally administered.
        self._mac = _Tree(key, b"m", 48, [(0, 48)], still=(6, 7))

    def v4(self, address: int) -> int:
        """Give the alias of an IPv4 address."""
        # Loopback; multicast, reserved and netmasks.
        return address if address >> 24 == 127 or address >> 29 == 7 else self._v4.alias(address)

    def v6(self, address: int) -> int:
        """Give the alias of an IPv6 address; that of an IPv4 address within is the one it has alone."""
        if address >> 32 in (_MAPPED, _NAT64):
            return address >> 32 << 32 | self.v4(address & 0xFFFFFFFF)
        if address >> 24 == _SOLICITED:
            return self._v6.alias(address, first=104)
        return address if address >> 120 == 0xFF else self._v6.alias(address)

    def mac(self, address: int) -> int:
        """Give the alias of a link-layer address; group addresses are kept, as the IP addresses are that they stand for.

        Prefixes are those among stations, or among groups: a station's aliased vendor may lie beside a kept group.
        """
        if address >> 24 == 0x3333FF:  # RFC 2464 section 7: the last 32 bits of a solicited-node address
            return address >> 24 << 24 | self.v6(_SOLICITED << 24 | address & 0xFFFFFF) & 0xFFFFFF
        return address if address >> 40 & 1 else self._mac.alias(address)


class _Tree:
    """One kind of address: whether a bit is flipped depends on the bits before it alone."""

    def __init__(
        self,
        key: bytes,
        kind: bytes,
        width: int,
        kept: Iterable[tuple[int, int]],
        still: tuple[int, ...] = (),
    ) -> None:
        self._key = key
        self._kind = kind
        self._width = width
        self._kept = {(i, network >> (width - i)) for network, length in kept for i in range(length)}
        self._still = still
        self._known: dict[int, int] = {}

    def alias(self, address: int, first: int = 0) -> int:
        """Flip the bits of *address*, from bit *first* on."""
        known = self._known.get(address)
        if known is None:
            known = address
            for i in range(first, self._width):
                if self._flips(i, address >> (self._width - i)):
                    known ^= 1 << (self._width - 1 - i)
            self._known[address] = known
        return known

    def _flips(self, length: int, prefix: int) -> bool:
        if length in self._still or (length, prefix) in self._kept:
            return False
        message = self._kind + bytes([length]) + prefix.to_bytes(16, "big")
        return bool(hmac.digest(self._key, message, "sha256")[0] & 1)
