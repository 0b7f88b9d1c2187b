"""A policy: recognised by its rule, or by a port that never passes while others of the same address do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conversation import Conversation
from tests.incident.evidence import causes, connection, counters, findings, judged, vanishing, whole
from tests.incident.test_records import record as drop_record

CODE = "policy-drop"
RULES = """table inet filter {{
	chain forward {{
		type filter hook forward priority 0; policy accept;
		{rule}
	}}
}}
table ip nat {{
	chain postrouting {{
		type nat hook postrouting priority 100; policy accept;
		ip saddr 10.244.0.0/24 oifname "eth0" masquerade
	}}
}}
"""


def blocked(*times: float, n: int = 0) -> Conversation:
    """Pod number *n* tries port 8080 in vain."""
    return vanishing(connection(n, server="192.0.2.100:8080"), *(times or (0, 1, 3)))


def allowed(at: float = 0.5, n: int = 4, **changes: str) -> Conversation:
    """Another pod reaches port 80 of the same address."""
    return whole(connection(n, **changes), at)


def rules(folder: Path, rule: str) -> None:
    """Write `nft list ruleset` with this rule in the forward chain."""
    folder.mkdir(exist_ok=True)
    (folder / "nft-ruleset.txt").write_text(RULES.format(rule=rule))


def test_a_port_that_never_passes(tmp_path: Path) -> None:
    """Port 8080 never passes, port 80 does meanwhile, and conntrack counted nothing."""
    counters(tmp_path)
    analysis = judged(tmp_path, blocked(), blocked(0.2, 1.2, n=1), allowed())

    assert [CODE] * 2 == causes(analysis)
    for finding in findings(analysis):
        assert "likely" == finding.confidence
        assert (5, 0, None) == tuple(finding.facts[name] for name in ("lost_alike", "passed_alike", "rule"))
        assert [
            "5 attempts to this destination and port vanished here and 0 passed; 3 to other destinations passed",
            "drop rose by 0, insert_failed by 0",
        ] == [one.says for one in finding.evidence]
        assert {"conntrack-table-full", "snat-port-race", "next-hop-unresolved", "lost outside the node"} == {
            e.cause for e in finding.excluded
        }


def test_one_connection_is_enough(tmp_path: Path) -> None:
    """Its attempts all vanish; so it is in UDP."""
    counters(tmp_path)
    udp = vanishing(connection(1, server="192.0.2.100:9999", proto="udp"), 10, 11)
    analysis = judged(tmp_path, blocked(), allowed(), udp, allowed(10.5, n=5, proto="udp"))

    assert [CODE] * 2 == causes(analysis)


def test_without_counters_it_is_possible(tmp_path: Path) -> None:
    """Nobody says that conntrack dropped nothing."""
    analysis = judged(tmp_path, blocked(), allowed())

    assert [(CODE, "possible", 1)] == [(f.cause, f.confidence, len(f.evidence)) for f in findings(analysis)]


def test_a_policy_among_races(tmp_path: Path) -> None:
    """Each loss has its own cause; the race moved the counters, so only its rule names the policy."""
    loser = whole(vanishing(connection(2, pod="10.244.0.13:3000", nat="192.0.2.10:9"), 0.3), 1.3)
    winner = whole(connection(3, pod="10.244.0.14:3000", nat="192.0.2.10:3000"), 0.30002)
    for name, expected in (("without", "unknown"), ("with", CODE)):
        counters(tmp_path / name, insert_failed=1, drop=1)
        if name == "with":
            rules(tmp_path / name, "tcp dport 8080 counter packets 3 bytes 180 drop")

        assert [expected, "snat-port-race"] == causes(judged(tmp_path / name, blocked(), loser, winner))


def test_the_rule_is_named(tmp_path: Path) -> None:
    """Walked through the rules, the packet is dropped by one of them."""
    rules(tmp_path, "tcp dport 8080 counter packets 3 bytes 180 drop")
    (finding,) = findings(judged(tmp_path, blocked(), allowed()))

    assert (CODE, "proven") == (finding.cause, finding.confidence)
    assert "tcp dport 8080" in finding.facts["rule"]
    assert finding.evidence[0].says.startswith("the SYN matches this rule: ")
    assert "it counted 3 packets" in finding.evidence[0].says
    assert "kubectl get networkpolicy --all-namespaces" == finding.remedies[-1].command


def test_a_rule_that_refuses(tmp_path: Path) -> None:
    """Nobody saw its error or RST: it is that rule all the same, and it drops nothing."""
    rules(tmp_path, "tcp dport 8080 reject")

    assert ["policy-reject"] == causes(judged(tmp_path, blocked(), allowed()))


def test_it_died_elsewhere(tmp_path: Path) -> None:
    """A rule would drop it, but the kernel recorded that it died in another hook."""
    rules(tmp_path, "tcp dport 8080 drop")
    talk = blocked()
    drop_record(tmp_path, talk, 0, 1, 3, stack="POSTROUTING")

    (finding,) = findings(judged(tmp_path, talk, allowed()))

    assert (CODE, "possible", None) == (finding.cause, finding.confidence, finding.facts["rule"])


def test_a_rule_behind_the_rule(tmp_path: Path) -> None:
    """What would drop the packet if the rule that dropped it were gone is deleted with it."""
    rules(
        tmp_path, "ip daddr 192.0.2.100 tcp dport 8080 drop # handle 3\n\t\ttcp dport 8080 reject # handle 4"
    )
    (finding,) = findings(judged(tmp_path, blocked(), allowed()))

    assert [
        "nft delete rule inet filter forward handle 4",
        "nft delete rule inet filter forward handle 3",
    ] == [*finding.remedies[0].command.splitlines()]


def test_a_rule_behind_the_rule_for_one_of_two(tmp_path: Path) -> None:
    """Of two pods that one rule drops a second rule is about one: the fix of each is its own, whichever came first."""
    rules(tmp_path, "tcp dport 8080 drop # handle 3\n\t\tip saddr 10.244.0.12 tcp dport 8080 drop # handle 4")
    told = findings(judged(tmp_path, blocked(), blocked(0.2, 1.2, n=1), allowed()))

    assert [1, 2] == [len(finding.remedies[0].command.splitlines()) for finding in told]


@pytest.mark.parametrize(
    ("rule", "exempt", "expected", "why"),
    [
        ("ct state invalid drop", "iifname cni0 tcp dport 8080 notrack", CODE, True),
        ("ct state invalid drop", "tcp dport 9 notrack", "unknown", False),
        ("tcp sport 8080 drop", "tcp dport 9 notrack", CODE, False),
    ],
)
def test_an_answer_without_an_entry(tmp_path: Path, rule: str, exempt: str, expected: str, why: bool) -> None:
    """A rule exempts the request from conntrack, so its answer is INVALID, and a rule drops that; others are not."""
    rules(tmp_path, rule)
    with (tmp_path / "nft-ruleset.txt").open("a") as file:
        file.write(
            "table inet raw {\n\tchain pre {\n\t\ttype filter hook prerouting priority -300; policy accept;\n"
            f"\t\t{exempt}\n\t}}\n}}\n"
        )
    talk = connection(server="192.0.2.100:8080", nat=None)
    talk.syn(0)
    for at in (0.01, 1, 3):
        talk.synack(at).only_at("eth0")
    (finding,) = findings(judged(tmp_path, talk, allowed()))

    assert ("reply-vanished", expected) == (finding.kind, finding.cause)
    assert why == any(
        "INVALID, since it has no entry for it: a rule exempts the request" in one.says
        for one in finding.evidence
    )


def test_as_many_refused_elsewhere(tmp_path: Path) -> None:
    """Another interface's refusals are by chance as many as the packets that the rule dropped."""
    counters(tmp_path, drop=3)
    rules(tmp_path, "tcp dport 8080 drop")
    (finding,) = findings(judged(tmp_path, blocked(), allowed()))

    assert CODE == finding.cause
    assert "conntrack counted no drop" not in [e.because for e in finding.excluded]


def test_a_rule_for_one_pod(tmp_path: Path) -> None:
    """Others reach the same port: only the rules can tell."""
    for name, expected in (("without", "unknown"), ("with", CODE)):
        if name == "with":
            rules(tmp_path / name, "ip saddr 10.244.0.11 tcp dport 8080 drop")
        analysis = judged(tmp_path / name, blocked(), allowed(server="192.0.2.100:8080"), allowed(0.7, n=5))

        assert [expected] == causes(analysis)


def test_rules_that_would_drop_what_passed(tmp_path: Path) -> None:
    """They are of another node, or of another time."""
    rules(tmp_path, "ip saddr != 10.99.0.0/16 drop")
    never = vanishing(connection(server="198.51.100.7:80"), 0)

    assert ["unknown"] == causes(judged(tmp_path, never, allowed()))


def test_rules_against_what_passed_later(tmp_path: Path) -> None:
    """The same connection gets through a second later: the rule did not lose the first attempt."""
    rules(tmp_path, "tcp dport 8080 drop")
    talk = whole(blocked(0), 1)

    assert ["unknown"] == causes(judged(tmp_path, talk, allowed()))


def test_rules_that_accept_it(tmp_path: Path) -> None:
    """The rules are there and let the packet pass: it was lost by something else."""
    counters(tmp_path)
    rules(tmp_path, "tcp dport 25 drop")

    assert ["unknown"] == causes(judged(tmp_path, blocked(), allowed()))


def _passes_once(talk: Conversation, folder: Path) -> list[Conversation]:
    return [whole(talk, 7)]


def _passes_for_another(talk: Conversation, folder: Path) -> list[Conversation]:
    return [talk, allowed(7, n=5, server=talk.server)]


def _single_attempt(talk: Conversation, folder: Path) -> list[Conversation]:
    talk.sent = talk.sent[:1]
    return [talk]


def _clashes_counted(talk: Conversation, folder: Path) -> list[Conversation]:
    counters(folder, insert_failed=3, drop=3)
    return [talk]


def _unlike(talk: Conversation, folder: Path) -> list[Conversation]:
    talk.server = "198.51.100.7:8080"  # no port of that address passes: it may be another way, or none
    return [talk]


def _capture_lost_packets(talk: Conversation, folder: Path) -> list[Conversation]:
    (folder / "tcpdump-eth0.log").write_text(
        "tcpdump: listening on eth0, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n"
        "1 packets captured\n31 packets received by filter\n30 packets dropped by kernel\n"
    )
    return [talk]


def _inwards(talk: Conversation, folder: Path) -> list[Conversation]:
    talks = []
    for n, (port, times) in enumerate(((8080, (0, 1, 3)), (80, (0.5,)))):
        inward = Conversation(
            pod=f"10.244.0.11:{port}", server=f"198.51.100.7:4000{n}", way="veth-a cni0 | eth0"
        )
        for at in times:
            sent = inward.send("S", by_pod=False, at=at, seq=50 + n)
            if port == 8080:
                sent.lost_after("eth0")
        if port == 80:
            inward.send("SA", ack=51 + n)
        talks.append(inward)
    return talks


@pytest.mark.parametrize(
    "miss",
    [
        _passes_once,
        _passes_for_another,
        _single_attempt,
        _clashes_counted,
        _unlike,
        _capture_lost_packets,
        _inwards,
    ],
)
def test_near_misses(miss: Callable[[Conversation, Path], list[Conversation]], tmp_path: Path) -> None:
    """One attempt passed, one attempt only, counters moved ...: no policy, but nothing else either."""
    counters(tmp_path)
    talks = miss(blocked(), tmp_path)

    assert ["unknown"] == causes(judged(tmp_path, *talks, allowed()))


def test_a_link_that_went_down(tmp_path: Path) -> None:
    """The other port passed before and after, not meanwhile."""
    counters(tmp_path)
    analysis = judged(tmp_path, blocked(), allowed(-1), allowed(4, n=5))

    assert ["unknown"] == causes(analysis)


def test_other_ports_of_a_service(tmp_path: Path) -> None:
    """Behind another port of a service is another endpoint, on another way: it says nothing of this one."""
    counters(tmp_path)
    service = vanishing(connection(server="10.96.0.1:8080"), 0, 1, 3)
    other = allowed(server="10.96.0.1:80", dnat="192.0.2.100:80")

    assert ["unknown"] == causes(judged(tmp_path, service, other))


def test_ports_that_may_be_exhausted(tmp_path: Path) -> None:
    """Established connections to the same port go on: without counters it may be that they hold all ports."""
    held = whole(connection(6, server="192.0.2.100:8080"), -20)
    for at in (0, 1, 2):
        held.data(100, at)
    analysis = judged(
        tmp_path, blocked(), allowed(), held, begin=dict.fromkeys(("veth-g", "cni0", "eth0"), -10)
    )

    assert ["unknown"] == causes(analysis)


def test_another_uplink(tmp_path: Path) -> None:
    """The same destination passes by the second uplink."""
    counters(tmp_path)
    second = allowed(5, n=5, server="192.0.2.100:8080", way="veth-f cni0 | eth1")

    assert CODE not in causes(judged(tmp_path, blocked(), allowed(), second))


def _counting(
    folder: Path,
    rise: int | None,
    *,
    rule: str = "tcp dport 8080 limit rate over 2/second",
    verdict: str = "drop",
    since: int = 5,
) -> None:
    """Write the rules from before and after; the rule that a capture cannot check counted so many."""
    folder.mkdir(exist_ok=True)
    for when, count in (("before", since), ("after", since + (rise or 0))):
        counter = "" if rise is None else f"counter packets {count} bytes 300"
        text = RULES.format(rule=f"{rule} {counter} {verdict}")
        (folder / f"nft-{when}.txt").write_text(text)


@pytest.mark.parametrize(
    ("rise", "expected"),
    [
        (3, [(CODE, "likely")]),
        (0, [("unknown", "likely")]),
        (None, [("unknown", "likely")]),
    ],
)
def test_a_rule_that_a_capture_cannot_check(
    rise: int | None, expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    """Whether a rate was too high no packet shows; that the rule counted meanwhile does, and that it did not."""
    _counting(tmp_path, rise)
    counters(tmp_path)
    analysis = judged(tmp_path, blocked())

    assert expected == [(f.cause, f.confidence) for f in findings(analysis)]


@pytest.mark.parametrize("rise", [3, 0])
@pytest.mark.parametrize("verdict", ["queue to 1", "queue flags bypass to 1"])
def test_a_queue_that_no_program_reads(verdict: str, rise: int, tmp_path: Path) -> None:
    """The kernel drops what it cannot hand over; whether a program let it pass no listing shows, so the count tells."""
    _counting(tmp_path, rise, rule="tcp dport 8080", verdict=verdict, since=0)
    counters(tmp_path)
    (finding,) = findings(judged(tmp_path, blocked()))

    assert ((CODE if rise else "unknown"), "likely") == (finding.cause, finding.confidence)


def _ports(folder: Path, names: str) -> None:
    """Write rules that let pass only what comes from the bridge."""
    folder.mkdir(exist_ok=True)
    text = RULES.replace("priority 0; policy accept", "priority 0; policy drop")
    (folder / "nft-ruleset.txt").write_text(text.format(rule=f'iifname "{names}" accept'))


def test_a_port_of_a_bridge_that_was_not_captured(tmp_path: Path) -> None:
    """Rules call a port by its bridge: where nobody knows whether there is one, they prove nothing."""
    _ports(tmp_path, "docker0")
    talk = vanishing(connection(way="veth-a | eth0"), 0, 1, after="veth-a")
    analysis = judged(tmp_path, talk, points=("veth-a", "eth0"))

    assert CODE not in causes(analysis)


def test_a_device_that_is_no_port(tmp_path: Path) -> None:
    """Near miss: a device of Calico's is in no bridge, and the policy drops what comes from it."""
    _ports(tmp_path, "docker0")
    talk = vanishing(connection(way="cali1a | eth0"), 0, 1, after="cali1a")

    assert [(CODE, "proven")] == [
        (f.cause, f.confidence) for f in findings(judged(tmp_path, talk, points=("cali1a", "eth0")))
    ]


LOGGED = (
    "Mar 10 09:00:00 node7 kernel: [ 4711.000001] {prefix}IN=cni0 OUT=eth0 MAC=02:00 SRC=10.244.0.{host} DST=192.0.2.100 LEN=60 "
    "TTL=63 PROTO=TCP SPT=20000 DPT=8080 SEQ=1 SYN URGP=0 \n"
)


@pytest.mark.parametrize(
    ("prefix", "host", "expected"),
    [
        ("[UFW BLOCK] ", 11, (CODE, "likely")),
        ("[UFW AUDIT] ", 11, ("unknown", "likely")),
        ("[UFW BLOCK] ", 99, ("unknown", "likely")),
    ],
)
def test_a_rule_logged_it(tmp_path: Path, prefix: str, host: int, expected: tuple[str, str]) -> None:
    """A rule whose prefix says so logged this very packet: likely; another prefix, or another packet, tells nothing."""
    lost = vanishing(connection(server="192.0.2.100:8080"), 0, 1, 3)
    port = lost.pod.rpartition(":")[2]
    text = LOGGED.format(prefix=prefix, host=host).replace("SPT=20000", f"SPT={port}").replace(" SEQ=1", "")
    (tmp_path / "kern.log.txt").write_text(text)
    (finding,) = findings(judged(tmp_path, lost))

    assert expected == (finding.cause, finding.confidence)


def test_a_queue_that_dropped(tmp_path: Path) -> None:
    """Where the interface's queue dropped packets meanwhile, that is what is told, and no rule is guessed."""
    queue = "qdisc tbf 1: root refcnt 3\n Sent {0} bytes {0} pkt (dropped {0}, overlimits 0 requeues 0)\n"
    for when, count in (("before", 3), ("after", 9)):
        (tmp_path / f"tc-{when}.txt").write_text(queue.format(count))
    analysis = judged(tmp_path, blocked(), allowed())

    assert [("queue-full", "possible")] == [(f.cause, f.confidence) for f in findings(analysis)]
