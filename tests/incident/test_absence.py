"""What the absence of a packet proves: a loss, unless the capture lacks others too, or a filter or the snaplen hid it."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.incident.absence import _more, _rate
from tests.connection.reasons import out, reasons
from tests.connection.told import judged
from tests.conversation import bystander, record
from tests.incident.evidence import connection, vanishing, whole
from tests.incident.test_deciding import told_of


@pytest.mark.parametrize(
    ("missed", "lost", "seen", "called"),
    [(0, 1, 0, True), (4, 1, 0, False), (4, 2, 0, False), (1, 4, 0, True), (9, 3, 0, False),
     (8, 1, 9, False), (1, 9, 3, True), (1, 4, 4, False), (0, 1, 9, True)],
)  # fmt: skip
def test_what_was_answered_is_the_control_group(
    missed: int, lost: int, seen: int, called: bool, tmp_path: Path
) -> None:
    """A capture that lacks as large a share of what got through does not show that the unanswered are lost; else it does."""
    talks = [whole(connection(n), n) for n in range(9)]
    for talk in talks[:missed]:
        talk.sent[0].missed_at("eth0")
    talks += [vanishing(connection(10 + n), 10 + n) for n in range(lost)]
    talks += [
        vanishing(connection(n + 30, way="veth-z cni0 | eth0"), n + 20, after="eth0") for n in range(seen)
    ]
    analysis = analyze(record(tmp_path, bystander(-5), *talks, bystander(40), points=("cni0", "eth0")))

    assert ({} if called else {"capture-dropped": lost}) == analysis.account.why_unknown
    assert called * lost == sum(count for *_, count in told_of(analysis))


@pytest.mark.parametrize(
    ("missing", "seen", "usual"), [(0, 0, 0.0), (0, 9, 0.0), (9, 0, 1.0), (1, 1, 0.5), (1, 8, 2 / 11)]
)
def test_what_is_usual(missing: int, seen: int, usual: float) -> None:
    """One of nine is two of eleven; what never happened, or always, is no guess."""
    assert usual == _rate(missing, seen)


@pytest.mark.parametrize(
    ("part", "of", "usual", "more"),
    [(0, 9, 0.0, False), (1, 9, 0.0, True), (9, 9, 1.0, False), (1, 2, 0.5, False), (4, 4, 0.5, False),
     (5, 5, 0.5, True), (7, 9, 0.5, False), (8, 9, 0.5, True), (2, 3, 0.2, False), (3, 4, 0.2, False), (4, 5, 0.2, True)],
)  # fmt: skip
def test_more_than_chance(part: int, of: int, usual: float, more: bool) -> None:
    """Five of five heads are hardly a fair coin's, four of four may be."""
    assert more == _more(part, of, usual)


def test_a_capture_between_two_that_have_it(tmp_path: Path) -> None:
    """What a point behind has got past the one that lacks it, in both directions."""
    asked, answered = out(), out(pod="10.244.0.11:20001", nat="192.0.2.10:20001", isn=9)
    asked.syn(0).missed_at("cni0")
    answered.syn(1)
    answered.synack().missed_at("cni0")
    analysis = judged(tmp_path, asked, answered)

    assert ["capture-dropped"] == reasons(analysis, "veth-a")
    assert ["capture-dropped"] == reasons(analysis, "eth0", port=20001, replies=True)


@pytest.mark.parametrize(
    ("times", "expected"),
    [((0,), ["answered"]), ((0, 1), ["capture-dropped", "answered"])],
    ids=["the first", "the second"],
)
def test_an_answer_that_another_point_has(
    times: tuple[int, ...], expected: list[str], tmp_path: Path
) -> None:
    """What the pod's own interface shows answered got through, though the bridge lacks the answer; an earlier one is open."""
    talk = out()
    for at in times:
        talk.syn(at).missed_at("eth0")
    talk.synack().only_at("veth-a")

    assert expected == reasons(judged(tmp_path, talk))


@pytest.mark.parametrize(("by_peer", "called"), [(True, []), (False, ["refused"])])
def test_a_reset_that_a_filter_hid(by_peer: bool, called: list[str], tmp_path: Path) -> None:
    """A point behind the one that lacks a refusal has it: so it is not this node's; where none has, it is."""
    talk = connection()
    talk.syn(0).missed_at("cni0")
    reset = talk.send("RA", by_pod=False)
    reset.missed_at("cni0") if by_peer else reset.only_at("veth-a")
    others = [bystander(at) for at in (-5, 1, 40)]
    analysis = analyze(record(tmp_path, talk, *others))

    assert called == [i.kind for i in analysis.incidents]


@pytest.mark.parametrize(("hidden", "expected"), [(True, "filtered"), (False, "lost")])
def test_a_point_of_openings(hidden: bool, expected: str, tmp_path: Path) -> None:
    """Where nothing of TCP but SYNs was recorded, a RST that is missing is not lost."""
    talk = connection()
    talk.syn(0)
    talk.send("RA", by_pod=False).lost_after("eth0")
    others = [bystander(at) for at in (-5, 1, 40)]
    for sent in (sent for one in others for sent in one.sent if hidden and "S" not in sent.flags):
        sent.missed_at("cni0")
    analysis = analyze(record(tmp_path, talk, *others))

    assert [expected] == reasons(analysis, "eth0", replies=True)
    assert (expected == "lost") == bool(analysis.incidents)


@pytest.mark.parametrize(
    ("server", "point", "called"),
    [
        ("192.0.2.100:81", "", []),
        ("192.0.2.101:80", "", ["refused"]),
        ("192.0.2.101:80", "eth0", []),
        ("192.0.2.101:80", "veth-f", ["refused"]),
    ],
    ids=["its sender is known", "a stranger", "whose packets the uplink lacks", "whose the pod lacks"],
)
def test_a_refusal_by_somebody_who_is_known(
    server: str, point: str, called: list[str], tmp_path: Path
) -> None:
    """A RST that went through as many routers as what else came in of its sender came in; of a stranger it is the node's."""
    talk = connection()
    talk.syn(0).missed_at("eth0")
    talk.send("RA", by_pod=False).missed_at("eth0")
    others = [whole(connection(5 + n, server=server, way="veth-f cni0 | eth0"), 2 + n) for n in range(6)]
    for other in others[1:] if point else ():
        for sent in other.sent[:2]:
            sent.missed_at(point)

    assert called == [i.kind for i in judged(tmp_path, talk, *others).incidents]


@pytest.mark.parametrize(
    ("proto", "snaplen", "lost", "why"),
    [("tcp", 54, 2, 1), ("tcp", 128, 2, 0), ("udp", 54, 2, 1), ("udp", 54, 3, 0), ("udp", 128, 2, 0)],
)
def test_a_header_that_was_cut_off(proto: str, snaplen: int, lost: int, why: int, tmp_path: Path) -> None:
    """In IPv6 54 bytes hold no header of TCP or UDP: what the uplink lacks may be among as many that it cannot tell."""
    ends = {"server": "[2001:db8::100]:53", "nat": "", "proto": proto}
    talk = vanishing(connection(pod="[fd00::11]:20000", **ends), *range(lost))
    other = whole(connection(2, pod="[2001:db8::7]:20002", way="eth0", **ends), 9)
    analysis = judged(tmp_path, talk, other, snaplen={"eth0": snaplen})

    assert ({"undecoded": 1} if why else {}) == analysis.account.why_unknown
    assert bool(why) != bool(analysis.incidents)


@pytest.mark.parametrize(("missed", "called"), [(0, True), (3, False)])
@pytest.mark.parametrize(("point", "by_pod"), [("veth-a", True), ("eth0", False)])
def test_what_came_by_is_a_control_group_as_well(
    point: str, by_pod: bool, missed: int, called: bool, tmp_path: Path
) -> None:
    """A capture that lacks what must have come by, a pod's requests or replies from outside, does not show a datagram's loss."""
    ends = {"proto": "udp", "server": "192.0.2.100:53", "way": "veth-a cni0 | eth0"}
    talks = [connection(n, **ends, pod=f"10.244.0.11:{20000 + n}") for n in range(9)]
    for n, talk in enumerate(talks):
        talk.data(b"asks %d" % n, n)
        talk.reply(b"answers %d" % n)
    for talk in talks[:missed]:
        talk.sent[not by_pod].missed_at(point)
    talks[8].sent[by_pod].lost_after("cni0")
    if not by_pod:
        talks[8].sent.pop()
    around = [
        whole(connection(n, way=ends["way"], pod=f"10.244.0.11:{20000 + n}"), at)
        for n, at in ((20, -5), (21, 40))
    ]
    analysis = analyze(record(tmp_path, *talks, *around))

    assert called == bool(analysis.incidents)


@pytest.mark.parametrize(("of_tcp", "called"), [(True, ["refused"]), (False, [])])
def test_a_refusal_where_nothing_of_tcp_was_recorded(of_tcp: bool, called: list[str], tmp_path: Path) -> None:
    """A RST that a router had before, and an uplink without any TCP: a filter hid it. Where it shows other TCP, none did."""
    talk = connection()
    talk.syn(0).missed_at("eth0")
    talk.send("RA", by_pod=False).missed_at("eth0")
    others = [whole(connection(n, proto="udp", server="192.0.2.53:53"), at) for n, at in ((3, -5), (4, 40))]
    if of_tcp:
        others += [bystander(-5), bystander(40)]
    analysis = analyze(record(tmp_path, talk, *others))

    assert called == [i.kind for i in analysis.incidents]
