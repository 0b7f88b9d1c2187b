"""Several causes at once, counters of other interfaces, captures that are missing: a cause is right, or it is `unknown`."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzer import Analysis, analyze
from tests.conftest import CASES, Case
from tests.conversation import Conversation, record
from tests.incident.evidence import AROUND, Frames, counters, findings, vanishing, whole

PODS = "abcdefghij"


@dataclass(slots=True, kw_only=True)
class Event:
    """What happens to some connections, why, and what the kernel counts of it."""

    cause: str
    lost: list[Conversation]
    others: list[Conversation | Frames] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)


def pod(n: int, at: float, which: int, server: str, **changes: str) -> Conversation:
    """A connection of one of an event's pods; no two events share pods or ports."""
    port = 20000 + 100 * n + which
    ends = {
        "pod": f"10.244.{n}.{11 + which}:{port}",
        "server": server,
        "nat": f"192.0.2.10:{port}",
        "way": f"veth-{PODS[n % 10]}{PODS[which]} cni0 | eth0",
    }
    return Conversation(**{**ends, "isn": 1 + 1_000_000 * n + 10_000 * which + round(at * 100), **changes})  # type: ignore[arg-type]


def race(n: int, at: float) -> Event:
    """Two pods, one port, one instant."""
    port = 30000 + n
    loser = pod(n, at, 0, "192.0.2.100:80", pod=f"10.244.{n}.11:{port}", nat=f"192.0.2.10:{10000 + n}")
    winner = pod(n, at, 1, "192.0.2.100:80", pod=f"10.244.{n}.12:{port}", nat=f"192.0.2.10:{port}")
    return Event(
        cause="snat-port-race",
        lost=[whole(vanishing(loser, at), at + 1)],
        others=[whole(winner, at + 0.00002)],
        counted={"insert_failed": 1, "drop": 1},
    )


def exhaustion(n: int, at: float) -> Event:
    """Three ports, held by one pod, and another that gets none."""
    server = f"192.0.2.{101 + n}:5432"
    held = [
        whole(
            pod(
                n, at, 1, server, pod=f"10.244.{n}.12:{50000 + 7 * i}", nat=f"192.0.2.10:{41000 + 10 * n + i}"
            ),
            at - 3 + 0.1 * i,
        )
        for i in range(3)
    ]
    for i, talk in enumerate(held):
        talk.isn += 50 * i
    return Event(
        cause="snat-port-exhaustion",
        lost=[vanishing(pod(n, at, 0, server), at, at + 1, at + 3)],
        others=list(held),
        counted={"insert_failed": 3, "drop": 3},
    )


def full(n: int, at: float) -> Event:
    """New connections to four places are refused for two seconds."""
    servers = ("192.0.2.100:80", f"192.0.2.{121 + n}:443", "198.51.100.7:80", f"192.0.2.{141 + n}:25")
    lost = [
        whole(vanishing(pod(n, at, i, server), at + 0.1 * i, at + 1 + 0.1 * i), at + 3 + 0.1 * i)
        for i, server in enumerate(servers)
    ]
    return Event(cause="conntrack-table-full", lost=lost, counted={"drop": 8})


def policy(n: int, at: float) -> Event:
    """One port is forbidden, another allowed."""
    address = f"198.51.100.{50 + n}"
    allowed = [
        whole(pod(n, at, 1 + i, f"{address}:80"), at + when) for i, when in enumerate((-0.5, 0.5, 2, 4))
    ]
    return Event(
        cause="policy-drop",
        lost=[vanishing(pod(n, at, 0, f"{address}:8080"), at, at + 1, at + 3)],
        others=list(allowed),
    )


def next_hop(n: int, at: float) -> Event:
    """A neighbour that does not answer."""
    talk = vanishing(pod(n, at, 0, f"192.0.2.{201 + n}:80"), at, at + 1, at + 3)
    told = Frames().asks(f"192.0.2.{201 + n}", at + 0.0001, at + 1.02, at + 2.05).unreachable(talk, at + 3.07)
    return Event(cause="next-hop-unresolved", lost=[talk], others=[told])


def dns(n: int, at: float) -> Event:
    """Of two queries of one socket one is lost."""
    talk = pod(n, at, 0, "192.0.2.53:53", proto="udp")
    talk.data(b"A? %d.example.org" % n, at).lost_after("cni0")
    talk.data(b"AAAA? %d.example.org" % n, at + 0.00002)
    talk.reply(b"AAAA! nothing", at + 0.02)
    talk.data(b"A? %d.example.org" % n, at + 5.005)
    talk.reply(b"A! 192.0.2.1")
    return Event(cause="dns-insert-race", lost=[talk], counted={"insert_failed": 1, "drop": 1})


def queue(n: int, at: float) -> Event:
    """A packet that a queue of the uplink dropped: beside refusals nobody could tell it from one of them."""
    return Event(cause="unknown", lost=[whole(vanishing(pod(n, at, 0, "192.0.2.100:80"), at), at + 1)])


def denied(n: int, at: float) -> Event:
    """A pod that may talk to nobody: which step drops its packets only the rules tell."""
    servers = ("192.0.2.100:80", "192.0.2.53:53", "198.51.100.7:80", "192.0.2.160:25")
    talks = [
        pod(n, at, 0, server, pod=f"10.244.{n}.11:{20000 + 100 * n + i}") for i, server in enumerate(servers)
    ]
    for i, talk in enumerate(talks):
        talk.isn += i
        vanishing(talk, at, at + 1, at + 3)
    others = [whole(pod(n, at, 1 + i, "192.0.2.161:80"), at + when) for i, when in enumerate((0.2, 1.2, 3.2))]
    return Event(cause="unknown", lost=talks, others=list(others))


def link_down(n: int, at: float) -> Event:
    """For two seconds nothing gets through, old or new."""
    old = whole(pod(n, at, 4, "192.0.2.162:22"), at - 2)
    for i in range(12):
        sent = old.data(100, at - 1 + 0.5 * i)
        if -0.1 < -1 + 0.5 * i < 2:
            sent.lost_after("cni0")
    servers = ("192.0.2.100:80", "192.0.2.163:443", "198.51.100.7:80")
    lost = [
        whole(vanishing(pod(n, at, i, server), at + 0.1 * i, at + 1 + 0.1 * i), at + 3)
        for i, server in enumerate(servers)
    ]
    return Event(cause="unknown", lost=lost, others=[old])


NAMED = (race, exhaustion, full, policy, next_hop, dns)
EVENTS = (*NAMED, denied, link_down)
# A link that is down lets nothing else happen beside it.
happened = st.lists(st.tuples(st.sampled_from((*NAMED, denied)), st.integers(0, 8)), min_size=1, max_size=4)
elsewhere = st.fixed_dictionaries(
    {"insert_failed": st.sampled_from([0, 0, 1, 40]), "drop": st.sampled_from([0, 0, 1, 8, 40])}
)


def analysed(
    events: list[Event], counted: dict[str, int] | None = None, without: frozenset[str] = frozenset()
) -> tuple[Analysis, dict[str, str]]:
    """Analyse what happened, and tell each connection's right cause by its pod's end."""
    talks = [talk for event in events for talk in (*event.lost, *event.others)]
    points = {p for talk in (*talks, *AROUND) for p in talk.points} - without
    with tempfile.TemporaryDirectory() as name:
        if counted is not None:
            rises = Counter(counted)
            for event in events:
                rises.update(event.counted)
            counters(Path(name), **rises)
        analysis = analyze(record(Path(name), *talks, *AROUND, points=tuple(sorted(points))))  # type: ignore[arg-type]
    return analysis, {talk.pod: event.cause for event in events for talk in event.lost}


@pytest.mark.parametrize("event", NAMED)
def test_alone(event: Callable[[int, float], Event]) -> None:
    """Alone, with its own counters, each is recognised."""
    analysis, right = analysed([event(1, 0)], {})

    assert right == {f.inner.split(" > ")[0]: f.cause for f in findings(analysis)}


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("noise", [None, {"drop": 40}, {"insert_failed": 40, "drop": 40}])
def test_with_counters_of_other_interfaces(
    event: Callable[[int, float], Event], noise: dict[str, int] | None
) -> None:
    """Counters count for the whole node, and sometimes nobody collected them."""
    analysis, right = analysed([event(1, 0)], noise)

    for finding in findings(analysis):
        assert finding.cause in ("unknown", right[finding.inner.split(" > ")[0]]), finding


@pytest.mark.parametrize("noise", [None, {}, {"insert_failed": 40, "drop": 40}])
def test_nobody_knows(noise: dict[str, int] | None) -> None:
    """A loss that no counter tells of has no name."""
    analysis, _ = analysed([queue(1, 0), policy(2, 8)], noise)

    assert "unknown" == findings(analysis)[0].cause


@given(
    happened,
    st.one_of(st.none(), elsewhere),
    st.sampled_from(
        [frozenset(), frozenset({"cni0"}), frozenset({"veth-aa", "veth-ba", "veth-ca", "veth-da"})]
    ),
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_mixed(
    made: list[tuple[Callable[[int, float], Event], int]],
    counted: dict[str, int] | None,
    without: frozenset[str],
) -> None:
    """Whatever happens side by side, no connection is given the cause of another."""
    events = [event(n, float(at)) for n, (event, at) in enumerate(made)]
    analysis, right = analysed(events, counted, without)

    for finding in findings(analysis):
        # Counters that something else raised as well can make a cause likely; they must not prove one.
        misled = counted is not None and finding.confidence != "proven"
        assert misled or finding.cause in ("unknown", right[finding.inner.split(" > ")[0]]), finding.facts


COUNTERS, RULES, TABLE = (
    ("conntrack-S",),
    ("nft-ruleset", "iptables-save"),
    ("dmesg", "sysctl", "conntrack-L"),
)
EVIDENCE = (*COUNTERS, *RULES, *TABLE, "ip-", "uname", "tcpdump-")


def files(case: Case, *kinds: str) -> list[Path]:
    """A fixture's files of these kinds."""
    return [path for path in case.folder.iterdir() if path.name.startswith(kinds)]


def named(captures: Case, *paths: Path) -> set[str]:
    """The causes that a fixture's captures and these files give, `unknown` and the right ones left out."""
    right = {str(incident["cause"]) for incident in captures.expect.get("incidents", ())}
    recorded = captures.captures or captures.listings
    return {incident.cause for incident in analyze([*recorded, *paths]).incidents} - right - {"unknown"}


def test_real_captures_without_some_evidence(bundle_case: Case) -> None:
    """What nobody collected is never made up."""
    kept = ([kind for kind in EVIDENCE if kind not in without] for without in (COUNTERS, (*COUNTERS, *RULES)))
    for paths in {(), *(tuple(files(bundle_case, *kinds)) for kinds in kept)}:
        assert set() == named(bundle_case, *paths)


@pytest.mark.parametrize("other", ["policy-drop", "table-full"])
def test_real_captures_with_evidence_of_another_node(bundle_case: Case, other: str) -> None:
    """Counters, rules and logs that belong elsewhere name nothing that the captures do not show."""
    for foreign in (COUNTERS, (*COUNTERS, *RULES, *TABLE)):
        own = [kind for kind in EVIDENCE if kind not in foreign]

        assert set() == named(bundle_case, *files(bundle_case, *own), *files(CASES[other], *foreign))
