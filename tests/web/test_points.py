"""From recognised files to capture points, and to what is missing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from analyzer.report.words import clock
from analyzer.web.points import RecognisedPoint, join, missing, strips

START = 1_795_700_540 * 10**9
COUNTERS = ["conntrack -S", "conntrack -S"]


def part(
    label: str,
    begin: float,
    end: float,
    *,
    role: str | None = None,
    packets: int = 1000,
    complete: bool = True,
) -> dict[str, Any]:
    """What one file holds of the point that its name tells."""
    point = label.rpartition("/")[2].split(".")[0]
    return {
        "label": label, "point": point, "packets": packets, "complete": complete,
        "role": role or {"veth1": "pod", "cni0": "bridge", "eth0": "uplink"}.get(point),
        "first": START + int(begin * 10**9), "last": START + int(end * 10**9),
    }  # fmt: skip


def _clock(seconds: float) -> str:
    return clock(START + int(seconds * 10**9))[:8]


def test_rotated_files_are_one_point() -> None:
    """Files of one name are joined, whatever their number, from the pod outwards."""
    points = join([part("eth0.pcap1", 5, 9), part("eth0.pcap0", 0, 5), part("veth1.pcap", 0, 9)], {})

    assert ["veth1", "eth0"] == [point.name for point in points]
    assert 2000 == points[1].packets
    assert (START, START + 9 * 10**9) == (points[1].first, points[1].last)


def test_two_points_of_one_name_are_told_apart() -> None:
    """eth0 of the pod and of the node lie in two folders and cover the same time; rotated ones do not."""
    both = join([part("pod/eth0.pcap", 0, 9), part("node/eth0.pcap", 1, 8)], {})
    rotated = join([part("one/eth0.pcap", 0, 4), part("two/eth0.pcap", 5, 8)], {})

    assert [("pod/eth0", "pod"), ("node/eth0", "uplink")] == [(point.name, point.role) for point in both]
    assert ["eth0"] == [point.name for point in rotated]


def test_roles_that_were_said_count() -> None:
    """A correction wins, and what was recognised is still known."""
    (point,) = join([part("eth0.pcap", 0, 9)], {"eth0": "pod"})

    assert ("pod", "uplink") == (point.role, point.recognised)


def test_nothing_is_missing() -> None:
    """Three points over the same time and both counters are all that is asked for."""
    points = join([part("veth1.pcap", 0, 30), part("cni0.pcap", 0, 30.2), part("eth0.pcap", 0.1, 29.9)], {})

    assert [] == missing(points, COUNTERS)


def test_a_hole_is_told_with_its_times() -> None:
    """A lost file of the uplink is a pause, at its place; so are a late begin and an early end."""
    whole = [part("veth1.pcap", 0, 60), part("cni0.pcap", 0, 60)]
    middle = join([*whole, part("eth0.pcap0", 0, 20), part("eth0.pcap2", 31, 60)], {})
    ends = join([*whole, part("eth0.pcap", 8, 50)], {})

    assert [f"no capture of the uplink between {_clock(20)} and {_clock(31)}"] == missing(middle, COUNTERS)
    assert [
        f"no capture of the uplink between {_clock(0)} and {_clock(8)}",
        f"no capture of the uplink between {_clock(50)} and {_clock(60)}",
    ] == missing(ends, COUNTERS)


def test_a_hole_of_the_tunnel_is_told() -> None:
    """A tunnel device need not be there; where it is, its pauses count as any other's."""
    whole = [part("veth1.pcap", 0, 60), part("cni0.pcap", 0, 60), part("eth0.pcap", 0, 60)]
    points = join([*whole, part("wg0.pcap", 0, 50, role="tunnel")], {})

    assert [f"no capture of the tunnel between {_clock(50)} and {_clock(60)}"] == missing(points, COUNTERS)


def test_what_is_still_coming_is_not_missing() -> None:
    """A pause behind what has arrived of a file is none yet, for the other points of its role neither; one before it is."""
    whole = [part("veth1.pcap", 0, 60), part("cni0.pcap", 0, 60)]
    first, rest = part("eth0.pcap0", 0, 20), part("eth0.pcap1", 31, 40, complete=False)
    pod = {**part("veth2.pcap", 0, 5, complete=False), "role": "pod"}
    pods = [part("veth1.pcap", 0, 50), *whole[1:], part("eth0.pcap", 0, 60)]

    assert [f"no capture of the uplink between {_clock(20)} and {_clock(31)}"] == missing(
        join([*whole, first, rest], {}), COUNTERS
    )
    assert [f"no capture of a pod between {_clock(50)} and {_clock(60)}"] == missing(join(pods, {}), COUNTERS)
    assert [] == missing(join([*pods, pod], {}), COUNTERS)


def test_silence_is_no_hole() -> None:
    """Where a point sees a packet now and then, a pause as long as some is not called missing."""
    points = join(
        [
            part("cni0.pcap", 0, 100),
            part("veth1.pcap", 0, 100),
            part("eth0.pcap0", 0, 45, packets=20),
            part("eth0.pcap1", 60, 100, packets=20),
        ],
        {},
    )

    assert [] == missing(points, COUNTERS)


def test_another_point_of_the_role_fills_the_hole() -> None:
    """Of two pods one must have been recording."""
    points = join(
        [
            part("cni0.pcap", 0, 60),
            part("eth0.pcap", 0, 60),
            part("veth1.pcap", 0, 30),
            {**part("veth2.pcap", 29, 60), "role": "pod"},
        ],
        {},
    )

    assert [] == missing(points, COUNTERS)


def test_absent_points_and_counters() -> None:
    """Roles that nobody captured are named with what to do; not so while a point's role is open."""
    uplink = join([part("eth0.pcap", 0, 9)], {})
    unknown = join([part("eth0.pcap", 0, 9), part("strange.pcap", 0, 9)], {})

    assert ["no capture of a pod", "no capture of the bridge", "no output of conntrack -S"] == [
        sentence.split(":")[0] for sentence in missing(uplink, [])
    ]
    assert ["only one output of conntrack -S"] == [
        sentence.split(":")[0] for sentence in missing(unknown, COUNTERS[:1])
    ]
    assert [] == missing([], [])


def test_an_empty_capture_is_told() -> None:
    """A file without a packet says so, and has no time to compare."""
    points = join([part("eth0.pcap", 0, 0, packets=0), part("cni0.pcap", 0, 9), part("veth1.pcap", 0, 9)], {})

    assert ["no packet in eth0"] == missing(points, COUNTERS)


def test_the_beginning_of_a_capture_is_not_empty() -> None:
    """Of a file of which no packet has arrived yet nothing is said, nor of its role's pauses."""
    begun = {"first": 0, "last": 0, "packets": 0, "complete": False}
    others = [part("cni0.pcap", 0, 9), part("veth1.pcap", 0, 9)]

    assert [] == missing(join([*others, {**part("eth0.pcap", 0, 0), **begun}], {}), COUNTERS)
    assert [] == missing(
        join([*others, part("eth0.pcap0", 0, 3), {**part("eth0.pcap1", 0, 0), **begun}], {}), COUNTERS
    )


def test_strips_show_holes() -> None:
    """Each time without a pause is a bar on the scale of all points; rotated files that follow each other are one."""
    points = join(
        [
            part("cni0.pcap", 0, 100),
            part("eth0.pcap0", 0, 25),
            part("eth0.pcap1", 25.1, 50),
            part("eth0.pcap2", 75, 100),
        ],
        {},
    )

    assert [[(0.0, 200.0)], [(0.0, 100.0), (150.0, 50.0)]] == [
        [(bar.x, bar.width) for bar in strip] for strip in strips(points)
    ]
    assert ((),) == strips(join([part("eth0.pcap", 0, 0, packets=0)], {}))


spans = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)).map(sorted).map(tuple), min_size=1, max_size=5
)


@given(st.dictionaries(st.sampled_from(["pod", "bridge", "uplink"]), spans, min_size=1))
def test_holes_lie_inside_the_time_of_all(by_role: dict[str, Any]) -> None:
    """Whatever was recorded, each pause is of a role that is there, begins before it ends, and nobody recorded in it."""
    points = [
        RecognisedPoint(
            name=role, role=role, recognised=role, files=(), packets=10**6,
            spans=tuple(sorted((a * 10**9, b * 10**9) for a, b in of)), arriving=None,
        )
        for role, of in by_role.items()
    ]  # fmt: skip
    pauses = [
        sentence
        for sentence in missing(points, COUNTERS)
        if "between" in sentence and "no capture" in sentence
    ]

    assert len(pauses) <= sum(len(point.spans) + 1 for point in points)
    for role, of in by_role.items():
        if any(a == 0 and b == 10**6 for a, b in of):
            assert not [pause for pause in pauses if role in pause]
