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
    each = [_stale(gap) for gap in scene.gaps]
    found = [sentence for sentences, _ in each for sentence in sentences][:SHOWN]
    more = sum(count for _, count in each) - len(found)
    return found + ([f"stale entries lead {more} further connections astray"] if more > 0 else [])


def _stale(gap: Gap) -> tuple[list[str], int]:
    """The sentences on the gap's first connections, and how many connections there are."""
    inner, outer, m = gap.inner, gap.outer, gap.matches
    service, endpoint = _target(inner.flows, m.a), _target(outer.flows, m.b)
    chosen = np.flatnonzero((service != endpoint) & (gap.heading == OUT) & (m.flip == 0))
    if not len(chosen):
        return [], 0
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

    def vain(i: int) -> NDArray[np.int32]:
        requests = inner.rows(int(flows[i]), 0)
        return requests[np.searchsorted(requests, last[i], "right") :]

    unanswered = np.flatnonzero(enough)
    if not len(unanswered):
        return [], 0
    since = np.array([time[vain(i)[0]] for i in unanswered.tolist()], np.int64)
    stale, others = astray(service, endpoint, time[first], last >= 0, unanswered, since)
    sentences = []
    for i, other in zip(stale[:SHOWN].tolist(), others, strict=False):
        old, new = (ends(outer.flows, int(m.b[chosen[j]]))[1] for j in (i, other[0]))
        sentences.append(
            f"{flow_name(inner.flows, int(flows[i]))}: its last {len(vain(i))} packets left for {old} and were not answered, "
            f"while newer connections to the same service get {new}, for one: a stale entry, it seems; no loss of this node "
            "(lostsyn explain stale-entry)"
        )
    return sentences, len(stale)


def astray(
    service: NDArray[np.uint64],
    endpoint: NDArray[np.uint64],
    begun: NDArray[np.int64],
    answered: NDArray[np.bool_],
    some: NDArray[np.int64],
    since: NDArray[np.int64],
) -> tuple[NDArray[np.int64], Iterator[NDArray[np.int64]]]:
    """Which of *some* connections are alone with their endpoint; the others of their service say so.

    Args:
        service: Of each connection.
        endpoint: Of each connection.
        begun: When each began.
        answered: Whether each ever was.
        some: Indices of connections that are not answered any more.
        since: Since when those are not.

    Returns: Those of *some* with at least `ENOUGH` answered connections to their service that began later, and none, be
    it answered or not, that got their endpoint; and of each, those others, ascending.
    """
    n = len(service)
    group = np.unique(service, return_inverse=True)[1]
    latest = np.full(n, _NEVER)
    pairs = np.unique(group * n + np.unique(endpoint, return_inverse=True)[1], return_inverse=True)[1]
    np.maximum.at(latest, pairs, begun)
    # One ascending number per answered connection: its service, then how many of all had begun by then.
    moments = np.sort(begun)
    keys = group * (n + 1) + np.searchsorted(moments, begun, "right")
    order = np.flatnonzero(answered)
    order = order[np.argsort(keys[order], kind="stable")]
    asked = group[some] * (n + 1)
    begin = np.searchsorted(keys[order], asked + np.searchsorted(moments, since, "right"), "right")
    end = np.searchsorted(keys[order], asked + n, "right")
    lone = (latest[pairs[some]] <= since) & (end - begin >= ENOUGH)
    return some[lone], (np.sort(order[i:j]) for i, j in zip(begin[lone], end[lone], strict=True))


def _target(flows: Flows, chosen: NDArray[np.int32]) -> NDArray[np.uint64]:
    """One number per destination: address, port and protocol."""
    address = address_key(flows.dst_hi[chosen], flows.dst_lo[chosen])
    port = (flows.ports[chosen] & 0xFFFF).astype(np.uint64) << np.uint64(8)
    key: NDArray[np.uint64] = address ^ (port | flows.proto[chosen].astype(np.uint64)) * np.uint64(
        0x9E3779B97F4A7C15
    )
    return key
