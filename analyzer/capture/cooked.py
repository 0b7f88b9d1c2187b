"""The interfaces of a `tcpdump -i any` that names none: told by the link-layer addresses of the two sides of each flow.

SLL, which `-i any` wrote before tcpdump 4.99, has the sender's address, and whether the node sent the frame itself. So each
packet was seen either at the interface that faces its sender, where it came in, or at the one that faces its receiver, where it
went out: the scan makes two flows of it. What frames of a flow go out with is the interface's own address, what they come in with
that of a neighbour there. A bridge and its ports share all addresses and are one point.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from analyzer.capture.columns import Flows
from analyzer.capture.layout import SLL2_IFACE, SLL_IFACE
from analyzer.capture.link import Link
from analyzer.capture.naming import role_of

_MAC = re.compile(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")
NAMELESS = 0xF0000
"""Interface numbers from here on stand for those that nothing numbers."""
MOST = 64
"""Interfaces that are told apart; where there seem to be more, none is."""


def tell_apart(flows: Flows, interfaces: Mapping[int, Link]) -> bool:
    """Give the flows of such a file the number of their interface, in place; say whether there are several.

    Flows that a bridge's further port shows once more keep `SLL_IFACE`: they are to be left out.
    """
    mine = np.flatnonzero(flows.iface >= SLL_IFACE)
    if not len(mine):
        return False
    turned = _order(flows, mine)
    sent = (flows.iface[mine] - SLL_IFACE).astype(bool) ^ turned
    near, far = flows.mac_src[mine], flows.mac_dst[mine]
    own, other = np.where(sent, near, far), np.where(sent, far, near)
    group = _groups(own, other)
    known = {group[mac] for mac in np.unique(own).tolist() if mac}
    if len(known) < 2 or len(known) > MOST:
        flows.iface[mine] = 0
        return False
    of = np.array([group.get(mac, 0) for mac in np.where(own != 0, own, other).tolist()], np.uint64)
    lost = ~np.isin(of, list(known))
    of[lost] = _nearby(flows, mine, sent, of, lost)
    numbers = _numbers(own, of, known, interfaces)
    iface = np.array([SLL2_IFACE + numbers.get(one, NAMELESS) for one in of.tolist()], flows.iface.dtype)
    iface[_again(flows, mine, turned, iface)] = SLL_IFACE
    flows.iface[mine] = iface
    return True


def _order(flows: Flows, mine: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a flow's first sender is the greater one of its ends: what the scan told its two faces apart by."""
    greater = np.zeros(len(mine), bool)
    equal = np.ones(len(mine), bool)
    ports = flows.ports[mine]
    for one, two in (
        (flows.src_hi[mine], flows.dst_hi[mine]),
        (flows.src_lo[mine], flows.dst_lo[mine]),
        (ports >> 16, ports & 0xFFFF),
    ):
        greater |= equal & (one > two)
        equal &= one == two
    return greater


def _groups(own: NDArray[np.uint64], other: NDArray[np.uint64]) -> dict[int, int]:
    """Link-layer address to the first one of those that share an interface with it."""
    first: dict[int, int] = {}

    def root(mac: int) -> int:
        first.setdefault(mac, mac)
        while first[mac] != mac:
            mac = first[mac]
        return mac

    for one, two in np.unique(np.stack([own, other]), axis=1).T.tolist():
        if one and two:
            first[root(two)] = root(one)
        else:
            root(one or two)
    return {mac: root(mac) for mac in first if mac}


def _nearby(
    flows: Flows,
    mine: NDArray[np.int64],
    sent: NDArray[np.bool_],
    of: NDArray[np.uint64],
    lost: NDArray[np.bool_],
) -> NDArray[np.uint64]:
    """The group of neighbours in the same /24, or /64, for those to which nothing was ever sent."""
    v4 = flows.src_hi[mine] == 0
    src = np.where(v4, flows.src_lo[mine] >> np.uint64(8), flows.src_hi[mine])
    dst = np.where(v4, flows.dst_lo[mine] >> np.uint64(8), flows.dst_hi[mine])
    there = np.where(sent, dst, src)
    votes: dict[int, Counter[int]] = {}
    for net, group in zip(there[~lost].tolist(), of[~lost].tolist(), strict=True):
        votes.setdefault(net, Counter())[group] += 1
    none: Counter[int] = Counter({0: 1})
    return np.array([votes.get(net, none).most_common(1)[0][0] for net in there[lost].tolist()], np.uint64)


def _numbers(
    own: NDArray[np.uint64], of: NDArray[np.uint64], known: set[int], interfaces: Mapping[int, Link]
) -> dict[int, int]:
    """Group to the number of its interface: that of the address in the table, a bridge's before its ports'."""
    # A bridge has the lowest address of its ports, and is what the frames with it are told of.
    told = sorted(interfaces.values(), key=lambda link: role_of(link.name) == "bridge")
    links = {
        int(link.mac.replace(":", ""), 16): link for link in told if link.mac and _MAC.fullmatch(link.mac)
    }
    found: dict[int, int] = {}
    for place, group in enumerate(sorted(known), 1):
        macs = [mac for mac, _ in Counter(own[of == group].tolist()).most_common() if mac in links]
        named = sorted((links[mac] for mac in macs), key=lambda link: role_of(link.name) != "bridge")
        index = named[0].index if named else None
        found[group] = NAMELESS + place if index is None else index
    return found


def _again(
    flows: Flows, mine: NDArray[np.int64], turned: NDArray[np.bool_], iface: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Which flows have the same ends, at the same interface, as one that began before with the other face."""
    ports = flows.ports[mine]
    swapped = (ports << np.uint32(16)) | (ports >> np.uint32(16))
    columns = [
        flows.proto[mine],
        iface,
        np.where(turned, swapped, ports),
        *(
            np.where(turned, getattr(flows, f"{far}_{half}")[mine], getattr(flows, f"{near}_{half}")[mine])
            for near, far in (("src", "dst"), ("dst", "src"))
            for half in ("hi", "lo")
        ),
    ]
    order = np.lexsort((np.arange(len(mine)), *columns))
    new = np.ones(len(mine), bool)
    new[1:] = np.logical_or.reduce([column[order[1:]] != column[order[:-1]] for column in columns])
    head = order[np.maximum.accumulate(np.where(new, np.arange(len(mine)), 0))]
    face = flows.iface[mine]
    again = np.zeros(len(mine), bool)
    again[order] = face[order] != face[head]
    return again
