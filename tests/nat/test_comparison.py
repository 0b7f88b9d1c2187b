"""Of a far larger point only a part is compared; the result is that of the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.flow.point import Point
from analyzer.nat import comparison
from analyzer.nat.comparison import Comparison
from tests.conftest import FIXTURES, Case
from tests.conversation import Conversation, record

POINTS = ("veth-a", "cni0", "eth0")


def points(folder: Path, others: int, **snaplen: int) -> dict[str, Point]:
    """One connection of the pod behind veth-a, in the middle of others' that were not captured before the bridge."""
    talks = []
    for n in range(others + 1):
        way = "veth-a cni0 | eth0" if n == others // 2 else "veth-b cni0 | eth0"
        ends = {
            "pod": f"10.244.0.{11 + n}:20000",
            "server": "192.0.2.100:80",
            "nat": f"192.0.2.10:{1024 + n}",
        }
        talk = Conversation(**ends, way=way, isn=1000 * n, server_isn=7000 * n)
        talk.syn(n)
        talk.accept()
        talk.data(200)
        talks.append(talk)
    analysis = analyze(record(folder, *talks, points=POINTS, snaplen=snaplen))
    assert analysis.scene is not None
    return {point.name: point for point in analysis.scene.points}


@pytest.mark.parametrize("snaplen", [{}, {"veth_a": 68}])
def test_a_part_has_what_the_smaller_point_saw(snaplen: dict[str, int], tmp_path: Path) -> None:
    """Its one connection of eleven, with prints that agree whatever the captures cut."""
    limits = {name.replace("_", "-"): limit for name, limit in snaplen.items()}
    given = points(tmp_path, 10, **limits)
    veth, cni0 = given["veth-a"], given["cni0"]
    compared = Comparison([(veth, cni0)]).of(veth, cni0)
    assert compared.flows is not None
    assert compared.rows is not None

    assert [5] == compared.flows.tolist()
    assert cni0.rows(5).tolist() == compared.rows.tolist()
    assert compared.a.packets.print.tolist() == compared.b.packets.print.tolist()
    assert compared.a.flows.syn_print.tolist() == compared.b.flows.syn_print.tolist()


@pytest.mark.parametrize("others", [0, 3])
def test_points_of_like_size_are_compared_as_wholes(others: int, tmp_path: Path) -> None:
    """Up to four times the packets nothing is searched for."""
    given = points(tmp_path, others)
    compared = Comparison([(given["veth-a"], given["cni0"])]).of(given["veth-a"], given["cni0"])

    assert compared.b is given["cni0"]
    assert (None, None) == (compared.flows, compared.rows)


def test_a_point_without_packets_is_a_neighbour(tmp_path: Path) -> None:
    """Nothing of the other one concerns it."""
    given = points(tmp_path, 4)
    nothing, _ = given["veth-a"].part(given["veth-a"].order[:0])
    compared = Comparison([(nothing, given["cni0"])]).of(nothing, given["cni0"])

    assert (0, 0) == (len(compared.b.packets), len(compared.b.flows))


def test_every_fixture_gives_the_same_answer_in_parts(
    bundle_case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much larger the outer point has to be, to the last byte of the JSON."""
    folder = FIXTURES / bundle_case.name
    monkeypatch.setattr(comparison, "FAR_LARGER", 1 << 40)
    whole = analyze(folder).to_json()
    for least in (0, 1):
        monkeypatch.setattr(comparison, "FAR_LARGER", least)

        assert whole == analyze(folder).to_json()
