"""What must be found in a run by what its `truth.json` says: one function per scenario."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Truth = dict[str, Any]
Expected = tuple[dict[str, int], dict[tuple[str, str], int]]
"""Counts, and findings by kind and cause."""
NOTHING = {"syn_vanished": 0, "udp_vanished": 0}


def _connects(truth: Truth) -> list[dict[str, Any]]:
    return _all(truth["traffic"]["connects"])


def _asks(truth: Truth) -> list[dict[str, Any]]:
    return _all(truth["traffic"]["asks"])


def _all(told: dict[str, list[Any]] | list[Any]) -> list[Any]:
    """By pod or by way, or where there is but one, a list."""
    return told if isinstance(told, list) else [one for some in told.values() for one in some]


def _late(truth: Truth) -> int:
    """How many connects were not answered at the first attempt."""
    return sum(one["delay"] is None or one["delay"] > 0.5 for one in _connects(truth))


def _race(truth: Truth) -> Expected:
    """Every lost SYN is a failed insertion, and nobody loses twice."""
    lost = truth["counters"]["insert_failed"]
    assert lost == truth["counters"]["drop"] == _late(truth)
    return {"syn_vanished": lost}, {("syn-vanished", "snat-port-race"): lost}


def _exhaustion(truth: Truth) -> Expected:
    lost = truth["counters"]["insert_failed"]
    assert lost == truth["counters"]["drop"] == truth["traffic"]["syns"] - len(_connects(truth))
    return {"syn_vanished": lost}, {("syn-vanished", "snat-port-exhaustion"): _late(truth)}


def _full(truth: Truth) -> Expected:
    """`drop` counts SYNs and requests together; the programs know of the requests."""
    asks, drop = _asks(truth), truth["counters"]["drop"]
    udp = sum(ask["sent"] for ask in asks) - sum(ask["delay"] is not None for ask in asks)
    counts = {
        "syn_attempts": truth["traffic"]["syns"],
        "syn_vanished": drop - udp,
        "udp_requests": truth["traffic"]["requests"],
        "udp_vanished": udp,
    }
    again = sum(ask["sent"] > 1 for ask in asks)
    cause = "conntrack-table-full"
    return counts, {("syn-vanished", cause): _late(truth), ("udp-vanished", cause): again}


def _policy(truth: Truth) -> Expected:
    counts = {"syn_attempts": truth["traffic"]["syns"], "syn_vanished": truth["traffic"]["dropped"]}
    return counts, {("syn-vanished", "policy-drop"): _late(truth)}


def _routing(cause: str) -> Callable[[Truth], Expected]:
    """Every SYN of the failing side is counted by the kernel."""

    def following(truth: Truth) -> Expected:
        assert truth["traffic"]["syns"] == truth["traffic"]["dropped"]
        return {"syn_vanished": truth["traffic"]["dropped"]}, {("syn-vanished", cause): _late(truth)}

    return following


def _next_hop(truth: Truth) -> Expected:
    counts = {"syn_vanished": sum(truth["traffic"]["syns"].values())}
    return counts, {("syn-vanished", "next-hop-unresolved"): _late(truth)}


def _invalid(truth: Truth) -> dict[str, int]:
    return {"syn_vanished": 0, "invalid_packets": len(truth["invalid"])}


def _over(truth: Truth) -> Expected:
    counts = _invalid(truth) | {"host_resets": len(truth["traffic"]["injected"])}
    return counts, {("invalid-reset", "ack-over-upper-bound"): 1}


def _dropped(truth: Truth) -> Expected:
    assert truth["traffic"]["dropped"] == len(truth["traffic"]["injected"])
    return _invalid(truth) | {"host_resets": 0}, {("invalid-dropped", "ack-over-upper-bound"): 1}


def _late_ack(truth: Truth) -> Expected:
    """Kernels before 6.1 call it INVALID."""
    rejected = len(truth["invalid"])
    counts = _invalid(truth) | {"connections": 1, "host_resets": rejected}
    return counts, {("invalid-reset", "ack-under-lower-bound"): 1} if rejected else {}


def _liberal(truth: Truth) -> Expected:
    return _invalid(truth) | {"connections": 1, "host_resets": 0}, {}


def _leak(truth: Truth) -> Expected:
    told = truth["traffic"]
    counts = _invalid(truth) | {"connections": len(told["leaking"] + told["resumed"])}
    return counts, {("unnatted-leak", "unknown"): len(told["leaking"])}


def _expired(truth: Truth) -> Expected:
    told = truth["traffic"]
    counts = {"syn_vanished": 0, "host_resets": 0}
    return counts, {("misdelivered", "entry-expired"): len(told["broken"])}


def _uplink_changed(truth: Truth) -> Expected:
    told = truth["traffic"]
    counts = NOTHING | {"connections": len(told["broken"] + told["whole"])}
    return counts, {("misdelivered", "uplink-changed"): len(told["broken"])}


def _clean(truth: Truth) -> Expected:
    done = truth["traffic"]["done"]
    tcp = done["outside"] + done["bridged"] + done["node"] + done["refused"]
    return NOTHING | {"connections": tcp, "syn_attempts": tcp}, {}


def _remote(truth: Truth) -> Expected:
    return {"syn_vanished": 0, "syn_unanswered": truth["traffic"]["dropped"]}, {}


def _dns(truth: Truth) -> Expected:
    assert truth["traffic"]["unanswered"] == 0
    return NOTHING | {"udp_requests": truth["traffic"]["questions"]}, {}


def _stale(truth: Truth) -> Expected:
    told = truth["traffic"]
    counts = {"udp_requests": told["answered"] + told["unanswered"] + told["fresh"]}
    return NOTHING | counts, {("misdelivered", "stale-entry"): 1}


def _stale_neighbour(truth: Truth) -> Expected:
    told = truth["traffic"]
    counts = NOTHING | {"connections": len(told["connects"]["a"] + told["connects"]["b"])}
    return counts, {("misdelivered", "stale-neighbour"): len(told["ignored"])}


def _second_way(truth: Truth) -> Expected:
    syns, _ = truth["traffic"]["arrived"]
    answered = [connect for connect in _connects(truth) if connect["delay"] is not None]
    requests = sum(ask["sent"] for ask in _asks(truth))
    return NOTHING | {"syn_attempts": len(answered) + syns, "udp_requests": requests}, {}


def _all_answered(truth: Truth) -> Expected:
    """Each connect and each question at the first attempt."""
    connects, asks = _connects(truth), _asks(truth)
    assert _late(truth) == 0
    assert {(1, True)} == {(ask["sent"], ask["delay"] is not None) for ask in asks}
    counts = {"connections": len(connects), "syn_attempts": len(connects), "udp_requests": len(asks)}
    return NOTHING | counts, {}


def _late_start(truth: Truth) -> Expected:
    """Beside those there are a long connection, and datagrams that nobody answers."""
    counts, _ = _all_answered(truth)
    counts["connections"] += 1
    counts["syn_attempts"] += 1
    counts["udp_requests"] += truth["traffic"]["arrived"]
    return counts, {}


FOLLOWING: dict[str, Callable[[Truth], Expected]] = {
    "ack-over": _over,
    "be-liberal": _liberal,
    "capture-loss": _all_answered,
    "clean": _clean,
    "dns-race": _dns,
    "forwarding-disabled": _routing("forwarding-disabled"),
    "entry-expired": _expired,
    "invalid-dropped": _dropped,
    "late-ack": _late_ack,
    "late-start": _late_start,
    "next-hop": _next_hop,
    "policy-drop": _policy,
    "policy-drop-iptables": _policy,
    "port-exhaustion": _exhaustion,
    "remote-loss": _remote,
    "rp-filter": _routing("rp-filter"),
    "second-way": _second_way,
    "service-local": _all_answered,
    "service-local-br-netfilter": _all_answered,
    "service-race": _race,
    "snat-race": _race,
    "snat-race-ipv6": _race,
    "stale-entry": _stale,
    "stale-neighbour": _stale_neighbour,
    "table-full": _full,
    "table-full-br-netfilter": _full,
    "uplink-changed": _uplink_changed,
    "unnatted-leak": _leak,
}
"""By scenario."""
