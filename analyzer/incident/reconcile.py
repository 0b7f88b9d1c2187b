"""The kernel's counters against what the captures show."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from analyzer.incident.model import Reconciled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from analyzer.incident.model import Counts, Incident


def reconcile(
    counters: Mapping[str, int], counts: Counts, incidents: tuple[Incident, ...]
) -> tuple[Reconciled, ...]:
    """Say of each counter that tells of lost packets how much of its rise the captures explain.

    `drop` counts every packet that conntrack refused, `insert_failed` those of them that lost a race or found no
    port, `invalid` each INVALID packet, the host's own RSTs included (nf_conntrack_core.c).
    """
    attempts: Counter[str] = Counter()
    for incident in incidents:
        if incident.kind in ("syn-vanished", "udp-vanished"):
            attempts[incident.cause] += sum(int(f.facts["attempts_vanished"]) for f in incident.findings)
    clashed = sum(attempts[cause] for cause in ("snat-port-race", "snat-port-exhaustion", "dns-insert-race"))
    wrong = sum(
        int(f.facts["attempts_vanished"])
        for i in incidents
        for f in i.findings
        if f.facts.get("called_invalid")
    )
    explained = {
        "insert_failed": clashed,
        "drop": clashed + attempts["conntrack-table-full"],
        "invalid": counts.invalid_packets + counts.host_resets + wrong,
    }
    rows = [
        _one(counter, counters[counter], there) for counter, there in explained.items() if counter in counters
    ]
    if "clash_resolve" not in counters:
        # The column came with 5.10; up to 5.9 insert_failed counted clashes of UDP that were resolved as well.
        rows = [
            replace(
                row,
                note=f"{row.note}; on this kernel insert_failed also counts clashes without loss, drop does not",
            )
            if row.counter == "insert_failed" and row.delta > row.explained
            else row
            for row in rows
        ]
    return tuple(rows)


def unseen(rows: Iterable[Reconciled]) -> str:
    """What conntrack certainly dropped and no connection shows, of other interfaces or before a bridge; else empty."""
    dropped = sum(row.delta - row.explained for row in rows if row.counter.split(": ")[-1] == "drop")
    some = "a packet" if dropped == 1 else f"{dropped:,} packets"
    told = f"conntrack dropped {some} between the counters' readings, and the captures show none of that"
    return told if dropped > 0 else ""


def _one(counter: str, delta: int, there: int) -> Reconciled:
    explained = min(delta, there)
    if delta == there:
        note = f"{explained:,} of {delta:,} explained"
    elif delta > there:
        note = (
            f"{explained:,} of {delta:,} explained; {delta - there:,} more than the captures show: other interfaces, or packets "
            f"from before the capture began or after it ended"
        )
    else:
        note = f"{explained:,} of {delta:,} explained; the captures show {there - delta:,} more, lost by another step"
    return Reconciled(counter=counter, delta=delta, explained=explained, note=note)
