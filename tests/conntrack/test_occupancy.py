"""How full the table was; `tests/kernel/conntrack/test_occupancy.py` compares with the kernel's own count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from columns import Seen, point
from hypothesis import given
from hypothesis import strategies as st

from analyzer import analyze
from analyzer.conntrack import MODERN
from analyzer.conntrack.occupancy import MOMENTS, NAMED, Occupancy, estimate
from analyzer.conntrack.states import ACK, FIN, RST, SYN, TIMEOUTS, State
from analyzer.conntrack.timeouts import SECOND, Timeouts
from analyzer.flow.point import ICMP, TCP, UDP
from analyzer.incident.scene import Scene
from tests.conversation import Conversation, bystander, record

PACKETS = st.lists(
    st.builds(
        Seen,
        st.integers(0, 25),
        st.integers(0, 400).map(lambda s: s * SECOND),
        st.booleans(),
        st.sampled_from([SYN, SYN | ACK, ACK, FIN | ACK, RST]),
    ),
    min_size=1,
    max_size=120,
).map(lambda packets: sorted(packets, key=lambda packet: packet.time))
PROTOCOLS = ([TCP, UDP, TCP, ICMP, 253] * 6)[:26]
SECONDS = st.integers(0, 500)


def seen(packets: list[Seen], timeouts: Timeouts | None = None) -> Occupancy:
    """The table by one point alone."""
    found = estimate([point(packets, PROTOCOLS)], [], MODERN, timeouts or Timeouts())
    assert found is not None
    return found


def of(scene: Scene | None) -> Occupancy:
    """The table of an analysed bundle."""
    assert scene is not None
    requests = [at for each in scene.requests.values() for at in each]
    found = estimate(scene.points, scene.gaps, MODERN, Timeouts(), requests)
    assert found is not None
    return found


@given(PACKETS)
def test_shares_add_up_to_the_peak(packets: list[Seen]) -> None:
    """Each entry at the peak has one protocol, source and destination, and one state if it is TCP's."""
    found = seen(packets)

    assert found.peak == found.entries.max()
    assert found.peak == int(found.entries[found.time == found.peak_time][0])
    assert [found.peak] * 3 == [
        sum(shares.values()) for shares in (found.by_protocol, found.by_source, found.by_destination)
    ]
    assert found.by_protocol.get("tcp", 0) == sum(found.by_state.values())
    assert len(found.by_source) <= NAMED + 1


@given(PACKETS)
def test_the_curve_covers_the_capture(packets: list[Seen]) -> None:
    """From the first packet to the last, ascending, bounded in length, never below zero."""
    found = seen(packets)

    assert [packets[0].time, packets[-1].time] == [found.time[0], found.time[-1]]
    assert (np.diff(found.time) > 0).all()
    assert len(found.time) == len(found.entries) <= MOMENTS
    assert (found.entries >= 0).all()


@given(PACKETS, SECONDS, SECONDS, SECONDS, SECONDS, st.integers(0, 300))
def test_longer_timeouts_never_empty_the_table(
    packets: list[Seen], udp: int, more: int, generic: int, established: int, extra: int
) -> None:
    """At every moment there are as many entries or more."""
    one = Timeouts(
        udp=udp,
        udp_stream=udp + more,
        icmp=generic,
        generic=generic,
        tcp={**TIMEOUTS, State.ESTABLISHED: established},
    )
    other = Timeouts(
        udp=udp + extra,
        udp_stream=udp + more + extra,
        icmp=generic + extra,
        generic=generic + extra,
        tcp={state: seconds + extra for state, seconds in one.tcp.items()},
        tcp_unacknowledged=one.tcp_unacknowledged + extra,
    )
    begin, end = packets[0].time, packets[-1].time
    short, long = seen(packets, one), seen(packets, other)
    moments = np.union1d(short.time, long.time)
    # Between two points of a curve nothing is known but what the points say.
    common = moments[np.isin(moments, short.time) & np.isin(moments, long.time)]

    assert len(common) >= min(2, 1 + (end > begin))
    assert (short.entries[np.isin(short.time, common)] <= long.entries[np.isin(long.time, common)]).all()
    assert short.peak <= long.peak


def test_without_packets_there_is_nothing_to_tell() -> None:
    """An empty capture has no curve."""
    assert None is estimate([point([])], [], MODERN, Timeouts())


def test_a_connection_counts_once_along_its_way(tmp_path: Path) -> None:
    """Three points saw it, also under another address; the pod is its source, the service its destination."""
    talk = Conversation(
        pod="10.244.0.11:20000", server="10.96.0.10:80", dnat="192.0.2.100:80", nat="192.0.2.10:31000"
    )
    talk.syn()
    talk.accept()
    talk.data()
    found = of(analyze(record(tmp_path, talk)).scene)

    assert (1, {"tcp": 1}, {"ESTABLISHED": 1}) == (found.peak, found.by_protocol, found.by_state)
    assert ({"10.244.0.11": 1}, {"10.96.0.10": 1}) == (found.by_source, found.by_destination)


def test_what_vanished_made_no_entry(tmp_path: Path) -> None:
    """A SYN that was dropped counts neither where it was lost nor before; its repetition does, from then on."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:20000")
    talk.syn().lost_after("cni0")
    talk.syn(at=4.0)
    talk.accept()
    never = Conversation(
        pod="10.244.0.12:20000",
        server="192.0.2.100:80",
        nat="192.0.2.10:20001",
        way="veth-b cni0 | eth0",
        isn=77,
    )
    never.syn(at=2.0).lost_after("cni0")
    scene = analyze(record(tmp_path, talk, never, bystander(-1.0), bystander(6.0))).scene
    assert scene is not None
    found = of(scene)
    everything = estimate(scene.points, scene.gaps, MODERN, Timeouts())

    assert {"10.244.0.99": 2, "10.244.0.11": 1} == found.by_source
    assert [1, 2, 3] == np.unique(found.entries).tolist()
    assert everything is not None
    assert 4 == everything.peak


def test_what_cannot_be_known_is_said() -> None:
    """A connection that was there before counts from the first moment, and the report can say so."""
    packets = [Seen(1, 0, False), Seen(0, SECOND, False, ACK), Seen(0, SECOND, True, ACK)]
    found = seen(packets)
    fresh = seen([Seen(1, 0, False), Seen(0, SECOND, False, SYN)])

    assert 2 == found.entries[0]
    assert any("1 connection of which the captures show no SYN is counted" in says for says in found.unknown)
    assert len(fresh.unknown) == len(found.unknown) - 1


def test_ten_are_named() -> None:
    """Who is not among the ten with most entries is counted together."""
    packets = [Seen(n, n, False) for n in range(60)]
    found = estimate([point(packets, UDP)], [], MODERN, Timeouts())

    assert found is not None
    assert (NAMED + 1, 50) == (len(found.by_source), found.by_source["other"])
    assert 7 == len(found.by_destination)
