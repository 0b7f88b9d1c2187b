"""The scenarios by name; each one's docstring is its help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analyzer.lab.run import Run
from analyzer.lab.scenarios import (
    captures,
    clean,
    dns,
    exhaustion,
    full,
    injected,
    leak,
    next_hop,
    policy,
    race,
    remote,
    routing,
    stale,
    ways,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Traffic that provokes an incident, or does not."""

    provoke: Callable[[Run], dict[str, Any]]
    """Makes the traffic; returns what it knows of it."""
    rounds: int
    """The default: a few seconds, and enough for the incident to show."""
    apart: str = ""
    """A capture point that the scenario records itself: see `Run.record`."""


SCENARIOS = {
    "ack-over": Scenario(provoke=injected.ack_over, rounds=4),
    "be-liberal": Scenario(provoke=injected.be_liberal, rounds=4),
    "capture-loss": Scenario(provoke=captures.capture_loss, rounds=80, apart="eth0"),
    "clean": Scenario(provoke=clean.clean, rounds=2),
    "dns-race": Scenario(provoke=dns.dns_race, rounds=200),
    "forwarding-disabled": Scenario(provoke=routing.forwarding_disabled, rounds=4),
    "entry-expired": Scenario(provoke=leak.entry_expired, rounds=4),
    "invalid-dropped": Scenario(provoke=injected.invalid_dropped, rounds=4),
    "late-ack": Scenario(provoke=injected.late_ack, rounds=1),
    "late-start": Scenario(provoke=captures.late_start, rounds=80, apart="eth0"),
    "next-hop": Scenario(provoke=next_hop.next_hop, rounds=4),
    "policy-drop": Scenario(provoke=policy.policy_drop, rounds=8),
    "policy-drop-iptables": Scenario(provoke=policy.policy_drop_iptables, rounds=8),
    "port-exhaustion": Scenario(provoke=exhaustion.port_exhaustion, rounds=4),
    "remote-loss": Scenario(provoke=remote.remote_loss, rounds=60),
    "rp-filter": Scenario(provoke=routing.rp_filter, rounds=4),
    "second-way": Scenario(provoke=ways.second_way, rounds=8),
    "service-local": Scenario(provoke=ways.service_local, rounds=8),
    "service-local-br-netfilter": Scenario(provoke=ways.service_local_br_netfilter, rounds=8),
    "service-race": Scenario(provoke=race.service_race, rounds=600),
    "snat-race": Scenario(provoke=race.snat_race, rounds=600),
    "snat-race-ipv6": Scenario(provoke=race.snat_race_ipv6, rounds=600),
    "stale-entry": Scenario(provoke=stale.stale_entry, rounds=6),
    "stale-neighbour": Scenario(provoke=stale.stale_neighbour, rounds=4),
    "table-full": Scenario(provoke=full.table_full, rounds=60),
    "table-full-br-netfilter": Scenario(provoke=full.table_full_br_netfilter, rounds=60),
    "uplink-changed": Scenario(provoke=ways.uplink_changed, rounds=3, apart="eth1"),
    "unnatted-leak": Scenario(provoke=leak.unnatted_leak, rounds=4),
}
