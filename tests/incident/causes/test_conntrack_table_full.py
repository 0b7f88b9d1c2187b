"""A full table: recognised by what conntrack refused without a clash, and by nothing that fits another cause as well."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conversation import Conversation
from tests.incident.evidence import (
    causes,
    connection,
    counters,
    findings,
    judged,
    vanishing,
    whole,
)
from tests.incident.test_records import record as drop_record

CODE = "conntrack-table-full"
FULL_LINE = "nf_conntrack: nf_conntrack: table full, dropping packet\n"


def refused(*, on_bridge: bool = False, later: bool = True) -> list[Conversation]:
    """A burst: four new connections, TCP and UDP, to four places, of which none gets through until second 3."""
    ends = (
        {"server": "192.0.2.100:80"},
        {"server": "192.0.2.101:443"},
        {"server": "198.51.100.7:80"},
        {"server": "192.0.2.53:53", "proto": "udp"},
    )
    talks = []
    for n, changes in enumerate(ends):
        after = f"veth-{chr(97 + n)}" if on_bridge else "cni0"
        talk = vanishing(connection(n, **changes), 0.1 * n, 1 + 0.1 * n, after=after)
        talks.append(whole(talk, 3 + 0.1 * n) if later else talk)
    return talks


def steady(begin: float = -2, end: float = 6) -> Conversation:
    """An established connection that goes on all the time."""
    talk = whole(connection(8, server="192.0.2.200:5432"), begin)
    at = begin + 0.1
    while at < end:
        talk.data(100, at)
        talk.reply(100)
        at += 0.4
    return talk


def clean(n: int = 9, at: float = 0.5) -> Conversation:
    """A connection that nothing happens to."""
    return whole(connection(n, server="192.0.2.150:80"), at)


def test_drop_rises_and_insert_failed_does_not(tmp_path: Path) -> None:
    """Several destinations, TCP and UDP, vanish together, and drop rose by just as many."""
    counters(tmp_path, drop=8)
    analysis = judged(tmp_path, *refused(), steady())

    assert {"syn-vanished", "udp-vanished"} == {incident.kind for incident in analysis.incidents}
    assert [CODE] * 4 == causes(analysis)
    for finding in findings(analysis):
        assert "proven" == finding.confidence
        assert (8, 4) == (finding.facts["refused"], finding.facts["destinations"])
        assert any("drop rose by 8 and insert_failed by 0" in e.says for e in finding.evidence)
        assert {"snat-port-race", "policy-drop", "lost outside the node"} <= {
            e.cause for e in finding.excluded
        }


def test_one_refused(tmp_path: Path) -> None:
    """One packet, one refusal: proven, and no rule's doing."""
    counters(tmp_path, drop=1)
    (finding,) = findings(judged(tmp_path, vanishing(connection(), 0)))

    assert (CODE, "proven", 1) == (finding.cause, finding.confidence, finding.facts["refused"])
    assert [
        "no other new connection with the same port left at the same moment; the refusals are not counted in insert_failed",
        "the packet never got to eth0",
        "conntrack counted the drops as its own",
    ] == [one.because for one in finding.excluded]


def test_before_the_bridge(tmp_path: Path) -> None:
    """With br_netfilter the loss is between veth and bridge."""
    counters(tmp_path, drop=8)
    analysis = judged(tmp_path, *refused(on_bridge=True), steady())

    assert [CODE] * 4 == causes(analysis)
    assert {(f"veth-{pod}", "cni0") for pod in "abcd"} == {f.gap for f in findings(analysis)}


def test_more_refused_than_captured(tmp_path: Path) -> None:
    """Other bridges lose packets, too: likely, not proven."""
    counters(tmp_path, drop=500)
    analysis = judged(tmp_path, *refused(), steady())

    assert [CODE] * 4 == causes(analysis)
    assert {"likely"} == {f.confidence for f in findings(analysis)}


def test_refused_as_many_as_vanished_together(tmp_path: Path) -> None:
    """Some of what was dropped were clashes: the six that are left are enough for bursts of up to six."""
    counters(tmp_path, insert_failed=3, drop=9)

    assert [CODE, CODE, CODE, "unknown"] == causes(judged(tmp_path, *refused(), steady()))


def test_a_rule_before_conntrack(tmp_path: Path) -> None:
    """The kernel recorded that it died where a full table drops, too, but a rule there does it."""
    (tmp_path / "nft-ruleset.txt").write_text(
        "table inet t {\n\tchain c {\n\t\ttype filter hook prerouting priority -300; policy accept;\n"
        "\t\ttcp dport 80 drop\n\t}\n}\n"
    )
    talk = vanishing(connection(), 0, 1)
    drop_record(tmp_path, talk, 0, 1, stack="PREROUTING")
    (finding,) = findings(judged(tmp_path, talk))

    assert ("policy-drop", "proven") == (finding.cause, finding.confidence)


def test_full_until_the_end(tmp_path: Path) -> None:
    """Nothing new passes any more, whoever sends it and wherever it goes."""
    counters(tmp_path, drop=500)
    analysis = judged(tmp_path, *refused(later=False), steady())

    assert [(CODE, "likely")] * 4 == [(f.cause, f.confidence) for f in findings(analysis)]


def test_one_refused_among_many_that_pass(tmp_path: Path) -> None:
    """A table that hovers at its limit refuses now and then; what passes a second later met no policy."""
    counters(tmp_path, drop=40)
    talk = whole(vanishing(connection(), 0), 1)
    analysis = judged(tmp_path, talk, *(clean(n, 0.1 * n) for n in range(2, 6)))

    assert [CODE] == causes(analysis)
    assert "lost 1 first packet inside this node and waited up to 1 s: " in analysis.incidents[0].summary


def clashes_and_refusals(folder: Path, **rises: int) -> list[str]:
    """To one destination a race is lost, two connections are refused, and others pass in between."""
    counters(folder, **rises)
    (folder / "dmesg.txt").write_text(f"[ 4217.500000] {FULL_LINE}")
    lost = connection(0, pod="10.244.0.11:30001", nat="192.0.2.10:1024")
    partner = whole(connection(1, pod="10.244.0.12:30001", nat="192.0.2.10:30001"), 0.00001)
    retried = whole(vanishing(lost, 0), 1)
    refused = [whole(vanishing(connection(n), 0.5 * n, 0.5 * n + 1, 0.5 * n + 2), 5) for n in (2, 3)]
    return causes(judged(folder, retried, partner, *refused, clean(5, 1.3), steady()))


def test_clashes_and_refusals_to_one_destination(tmp_path: Path) -> None:
    """The kernel counted each loss as its own, says that the table was full, and most were no clashes."""
    assert ["snat-port-race", CODE, CODE] == clashes_and_refusals(tmp_path, drop=7, insert_failed=1)


def test_clashes_and_something_else(tmp_path: Path) -> None:
    """The near miss: not every loss was the kernel's, or most were clashes."""
    assert CODE not in clashes_and_refusals(tmp_path / "others", drop=6, insert_failed=1)
    assert CODE not in clashes_and_refusals(tmp_path / "clashes", drop=7, insert_failed=4)


def test_evictions_are_told(tmp_path: Path) -> None:
    """early_drop says that the kernel tried to make room."""
    counters(tmp_path, drop=8, early_drop=3)
    finding = findings(judged(tmp_path, *refused(), steady()))[0]

    assert any("early_drop rose by 3" in e.says for e in finding.evidence)


def test_the_kernels_log(tmp_path: Path) -> None:
    """The kernel says so itself, and drop rose."""
    counters(tmp_path, drop=8)
    (tmp_path / "dmesg.txt").write_text(FULL_LINE * 2)
    analysis = judged(tmp_path, *refused(), steady())

    assert [CODE] * 4 == causes(analysis)
    assert any(e.source.endswith("dmesg.txt") for e in findings(analysis)[0].evidence)


def test_the_log_of_another_day(tmp_path: Path) -> None:
    """The log keeps lines for weeks: where drop did not move, no packet was refused."""
    counters(tmp_path)
    (tmp_path / "dmesg.txt").write_text(FULL_LINE * 9)

    assert CODE not in causes(judged(tmp_path, *refused(), steady()))


def test_the_log_alone_names_nothing_that_never_passes(tmp_path: Path) -> None:
    """One port that never passes while others do looks like a policy, whatever the log says of some other time."""
    (tmp_path / "dmesg.txt").write_text(FULL_LINE)
    blocked = vanishing(connection(server="192.0.2.100:8080"), 0, 1, 3)
    analysis = judged(tmp_path, blocked, *(clean(n, n - 2.0) for n in range(2, 6)))

    assert CODE not in causes(analysis)


@pytest.mark.parametrize("stamp", ["2023-11-14T22:13:21,000000+00:00 ", "1700000001.000000 "])
def test_the_log_of_that_second(stamp: str, tmp_path: Path) -> None:
    """Without counters a line that tells its time is enough, for one connection, too."""
    tmp_path.joinpath("journal.txt").write_text(f"{stamp}node kernel: {FULL_LINE}")
    analysis = judged(tmp_path, whole(vanishing(connection(), 0), 1), clean())

    assert [(CODE, "likely")] == [(f.cause, f.confidence) for f in findings(analysis)]


@pytest.mark.parametrize(
    "stamp", ["", "[ 6615.599515] ", "2023-11-14T23:59:59,000000+00:00 ", "2023-11-16T22:13:21 "]
)
def test_the_log_of_some_other_time(stamp: str, tmp_path: Path) -> None:
    """The near miss: an hour later, two days later, or nobody knows when."""
    tmp_path.joinpath("journal.txt").write_text(f"{stamp}node kernel: {FULL_LINE}")
    analysis = judged(tmp_path, whole(vanishing(connection(), 0), 1), clean())

    assert ["unknown"] == causes(analysis)


def test_the_log_and_a_table_at_its_limit(tmp_path: Path) -> None:
    """Each may be of another hour; both together are not."""
    for name, log, count, limit, expected in (
        ("log", FULL_LINE, "7", "65536", "unknown"),
        ("limit", "", "65536", "65536", "unknown"),
        ("both", FULL_LINE, "65536", "65536", CODE),
        ("unlimited", FULL_LINE, "65536", "0", "unknown"),
        ("nonsense", FULL_LINE, "9" * 5000, "many", "unknown"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dmesg.txt").write_text(f"[ 6615.599515] {log}")
        (tmp_path / name / "sysctl.txt").write_text(
            f"net.netfilter.nf_conntrack_count = {count}\nnet.netfilter.nf_conntrack_max = {limit}\n"
        )

        analysis = judged(tmp_path / name, whole(vanishing(connection(), 0), 1), clean())

        assert [expected] == causes(analysis)
        if expected == CODE:  # twice the limit in force
            assert (
                "sysctl -w net.netfilter.nf_conntrack_max=131072" == findings(analysis)[0].remedies[0].command
            )


def test_a_burst_alone_is_possible(tmp_path: Path) -> None:
    """Without counters: several destinations at once, all pass later, and what was established never stopped."""
    analysis = judged(tmp_path, *refused(), steady())

    assert [CODE] * 4 == causes(analysis)
    assert {"possible"} == {f.confidence for f in findings(analysis)}


def test_a_few_losses_among_many_that_pass(tmp_path: Path) -> None:
    """The near miss: nearly every new connection gets in at the same time, so the table has room."""
    others = []
    for n in range(100):
        pod = f"10.244.0.11:{30000 + n}"
        talk = connection(0, server="192.0.2.150:80", pod=pod, nat=f"192.0.2.10:{30000 + n}", isn=9_000 + n)
        others.append(whole(talk, 0.01 * n))
    analysis = judged(tmp_path, *refused(), steady(), *others)

    assert ["unknown"] * 4 == causes(analysis)


def test_a_burst_in_which_established_connections_stop(tmp_path: Path) -> None:
    """The near miss: for a second nothing at all got through, as when a link goes down."""
    talk = steady()
    for sent in talk.sent:
        if sent.outward and sent.flags == "PA" and -0.1 < (sent.time - talk.sent[0].time) / 1e9 - 2 < 2:
            sent.lost_after("cni0")

    assert ["unknown"] * 4 == causes(judged(tmp_path, *refused(), talk))


def test_a_burst_without_anything_established(tmp_path: Path) -> None:
    """Nothing says whether established connections would have gone on."""
    assert ["unknown"] * 4 == causes(judged(tmp_path, *refused()))


def test_a_burst_that_never_ends(tmp_path: Path) -> None:
    """A pod that may not talk to anybody loses several destinations at once, too."""
    talks = refused(later=False)
    for talk in talks:
        talk.pod = f"10.244.0.11:{talk.pod.rpartition(':')[2]}"

    assert CODE not in causes(judged(tmp_path, *talks, steady()))


def test_a_burst_where_the_capture_lost_packets(tmp_path: Path) -> None:
    """What the uplink's tcpdump dropped looks the same."""
    (tmp_path / "tcpdump-eth0.log").write_text(
        "tcpdump: listening on eth0, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n"
        "1 packets captured\n51 packets received by filter\n50 packets dropped by kernel\n"
    )

    assert ["unknown"] * 4 == causes(judged(tmp_path, *refused(), steady()))


@pytest.mark.parametrize("rises", [{}, {"insert_failed": 8, "drop": 8}, {"insert_failed": 9, "drop": 8}])
def test_counters_that_contradict(rises: dict[str, int], tmp_path: Path) -> None:
    """Nothing was dropped, or everything that was dropped had clashed: not full, however the burst looks."""
    counters(tmp_path, **rises)

    assert CODE not in causes(judged(tmp_path, *refused(), steady()))


def test_same_counters_but_a_partner(tmp_path: Path) -> None:
    """The near miss: drop rose by one more, but this one lost its port to a partner at that moment."""
    counters(tmp_path, insert_failed=1, drop=2)
    loser = whole(vanishing(connection(0, pod="10.244.0.11:20000", nat="192.0.2.10:33333"), 0), 1)
    winner = whole(connection(1, pod="10.244.0.12:20000", nat="192.0.2.10:20000"), 0.00002)

    assert ["snat-port-race"] == causes(judged(tmp_path, loser, winner))


def test_fewer_refused_than_lost(tmp_path: Path) -> None:
    """Another step lost the rest: which, nothing says of a connection that never passes."""
    counters(tmp_path, drop=1)
    blocked = vanishing(connection(server="192.0.2.100:8080"), 0, 1, 3, 7)
    analysis = judged(tmp_path, blocked, *(clean(n, n - 1.0) for n in range(2, 6)))

    assert ["unknown"] == causes(analysis)


def test_refused_elsewhere_while_a_policy_drops_here(tmp_path: Path) -> None:
    """Another interface's refusals explain nothing here: only this destination is lost, while others pass at once."""
    counters(tmp_path, drop=500)
    blocked = vanishing(connection(server="192.0.2.100:8080"), 0, 1, 3, 7)
    others = [clean(n, at) for n, at in ((2, 0.1), (3, 1.1), (4, 3.1), (5, 7.1))]

    assert ["unknown"] == causes(judged(tmp_path, blocked, *others))


def test_a_pod_that_may_not_talk_while_another_interface_is_refused(tmp_path: Path) -> None:
    """Several destinations, but of one pod only, and all others pass meanwhile."""
    counters(tmp_path, drop=500)
    blocked = [
        vanishing(
            connection(n, pod=f"10.244.0.11:{20000 + n}", server=f"192.0.2.{100 + n}:80", way="veth-a cni0 | eth0"),
            0.1 * n, 1 + 0.1 * n, 3 + 0.1 * n,
        )
        for n in range(4)
    ]  # fmt: skip
    others = [clean(n, at) for n, at in ((5, 0.15), (6, 1.15), (7, 3.15))]

    assert ["unknown"] * 4 == causes(judged(tmp_path, *blocked, *others))


def test_again_and_again_while_others_pass(tmp_path: Path) -> None:
    """A table that refuses one connection four times would have refused others, too."""
    counters(tmp_path, drop=500)
    talk = whole(vanishing(connection(), 0, 1, 2, 3), 4)
    others = [clean(n, at) for n, at in ((2, 0.1), (3, 1.1), (4, 2.1), (5, 3.1))]

    assert ["unknown"] == causes(judged(tmp_path, talk, *others))


def test_races_without_a_known_partner(tmp_path: Path) -> None:
    """Most of what was dropped had clashed: one refusal does not make a full table of them all."""
    counters(tmp_path, insert_failed=3, drop=4)
    talks = [whole(vanishing(connection(n), 10.0 * n), 10.0 * n + 1) for n in range(3)]

    assert ["unknown"] * 3 == causes(judged(tmp_path, *talks))


def test_one_lost_syn(tmp_path: Path) -> None:
    """One SYN, no counters: nobody can tell."""
    assert ["unknown"] == causes(judged(tmp_path, whole(vanishing(connection(), 0), 1), clean()))


def test_one_snapshot_is_no_rise(tmp_path: Path) -> None:
    """Counters since boot say nothing about the time of the capture."""
    counters(tmp_path, drop=50)
    (tmp_path / "conntrack-S-before.txt").unlink()

    assert ["unknown"] == causes(judged(tmp_path, whole(vanishing(connection(), 0), 1), clean()))


def limit(folder: Path, count: int) -> None:
    """The kernel's line of an unknown hour, and its count of entries."""
    (folder / "dmesg.txt").write_text(f"[  100.000000] {FULL_LINE}")
    (folder / "sysctl.txt").write_text(
        f"net.netfilter.nf_conntrack_count = {count}\nnet.netfilter.nf_conntrack_max = 65536\n"
    )


def test_one_attempt_each_while_others_pass(tmp_path: Path) -> None:
    """Log and count say that it was full: single attempts met it by chance, and nobody chose them."""
    limit(tmp_path, 65536)
    lost = vanishing(connection(0, server="192.0.2.53:53", proto="udp"), 0.5)
    analysis = judged(tmp_path, lost, steady(), clean())

    assert [CODE] == causes(analysis)
    assert any("the table held 65,536 of 65,536 entries" == e.says for e in findings(analysis)[0].evidence)


@pytest.mark.parametrize(
    ("count", "attempts", "servers"),
    [(40000, 1, 1), (40000, 1, 3), (65536, 4, 1)],
    ids=["not full", "not full, three at once", "again and again"],
)
def test_log_and_count_that_do_not_tell(count: int, attempts: int, servers: int, tmp_path: Path) -> None:
    """A line of some other hour, or a connection whose every attempt is lost while others pass: something else."""
    limit(tmp_path, count)
    lost = [
        vanishing(
            connection(server, server=f"192.0.2.{53 + server}:53", proto="udp"),
            *(0.3 + 0.2 * n for n in range(attempts)),
        )
        for server in range(servers)
    ]

    assert CODE not in causes(judged(tmp_path, *lost, steady(), clean()))
