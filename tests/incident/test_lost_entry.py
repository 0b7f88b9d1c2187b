"""Entries that go while their connection lives: deleted or expired, by the log, the lifetime and the pause."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from analyzer.incident.lost_entry import longer
from tests.conversation import START, Conversation, bystander, record

TUPLES = "src=10.244.0.11 dst=192.0.2.100 sport=43286 dport=5432 src=192.0.2.100 dst=192.0.2.10 sport=5432 dport=43286 [ASSURED]"


def talks(pause: float, *, nat: str = "192.0.2.10:17342", reset: bool = True) -> list[Conversation]:
    """A connection that is silent for a while, and leaves from another port then."""
    ends = {"pod": "10.244.0.11:43286", "server": "192.0.2.100:5432"}
    talk = Conversation(**ends, nat="192.0.2.10:43286")
    talk.syn(0)
    talk.accept()
    talk.data(300)
    talk.reply(800, at=20)
    rest = Conversation(**ends, nat=nat)
    rest.send("PA", 90, at=pause, seq=talk.isn + 301, ack=talk.server_isn + 801)
    if reset:
        rest.send("R", by_pod=False, seq=talk.server_isn + 801, window=0, options=[])
    return [talk, rest]


def destroyed(folder: Path, at: float, by: str = "") -> None:
    """Conntrack's own log."""
    folder.mkdir(exist_ok=True)
    moment = f"{START // 10**9 + int(at)}.{round(at % 1 * 10**6):06d}"
    (folder / "conntrack-E.txt").write_text(f"[{moment}]\t[DESTROY] tcp      6 {TUPLES}{by}\n")


def analysed(folder: Path, *some: Conversation) -> Analysis:
    """Analyse these conversations."""
    return analyze(record(folder, *some, bystander(-1), bystander(95)))


def named(analysis: Analysis) -> list[tuple[str, str, str]]:
    """Kind, cause and confidence of every incident."""
    return [(i.kind, i.cause, i.confidence) for i in analysis.incidents]


def test_another_port_in_the_middle(tmp_path: Path) -> None:
    """Without the log: silent for less than an entry lives by default; the node's own timeout is not known."""
    analysis = analysed(tmp_path, *talks(60))
    (finding,) = analysis.incidents[0].findings

    assert [("misdelivered", "entry-deleted", "possible")] == named(analysis)
    assert "192.0.2.10:17342" in finding.evidence[0].says
    assert (
        "it had been idle for 40 s, less than its entry lives by default: something"
        in finding.evidence[1].says
    )
    assert any("reset it" in e.says for e in finding.evidence)
    assert [*3 * ["context"], "offender", "context"] == [one.role for one in finding.passages]
    assert (2, 40) == (finding.facts["packets"], round(finding.facts["pause_s"]))  # type: ignore[call-overload]
    assert ["", "leaves from 192.0.2.10:17342 to 192.0.2.100:5432"] == [
        one.note for one in finding.passages[2:4]
    ]


@pytest.mark.parametrize(("nat", "reset"), [("192.0.2.10:17342", True), ("192.0.2.10:1024", False)])
def test_what_is_drawn(nat: str, reset: bool, tmp_path: Path) -> None:
    """Three packets before and six from the first one on that left from the other port, which may be lower than the server's."""
    first, rest = talks(60, nat=nat, reset=reset)
    for n in range(7):
        rest.send("PA", 10, by_pod=bool(n % 2), seq=90_000 + n)
    (finding,) = analysed(tmp_path, first, rest).incidents[0].findings
    sent = [*first.sent[-3:], *rest.sent[:6]]

    assert [one.outward for one in sent] == [one.outward for one in finding.passages]
    assert [*3 * ["context"], "offender", *5 * ["context"]] == [one.role for one in finding.passages]
    assert (len(first.sent) + len(rest.sent) - 9, len(rest.sent)) == (
        finding.omitted,
        finding.facts["packets"],
    )
    assert ("192.0.2.10:43286 to 192.0.2.100:5432", f"{nat} to 192.0.2.100:5432") == (
        finding.facts["old"],
        finding.facts["new"],
    )
    assert reset == any("reset it" in one.says for one in finding.evidence)


def test_the_first_one_was_missed_inside(tmp_path: Path) -> None:
    """The next that both points have tells it as well."""
    first, rest = talks(60)
    rest.sent[0].only_at("eth0")
    rest.data(30)
    (finding,) = analysed(tmp_path, first, rest).incidents[0].findings

    assert rest.sent[1].time == pytest.approx(finding.time, abs=20_000)


@pytest.mark.parametrize(
    ("by", "says"), [("", ""), (" [USERSPACE] portid=77 progname=conntrack", " by a program")]
)
def test_the_log_shows_it(by: str, says: str, tmp_path: Path) -> None:
    """The [DESTROY] came while the entry had days to live."""
    destroyed(tmp_path, 58.5, by)
    analysis = analysed(tmp_path, *talks(60))
    (finding,) = analysis.incidents[0].findings

    assert [("misdelivered", "entry-deleted", "proven")] == named(analysis)
    assert finding.evidence[1].says.startswith(f"conntrack destroyed the entry{says} 38.5 s after")
    assert () == finding.remedies


@pytest.mark.parametrize(
    ("at", "after"),
    [(18.5, ""), (19.5, "0 ns"), (20.4, "400 ms"), (59.5, "39.5 s"), (60.5, "40.5 s"), (61.5, "")],
)
def test_when_the_log_shows_it(at: float, after: str, tmp_path: Path) -> None:
    """Between the last packet of the old entry and the first of the new one, by a second more or less."""
    destroyed(tmp_path, at)
    analysis = analysed(tmp_path, *talks(60))

    assert ["proven" if after else "possible"] == [one for *_, one in named(analysis)]
    assert (f" {after} after " in analysis.incidents[0].findings[0].evidence[1].says) == bool(after)


@pytest.mark.parametrize(
    ("lifetime", "pause", "tcp", "values"),
    [(1, 0.5, True, [1, 1, 86_400]), (300, 400, True, [150, 150, 86_400]), (50_000, 60_000, True, [300, 300, 120_000]),
     (100_000, 1.0, True, [300, 300, 200_000]), (30, 31.2, False, [64]), (30, 5.0, False, [60])],
)  # fmt: skip
def test_longer(lifetime: int, pause: float, tcp: bool, values: list[int]) -> None:
    """Twice the lifetime and the pause, of TCP a day at least; keepalives twice in a lifetime, of five minutes at most."""
    commands = [one.command or "" for one in longer("x", lifetime, pause, tcp=tcp)]

    assert values == [int(one) for command in commands for one in re.findall(r"=(\d+)", command)]


@pytest.mark.parametrize(
    ("flags", "state", "lifetime"), [("FA", "time_wait", 120), ("R", "close", 10), ("A", "established", 0)]
)
def test_an_entry_of_a_closing_connection(flags: str, state: str, lifetime: int, tmp_path: Path) -> None:
    """It lives as long as its state lets it; an established one for days."""
    first, rest = talks(180)
    first.send(flags, at=30)
    (incident,) = analyze(record(tmp_path, first, rest, bystander(-1), bystander(300))).incidents
    (finding,) = incident.findings

    assert ("entry-expired" if lifetime else "entry-deleted") == incident.cause
    if lifetime:
        assert (
            f"lives {lifetime} s after its last packet (net.netfilter.nf_conntrack_tcp_timeout_{state})"
            in finding.evidence[1].says
        )


def test_what_went_no_further_renews_nothing(tmp_path: Path) -> None:
    """The pause is from the last packet that left by the old entry."""
    first, rest = talks(60)
    first.data(30, at=50).lost_after("cni0")
    (finding,) = analysed(tmp_path, first, rest).incidents[0].findings

    assert 40 == round(finding.facts["pause_s"])  # type: ignore[call-overload]


def test_another_endpoint_of_a_service(tmp_path: Path) -> None:
    """The new entry may lead to another pod as well: it is the same connection all the same."""
    ends = {"pod": "10.244.0.11:43286", "server": "10.96.0.20:5432"}
    first = Conversation(**ends, dnat="192.0.2.100:5432", nat="192.0.2.10:43286")
    first.syn(0)
    first.accept()
    first.data(300)
    rest = Conversation(**ends, dnat="192.0.2.101:5432", nat="192.0.2.10:17342")
    rest.send("PA", 90, at=60, seq=first.isn + 301, ack=first.server_isn + 1)
    (finding,) = analysed(tmp_path, first, rest).incidents[0].findings

    assert "192.0.2.10:17342 to 192.0.2.101:5432" == finding.facts["new"]


@pytest.mark.parametrize(("lifetime", "cause"), [(35, "entry-expired"), (45, "entry-deleted")])
def test_the_nodes_own_lifetime(lifetime: int, cause: str, tmp_path: Path) -> None:
    """Silent for longer than an entry lives here, it expired; for less, it did not."""
    (tmp_path / "sysctl.txt").write_text(f"net.netfilter.nf_conntrack_tcp_timeout_established = {lifetime}\n")

    analysis = analysed(tmp_path, *talks(60))
    assert [cause] == [cause for _, cause, _ in named(analysis)]
    says = analysis.incidents[0].findings[0].evidence[1].says
    assert (cause == "entry-deleted") == says.endswith("less than its entry lives here: something deleted it")


@pytest.mark.parametrize(
    ("lived", "by", "cause"),
    [(30.1, "", "entry-expired"), (29.5, "", "entry-expired"),
     (28.5, "", "entry-deleted"), (30.1, " [USERSPACE]", "entry-deleted")],
)  # fmt: skip
def test_a_destroy_at_the_end_of_its_life(lived: float, by: str, cause: str, tmp_path: Path) -> None:
    """The log's line comes when the entry's time was over: it expired. Timers of the kernel are a second apart at most."""
    (tmp_path / "sysctl.txt").write_text("net.netfilter.nf_conntrack_tcp_timeout_established = 30\n")
    destroyed(tmp_path, 20 + lived, by)
    analysis = analysed(tmp_path, *talks(60))

    assert [("misdelivered", cause, "proven")] == named(analysis)
    assert (cause == "entry-expired") == bool(analysis.incidents[0].findings[0].remedies)


def test_a_datagram_from_another_port(tmp_path: Path) -> None:
    """The near miss: an entry of UDP lives for seconds, so a new one is what is to be expected."""
    first, rest = talks(60, reset=False)
    for talk in (first, rest):
        talk.proto = "udp"
        talk.sent.clear()
    first.data(b"question", 0)
    first.reply(b"answer")
    rest.data(b"another", 60)
    rest.reply(b"reply")

    assert [] == named(analysed(tmp_path, first, rest))


def test_the_same_port(tmp_path: Path) -> None:
    """The near miss: it goes on as before."""
    assert [] == named(analysed(tmp_path, *talks(60, nat="192.0.2.10:43286", reset=False)))


def test_no_translation_any_more(tmp_path: Path) -> None:
    """The near miss: it goes on with the pod's own address, which is another story."""
    assert {"entry-deleted"}.isdisjoint(
        cause for _, cause, _ in named(analysed(tmp_path, *talks(60, nat="10.244.0.11:43286", reset=False)))
    )


def test_a_new_connection_from_that_port(tmp_path: Path) -> None:
    """The near miss: it begins with a SYN."""
    first, rest = talks(60)
    rest.sent.clear()
    rest.isn = 77_000_000
    rest.syn(60)
    rest.accept()

    assert [] == named(analysed(tmp_path, first, rest))


def test_a_reply_after_the_entrys_life(tmp_path: Path) -> None:
    """The server speaks first after the pause; the host, which has no entry, resets it."""
    (tmp_path / "sysctl.txt").write_text("net.netfilter.nf_conntrack_tcp_timeout_established = 30\n")
    talk, _ = talks(60)
    talk.reset_by_host(talk.reply(100, at=60))

    analysis = analysed(tmp_path, talk)

    assert [("invalid-reset", "entry-expired", "proven")] == named(analysis)
    assert analysis.incidents[0].evidence[1].says.startswith("it was idle for 40 s, and an entry lives 30 s")


def test_a_late_udp_answer(tmp_path: Path) -> None:
    """An answer after more than 30 s meets no entry: it vanishes behind the uplink."""
    talk = Conversation(pod="10.244.0.11:43286", server="192.0.2.100:53", nat="192.0.2.10:43286", proto="udp")
    talk.data(b"question", 0)
    talk.reply(b"answer", 1)
    for at in (200, 230):
        talk.reply(b"another", at).only_at("eth0")
    analysis = analyze(record(tmp_path, talk, bystander(-1), bystander(300)))

    assert [("reply-vanished", "entry-expired", "likely")] == named(analysis)
    assert 199 == round(analysis.incidents[0].findings[0].facts["pause_s"])  # type: ignore[call-overload]


def test_a_late_question(tmp_path: Path) -> None:
    """Near miss: what the pod asks after the entry's life makes a new one; that it was idle does not explain a loss."""
    talk = Conversation(pod="10.244.0.11:43286", server="192.0.2.100:53", nat="192.0.2.10:43286", proto="udp")
    talk.data(b"question", 0)
    talk.reply(b"answer", 1)
    talk.data(b"another", 200).lost_after("cni0")
    analysis = analyze(record(tmp_path, talk, bystander(-1), bystander(300)))

    assert [("udp-vanished", "unknown", "likely")] == named(analysis)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", ("uplink-changed", "likely")),
        ("192.0.2.99", ("uplink-changed", "proven")),
        ("192.0.2.10", ("entry-deleted", "possible")),
    ],
    ids=["nothing tells whose it is", "the node has the new one", "the node still has the old one"],
)
def test_another_address(address: str, expected: tuple[str, str], tmp_path: Path) -> None:
    """MASQUERADE takes the interface's address: if that changed, its entries were forgotten."""
    if address:
        (tmp_path / "ip-addr.txt").write_text(
            "2: eth0: <BROADCAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 1000\n"
            f"    link/ether 02:00:00:00:00:02 brd ff:ff:ff:ff:ff:ff\n    inet {address}/24 scope global eth0\n"
        )
    analysis = analysed(tmp_path, *talks(60, nat="192.0.2.99:43286"))
    says = [one.says for one in analysis.incidents[0].findings[0].evidence]

    assert [("misdelivered", *expected)] == named(analysis)
    assert (expected[1] == "proven") == ("192.0.2.10 is no address of this node any more" in says)
