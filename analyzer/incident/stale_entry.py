"""An entry of conntrack outlived the endpoint to which it leads.

What happens
    A service's endpoint is replaced and the rules lead to the new one, but the rules are asked for new connections only.
    A client that keeps its source port renews its entry with every request, so its packets go on to an address that is
    gone. Of UDP nobody tells the client; it lasts until the client pauses for longer than the entry's timeout.

How it is recognised
    The requests leave the node for an endpoint and are not answered any more, while several connections to the same
    service that began later get another endpoint, are answered, and none of them gets this one. Nothing was lost in
    this node, so it is no incident: a caveat names the connection.

What is ruled out
    A loss in the node (the requests are on the uplink); a service whose endpoints are all chosen still (a later connection
    would get this one, too).

Remedies and their risks
    `conntrack -D -p udp -r OLD-ENDPOINT` ends the entries, and with them whatever still works through that endpoint;
    kube-proxy does it by itself for UDP, so a stuck one needs a restart. Clients that take a new source port for each
    request are not affected.

References
    https://github.com/kubernetes/kubernetes/issues/125467; https://github.com/kubernetes/kubernetes/issues/48370; conntrack(8)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analyzer.flow.keys import address_key
from analyzer.nat.passages import ends, flow_name
from analyzer.nat.ways import OUT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from analyzer.capture.columns import Flows
    from analyzer.incident.scene import Scene
    from analyzer.nat.crossing import Gap

ENOUGH = 3
"""Requests without answer, and answered connections that got another endpoint since, before anything is said."""
SHOWN = 3
"""Connections that are named."""
_NEVER = np.iinfo(np.int64).min


def says(scene: Scene) -> list[str]:
    """One sentence per connection that a stale entry leads astray, and how many more there are."""
    found = [sentence for gap in scene.gaps for sentence in _stale(gap)]
    more = len(found) - SHOWN
    return found[:SHOWN] + ([f"stale entries lead {more} further connections astray"] if more > 0 else [])


def _stale(gap: Gap) -> Iterator[str]:
    inner, outer, m = gap.inner, gap.outer, gap.matches
    service, endpoint = _target(inner.flows, m.a), _target(outer.flows, m.b)
    chosen = np.flatnonzero((service != endpoint) & (gap.heading == OUT) & (m.flip == 0))
    if not len(chosen):
        return
    service, endpoint, flows = service[chosen], endpoint[chosen], m.a[chosen]
    order, time = inner.order, inner.packets.time
    begin, middle, end = (inner.starts[2 * flows + side] for side in (0, 1, 2))
    replied, asked = end > middle, middle > begin
    # Rows: the last reply, and the last request but `ENOUGH` - 1.
    last = np.where(replied, order[np.where(replied, end, 1) - 1], -1)
    enough = middle - begin >= ENOUGH
    enough &= order[np.where(enough, middle - ENOUGH, 0)] > last
    first = np.minimum(
        np.where(asked, order[np.where(asked, begin, 0)], len(time) - 1),
        np.where(replied, order[np.where(replied, middle, 0)], len(time) - 1),
    )
    begun, answered = time[first], np.where(last >= 0, time[last], _NEVER)
    for i in np.flatnonzero(enough):
        requests = inner.rows(int(flows[i]), 0)
        vain = requests[np.searchsorted(requests, last[i], "right") :]
        later = (service == service[i]) & (begun > time[vain[0]])
        same = endpoint == endpoint[i]
        others = np.flatnonzero(later & ~same & (answered != _NEVER))
        if (later & same).any() or len(others) < ENOUGH:
            continue
        old = ends(outer.flows, int(m.b[chosen[i]]))[1]
        new = ends(outer.flows, int(m.b[chosen[others[0]]]))[1]
        yield (
            f"{flow_name(inner.flows, int(flows[i]))}: its last {len(vain)} packets left for {old} and were not answered, "
            f"while newer connections to the same service get {new}, for one: a stale entry, it seems; no loss of this node "
            "(lostsyn explain stale-entry)"
        )


def _target(flows: Flows, chosen: NDArray[np.int32]) -> NDArray[np.uint64]:
    """One number per destination: address, port and protocol."""
    address = address_key(flows.dst_hi[chosen], flows.dst_lo[chosen])
    port = (flows.ports[chosen] & 0xFFFF).astype(np.uint64) << np.uint64(8)
    key: NDArray[np.uint64] = address ^ (port | flows.proto[chosen].astype(np.uint64)) * np.uint64(
        0x9E3779B97F4A7C15
    )
    return key
