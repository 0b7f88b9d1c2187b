"""Facts of a finding as a person reads them: a label instead of the key, a unit instead of a bare number."""

from __future__ import annotations

from collections.abc import Mapping

from analyzer.report.words import duration

LISTED = 60
"""Values of one list that are shown."""
_LABELS = {
    "answered_after_s": "answered after",
    "attempts_vanished": "attempts lost",
    "aftermath": "afterwards",
    "bound": "conntrack's bound",
    "bridge_nf": "br_netfilter",
    "burst": "requests lost within a second",
    "called_invalid": "conntrack calls it INVALID",
    "contested_port": "contested port",
    "destinations": "to destinations",
    "gc_thresh3": "limit (gc_thresh3)",
    "generation": "conntrack code of Linux",
    "lifetime_s": "lifetime of the entry",
    "log_lines": "kernel log lines",
    "lost_alike": "lost to the same destination",
    "martian_lines": "martian source lines",
    "mtu": "MTU",
    "named": "checksum named in the kernel log",
    "new": "new mapping",
    "next_hop": "next hop",
    "now": "endpoints now",
    "old": "old mapping",
    "partner_apart_us": "time between the two SYNs",
    "partner_inner": "port taken by, inside",
    "partner_outer": "port taken by, outside",
    "passed_alike": "passed to the same destination",
    "pause_s": "pause",
    "port_kept": "is its own source port",
    "refused": "refused by conntrack",
    "reset_by": "reset by",
    "rp_filter": "rp_filter",
    "rst_frame": "RST in frame",
    "rst_seq": "RST seq",
    "short_by": "off by",
    "taken": "ports taken",
    "target": "leads to",
    "twin_apart_us": "time between the two requests",
    "whole_connection": "captured from its SYN on",
}
_COUNTS = frozenset({
    "attempts_vanished", "burst", "destinations", "entries", "gc_thresh3", "log_lines", "lost_alike", "martian_lines",
    "neighbours", "packets", "passed_alike", "ports", "refused", "repeated", "requests", "taken",
})  # fmt: skip
"""Numbers of things. All others are names, such as ports, frames and sequence numbers: they stay as Wireshark has them."""
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_BYTES = frozenset({"short_by"})


def readable(facts: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return labels and values, in the order of the facts; what is not known or says nothing is left out."""
    return [
        (_LABELS.get(key, key.replace("_", " ")), value(item, key))
        for key, item in facts.items()
        if item not in (None, "", [], ()) and not (key in _COUNTS and item == 0)
    ]


def value(item: object, key: str = "") -> str:
    """Return *item* for reading: `yes`, `1,204`, `34.1 µs`; other numbers as they are."""
    if isinstance(item, bool):
        return "yes" if item else "no"
    if item is None:
        return "not known"
    if isinstance(item, list | tuple):
        return ", ".join(value(part, key) for part in item[:LISTED])
    if isinstance(item, dict):
        return ", ".join(
            f"{_LABELS.get(name, name.replace('_', ' '))} {value(part, str(name))}"
            for name, part in list(item.items())[:LISTED]
        )
    unit = _UNITS.get(key.rpartition("_")[2]) if "_" in key else None
    if isinstance(item, int | float) and unit and abs(item) < 1e12:
        return duration(round(item * unit))
    if isinstance(item, int) and key in _BYTES:
        return f"{item:,} byte{'s' * (item != 1)}"
    if isinstance(item, int) and key in _COUNTS:
        return f"{item:,}"
    return str(item)
