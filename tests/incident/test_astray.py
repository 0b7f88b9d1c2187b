"""An entry that outlives its endpoint, and what newer connections and conntrack's table say of it."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from analyzer import Analysis, analyze
from analyzer.incident.astray import ENOUGH, astray
from tests.conftest import analysed
from tests.conversation import Conversation, bystander, record

OLD, NEW = "10.244.1.20:53", "10.244.1.21:53"


def asking(
    port: int, endpoint: str, *times: float, answered: bool = True, proto: str = "udp"
) -> Conversation:
    """Ask a service, each question another, from one port that an entry leads to one endpoint."""
    talk = Conversation(
        pod=f"10.244.0.11:{port}",
        server="10.96.0.10:53",
        nat=f"192.0.2.10:{port}",
        dnat=endpoint,
        proto=proto,
    )
    for number, at in enumerate(times):
        talk.data(b"%d %d" % (port, number), at)
        if answered:
            talk.reply(b"answer %d %d" % (port, number))
    return talk


def orphan(*later: float, port: int = 40000) -> Conversation:
    """A client whose endpoint answers twice, and then not any more."""
    talk = asking(port, OLD, 0, 1)
    for number, at in enumerate(later):
        talk.data(b"%d in vain %d" % (port, number), at)
    return talk


def told(folder: Path, *talks: Conversation) -> list[str]:
    """What is said of stale entries."""
    return _told(analyze(record(folder, *talks, bystander(-5), bystander(30))))


def _told(analysis: Analysis) -> list[str]:
    assert {("misdelivered", "stale-entry")} >= {(i.kind, i.cause) for i in analysis.incidents}
    findings = [finding for incident in analysis.incidents for finding in incident.findings]
    return [f"{f.confidence}: {f.inner}: {'; '.join(e.says for e in f.evidence)}" for f in findings]


def test_a_stale_entry(tmp_path: Path) -> None:
    """The client, how many packets it sent in vain, the endpoint that is gone and the one that newer connections get."""
    (says,) = told(tmp_path, orphan(2, 4, 6), *(asking(41000 + n, NEW, 3 + n) for n in range(3)))

    assert says.startswith(
        "likely: 10.244.0.11:40000 > 10.96.0.10:53/udp: its last 3 packets left for 10.244.1.20:53 "
    )
    assert "while 3 newer connections to 10.96.0.10:53 were" in says
    assert says.endswith("one got 10.244.1.21:53")


@pytest.mark.parametrize(
    "talks",
    [
        [orphan(2, 4, 6), *(asking(41000 + n, OLD if n == 1 else NEW, 3 + n) for n in range(4))],
        [orphan(2, 4, 6), *(asking(41000 + n, NEW, 3 + n, answered=False) for n in range(3))],
        [orphan(2, 4, 6), *(asking(41000 + n, NEW, -3 + n) for n in range(3))],
        [asking(40000, OLD, 0, 2, 4, 6), *(asking(41000 + n, NEW, 3 + n) for n in range(3))],
    ],
    ids=["endpoint still chosen", "nobody is answered", "chosen before", "answered"],
)
def test_near_misses(talks: list[Conversation], tmp_path: Path) -> None:
    """Where the endpoint is chosen still, or the others fare no better, or are older, or nothing is wrong."""
    assert [] == told(tmp_path, *talks)


ENTRY = (
    "udp 17 100 src=10.244.0.11 dst=10.96.0.10 sport=40000 dport=53 "
    "src={} dst=192.0.2.10 sport=53 dport=40000 mark=0 use=1\n"
)
RULES = """table ip nat {{
	chain prerouting {{
		type nat hook prerouting priority dstnat; policy accept;
		ip daddr 10.96.0.10 udp dport 53 dnat to {}
	}}
}}
"""


@pytest.mark.parametrize(
    ("dnat", "led", "rules", "found"),
    [
        (
            OLD,
            "10.244.1.20",
            NEW,
            "it leads to 10.244.1.20:53, and no rule leads there any more; now they lead to 10.244.1.21:53",
        ),
        (
            None,
            "10.96.0.10",
            NEW,
            "it was made before there was a rule for this destination; now they lead to 10.244.1.21:53",
        ),
        (OLD, "10.244.1.20", OLD, None),
        (OLD, "10.244.1.22", NEW, None),
    ],
    ids=["no rule any more", "no rule yet", "a rule still", "another entry"],
)
def test_what_table_and_rules_say(
    dnat: str | None, led: str, rules: str, found: str | None, tmp_path: Path
) -> None:
    """They prove it alone, without a newer connection; an entry that they do not contradict proves nothing."""
    talk = asking(40000, dnat or "10.96.0.10:53", 0, 1, 2, answered=False)
    tmp_path.joinpath("conntrack.txt").write_text(ENTRY.format(led))
    tmp_path.joinpath("nft.txt").write_text(RULES.format(rules))
    tmp_path.joinpath("addr.txt").write_text(
        "2: eth0    inet 192.0.2.10/24 brd 192.0.2.255 scope global eth0\n"
    )
    says = told(tmp_path, talk)

    assert (found is not None) == bool(says)
    assert all("proven: 10.244.0.11:40000 > 10.96.0.10:53/udp: its last 3 packets" in one for one in says)
    assert all(found in one for one in says if found)


@pytest.mark.parametrize("answered", [True, False])
def test_a_connection_whose_endpoint_went_away(answered: bool, tmp_path: Path) -> None:
    """The near miss: an open connection of TCP cannot be led elsewhere; one whose SYNs were never answered can."""
    talk = asking(40000, OLD, proto="tcp")
    for at in (0, 1, 3):
        talk.syn(at)
        if answered and at == 0:
            talk.accept()
            talk.data(9, 0.5)
            break
    if answered:
        lost = talk.sent[-1]
        for at in (1, 2, 4):
            talk.send("PA", lost.payload, at=at, seq=lost.seq)
    tmp_path.joinpath("conntrack.txt").write_text(
        ENTRY.format("10.244.1.20").replace("udp 17 100", "tcp 6 100 ESTABLISHED")
    )
    tmp_path.joinpath("nft.txt").write_text(RULES.format(NEW).replace("udp", "tcp"))
    tmp_path.joinpath("addr.txt").write_text(
        "2: eth0    inet 192.0.2.10/24 brd 192.0.2.255 scope global eth0\n"
    )

    assert (not answered) == bool(told(tmp_path, talk))


@pytest.mark.parametrize(("vain", "newer"), [((2, 4), 3), ((2, 4, 6), 2), ((2, 4, 6), 0)])
def test_too_few_to_tell(vain: tuple[float, ...], newer: int, tmp_path: Path) -> None:
    """Two packets without answer, or two newer connections, may be chance: left open."""
    assert [] == told(tmp_path, orphan(*vain), *(asking(41000 + n, NEW, 3 + n) for n in range(newer)))


def test_many(tmp_path: Path) -> None:
    """Each is a finding."""
    orphans = [orphan(2, 3, 4, port=40000 + n) for n in range(5)]

    assert 5 == len(told(tmp_path, *orphans, *(asking(41000 + n, NEW, 5 + n) for n in range(3))))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.integers(0, 2),
            st.integers(0, 5),
            st.booleans(),
            st.none() | st.integers(0, 5),
        ),
        max_size=16,
    )
)
def test_lookup_equals_comparing_all(connections: list[tuple[int, int, int, bool, int | None]]) -> None:
    """Looked up in order, the same connections are astray as where each is compared with each."""
    expected = []
    for i, (service, endpoint, _, _, since) in enumerate(connections):
        if since is None:
            continue
        later = [(j, c) for j, c in enumerate(connections) if c[0] == service and c[2] > since]
        others = [j for j, (_, other, _, answered, _) in later if answered and other != endpoint]
        if len(others) >= ENOUGH and all(other != endpoint for _, (_, other, *_) in later):
            expected.append((i, others))
    columns = list(zip(*connections, strict=True)) or [()] * 5
    some = [i for i, since in enumerate(columns[4]) if since is not None]
    stale, others = astray(
        np.array(columns[0], np.uint64),
        np.array(columns[1], np.uint64),
        np.array(columns[2], np.int64),
        np.array(columns[3], bool),
        np.array(some, np.int64),
        np.array([columns[4][i] for i in some], np.int64),
    )

    assert expected == [(int(i), j.tolist()) for i, j in zip(stale, others, strict=True)]


def test_the_laboratorys() -> None:
    """The real one."""
    (says,) = _told(analysed("stale-entry"))

    assert says.startswith("proven: ")
    assert "its last 6 packets left for 10.244.1.20:53 and were not answered" in says


def test_clients_on_several_pods(tmp_path: Path) -> None:
    """Other pods' connections prove it as well, though no bridge joins them; the table's entry is named."""
    talks = [orphan(2, 4, 6), *(asking(41000 + n, NEW, 3 + n) for n in range(3))]
    for n, talk in enumerate(talks):
        talk.way = "veth-b | eth0" if n else "veth-a | eth0"
        talk.points = [word for word in talk.way.split() if word != "|"]
        for packet in talk.sent:
            packet.seen = [0, 1] if packet.outward else [1, 0]
    tmp_path.joinpath("conntrack.txt").write_text(
        "udp 17 100 src=10.244.0.11 dst=10.96.0.10 sport=40000 dport=53 src=10.244.1.20 dst=192.0.2.10 sport=53 dport=40000 "
        "[ASSURED] mark=0 use=1\n"
    )
    analysis = analyze(record(tmp_path, *talks))
    (says,) = _told(analysis)
    (source,) = {e.source for i in analysis.incidents for e in i.evidence if "conntrack -D" in e.says}

    assert "conntrack.txt" == source
    assert says.startswith("proven: ")
    assert "stale; `conntrack -D -p udp -s 10.244.0.11" in says
