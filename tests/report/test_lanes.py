"""The ladder's lanes."""

from __future__ import annotations

import dataclasses

from analyzer.report import lanes


def test_only_pods_that_matter_get_a_lane(sample) -> None:
    """A pod that no drawn packet passes has no lane; the other points always have one, in their order."""
    finding = sample.RACE.findings[0]
    crowd = (*sample.POINTS[:2], sample.point("veth9", "pod", 5), *sample.POINTS[2:])

    assert ("veth1a2b", "veth3c4d", "cni0", "eth0") == lanes.place(finding.passages, finding.gap, crowd).names
    assert ("veth1a2b", "cni0", "eth0") == lanes.place(finding.passages[1:2], finding.gap, crowd).names


def test_without_packets_every_point_has_a_lane(sample) -> None:
    """A finding without packets still shows where captures were taken, and an empty bundle that none was."""
    assert ("veth1a2b", "veth3c4d", "cni0", "eth0") == lanes.place((), None, sample.POINTS).names
    assert ("no capture point",) == lanes.place((), None, ()).names


def test_the_gap_is_as_wide_as_its_addresses(sample) -> None:
    """Where addresses change, both fit side by side, IPv6 too."""
    passage = sample.RACE.findings[0].passages[0]
    wide = dataclasses.replace(
        passage,
        sightings=(
            *passage.sightings[:2],
            dataclasses.replace(passage.sightings[2], src="[2001:db8:1234:5678:9abc:def0:1234:5678]:65535"),
        ),
    )

    def gap(of: lanes.Lanes) -> float:
        return of.x("eth0") - of.x("cni0")

    assert gap(lanes.place([passage], None, sample.POINTS)) >= 2 * 17 * 6.4
    assert gap(lanes.place([wide], None, sample.POINTS)) >= 2 * 46 * 6.4


def test_where_a_packet_headed(sample) -> None:
    """The way on is the gap's other point, else the next lane, else out of the drawing's lanes."""
    lost = sample.RACE.findings[0].passages[1]
    across = lanes.place([lost], None, sample.POINTS)
    inward = dataclasses.replace(lost, sightings=lost.sightings[:1], outward=False, gap=None)

    assert across.x("eth0") == across.beyond(lost)
    assert across.x("eth0") == across.beyond(dataclasses.replace(lost, gap=None))
    assert across.beyond(inward) < across.x("veth1a2b")
