"""Why a request has its fate: every reason from captures, so that none is a dead letter."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.connection.model import Fate
from analyzer.connection.reasons import CODES, FATE_OF, FATES, REASONS
from tests.conftest import Case, analysed
from tests.connection.reasons import AROUND, asks, inbound, judged, opens, out, reasons
from tests.conversation import Conversation, bystander, record
from tests.incident.evidence import Frames, counters
from tests.incident.node import told


def test_codes_are_unique_and_say_a_sentence() -> None:
    """A code names one reason; what it says completes "because"."""
    assert len(REASONS) == len(CODES)
    assert [FATES.index(reason.fate) for reason in REASONS] == list(FATE_OF)
    assert all(reason.says and not reason.says.endswith(".") for reason in REASONS)
    assert set(Fate) == {reason.fate for reason in REASONS}


def test_every_request_has_a_reason_that_fits_its_fate(bundle_case: Case) -> None:
    """In every fixture `passages` tells the fate of the reason."""
    scene = analysed(bundle_case.name).captured
    for kind in (scene.requests, scene.replies):
        for followed in kind.values():
            for at in followed:
                assert ((at.reason >= 0) & (at.reason < len(REASONS))).all()
                assert ([FATES[f] for f in at.fate]) == [REASONS[r].fate for r in at.reason]
                # A fate other than passed is of a gap, and no gap is named twice for one packet.
                assert (at.gap[at.reason != CODES["seen-beyond"]] >= 0).all()


def test_lost_and_seen_beyond(tmp_path: Path) -> None:
    """The first attempt did not get through, the second did."""
    talk = asks(out(), 0, after="cni0")
    talk.syn(1)
    talk.accept()
    assert ["lost", "seen-beyond"] == reasons(judged(tmp_path, talk))


def test_own_address(tmp_path: Path) -> None:
    """What the pod sends to an address that SNAT uses is for the node."""
    assert ["own-address"] * 2 == reasons(
        judged(
            tmp_path,
            asks(Conversation(pod="10.244.0.11:20000", server="192.0.2.10:22", way="veth-a cni0"), 0, 1),
        )
    )


def test_bridged(tmp_path: Path) -> None:
    """A frame that is addressed to a neighbour's MAC is not for the router."""
    talk = Conversation(pod="10.244.0.11:20000", server="10.244.0.12:80", way="veth-a cni0 veth-b")
    asks(talk, 0)
    assert ["bridged"] == reasons(judged(tmp_path, talk, points=("veth-a", "cni0", "eth0")))


def test_turned(tmp_path: Path) -> None:
    """A service whose endpoint is a pod of this node comes back to the bridge, one hop on."""
    talk = Conversation(
        pod="10.244.0.11:20000",
        server="10.96.0.1:80",
        dnat="10.244.0.12:8080",
        way="veth-a cni0 | cni0 veth-b",
    )
    talk.syn(0)
    talk.accept()
    found = reasons(judged(tmp_path, talk))

    assert "turned" in found
    assert "lost" not in found


@pytest.mark.parametrize(("code", "expected"), [(13, "refused-here"), (4, "refused")])
def test_an_icmp_error_that_quotes_it(code: int, expected: str, tmp_path: Path) -> None:
    """Prohibited, and the uplink did not see that come in: this node refuses. That it is too big refuses nobody."""
    talk = asks(out(), 0, after="cni0")
    assert [expected] == reasons(judged(tmp_path, talk, Frames().unreachable(talk, 0.01, code=code)))


def test_a_reset_of_this_node(tmp_path: Path) -> None:
    """A RST that the uplink did not see, though it was recording."""
    talk = asks(out(), 0, after="cni0")
    talk.send("RA", by_pod=False).only_at("veth-a", "cni0")
    assert ["refused-here"] == reasons(judged(tmp_path, talk))


def test_answered_here(tmp_path: Path) -> None:
    """The near miss: its SYN-ACK did not pass the uplink either, so it is reached another way."""
    talk = asks(out(), 0, after="cni0")
    talk.accept()
    talk.sent[1].only_at("veth-a", "cni0")
    talk.sent[2].only_at("veth-a", "cni0")
    assert ["answered-here"] == reasons(judged(tmp_path, talk))


def test_answered(tmp_path: Path) -> None:
    """The uplink missed what was answered."""
    talk = out()
    talk.syn(0).missed_at("eth0")
    talk.accept()
    assert ["answered"] == reasons(judged(tmp_path, talk))


def test_not_recording(tmp_path: Path) -> None:
    """Behind the uplink's last packet nothing is known."""
    talk = asks(out(), 30, 31, after="cni0")
    assert ["not-recording"] * 2 == reasons(judged(tmp_path, talk))


def test_counted(tmp_path: Path) -> None:
    """A silent uplink, and conntrack counted just as many drops as are not seen again."""
    talk = asks(out(), 30, 31, 33, after="cni0")
    counters(tmp_path, drop=3)
    analysis = judged(tmp_path, talk)
    assert ["counted"] * 3 == reasons(analysis)
    assert ["conntrack-table-full"] == [incident.cause for incident in analysis.incidents]


RULES = """table ip filter {{
	chain FORWARD {{
		type filter hook forward priority filter; policy accept;
		tcp dport {port} counter packets 3 bytes 180 {verdict}
	}}
}}
"""


def test_filtered(tmp_path: Path) -> None:
    """An uplink of one port only, rules that accept and no drop counted: a filter, not a loss."""
    (tmp_path / "nft.txt").write_text(RULES.format(port=81, verdict="accept"))
    counters(tmp_path)
    talk = asks(out(), 0, 1, after="cni0")
    assert ["filtered"] * 2 == reasons(judged(tmp_path, talk))
    record(tmp_path / "near", talk, *AROUND)
    assert ["lost"] * 2 == reasons(analyze(tmp_path / "near"))


ROUTES = """default via 192.0.2.1 dev eth0
10.244.0.0/24 dev cni0 proto kernel scope link src 10.244.0.1
172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1
192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.10
"""


@pytest.mark.parametrize("routes", [True, False])
@pytest.mark.parametrize("lost", [True, False])
def test_a_bridge_claims_the_network_of_who_asks(routes: bool, lost: bool, tmp_path: Path) -> None:
    """The answer should go back to the uplink, and the node seeks the client on another bridge: it is lost between them."""
    if routes:
        told(tmp_path, **{"ip-route": ROUTES})
    talk = opens(inbound(server="172.17.5.5:41000"), 0)
    answer = talk.send("SA", at=0.1, options=[])
    if lost:
        answer.lost_after("cni0")
    arp = Frames().asks("172.17.5.5", 0.1, 1.1, 2.1, mac="02:00:00:00:00:77", point="docker0")
    analysis = judged(tmp_path, talk, arp)

    assert ["lost" if lost else "seen-beyond"] == reasons(analysis, port=8080, replies=True)
    assert [("reply-vanished", ("cni0", "eth0"))] * lost == [(i.kind, i.gap) for i in analysis.incidents]


def test_a_pod_answers_by_its_second_interface(tmp_path: Path) -> None:
    """Requests come in by one bridge, answers leave by another: without the uplink nothing shows that they were lost."""
    ask, answer = inbound(), inbound(way="veth-n br1 | eth0")
    for talk in (ask, answer):
        opens(talk, 0).sent[0].only_at(*(("veth-a", "cni0", "eth0") if talk is ask else ()))
    answer.send("SA", at=0.001, options=[])
    ask.send("A", by_pod=False, at=0.002, ack=answer.isn + 1)
    data = ask.send("PA", b"question", by_pod=False, at=0.003, ack=answer.isn + 1)
    answer.send("PA", b"answer", at=0.004, ack=data.seq + 8)
    others = bystander(-4, way="veth-y br1 | eth0"), bystander(19, way="veth-y br1 | eth0")
    points = ("veth-a", "veth-n", "veth-y", "veth-z", "cni0", "br1")
    analysis = judged(tmp_path, ask, answer, *others, points=points)

    assert () == analysis.incidents


@pytest.mark.parametrize(("flags", "expected"), [("A", "answered"), ("R", "lost")])
def test_its_sender_goes_on(flags: str, expected: str, tmp_path: Path) -> None:
    """No captured point has the answer, which came another way: whoever acknowledges it had one, to the last SYN."""
    talk = asks(out(), 0, 1, after="cni0")
    talk.send(flags, at=1.1, ack=talk.server_isn + 1).lost_after("cni0")
    told_of = reasons(judged(tmp_path, talk))

    assert expected == told_of[1]
    assert told_of[0] != "answered"
