"""The kernel's lines about conntrack, in every wording and with every kind of time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from analyzer.evidence.facts import Caveat, LogLine
from analyzer.evidence.sources import kernel_log

FULL = "nf_conntrack: nf_conntrack: table full, dropping packet"
PACKET = (
    "nf_ct_proto_6: ignored ACK under lower bound 10150474 (possible overly delayed) IN=s0 OUT= "
    "MAC=02:1b:00:00:00:01:02:1b:00:00:00:02:08:00 SRC=192.0.2.2 DST=192.0.2.1 LEN=40 TOS=0x00 PREC=0x00 TTL=64 ID=1348 DF "
    "PROTO=TCP SPT=80 DPT=40000 SEQ=5001 ACK=10150474 WINDOW=1352 RES=0x00 ACK URGP=0 "
)
MOMENT = int(datetime(2026, 11, 20, 10, 26, 5, tzinfo=UTC).timestamp()) * 10**9


def line(text: str) -> LogLine:
    """Parse one line."""
    (found,) = kernel_log.parse(f"{text}\n", "a")
    assert isinstance(found, LogLine)
    return found


@pytest.mark.parametrize(
    ("stamp", "time", "zoned"),
    [
        ("", None, False),
        ("[ 6944.367117] ", None, False),
        ("<4>[ 6944.367117] ", None, False),
        ("kern  :warn  : [ 6944.367117] ", None, False),
        ("[Fri Nov 20 10:26:05 2026] ", MOMENT, False),
        ("2026-11-20T10:26:05,367018+00:00 ", MOMENT + 367018000, True),
        ("2026-11-20T12:26:05+0200 node7 kernel: ", MOMENT, True),
        ("2026-11-20T12:26:05.5+02:00 node7 kernel: ", MOMENT + 500000000, True),
        ("Fri 2026-11-20 10:26:05 UTC node7 kernel: ", MOMENT, True),
        ("Fri 2026-11-20 10:26:05 CET node7 kernel: ", MOMENT, False),
        ("1795170365.000000 node7 kernel: ", MOMENT, True),
        ("Nov 20 10:26:05 node7 kernel: ", None, False),
        ("Nov 20 10:26:05 node7 kernel: [38775494.393661] ", None, False),
        ("[Fri Nov 31 10:26:05 2026] ", None, False),
        ("[Fre Nov 20 10:26:05 2026] ", MOMENT, False),
        ("[Fr Nox 20 10:26:05 2026] ", None, False),
        ("2026-13-20T10:26:05Z node7 kernel: ", None, False),
    ],
)  # fmt: skip
def test_times(stamp: str, time: int | None, zoned: bool) -> None:
    """A time is what the line tells for sure: without a year there is none."""
    found = line(stamp + FULL)
    assert ("table-full", time, zoned) == (found.about, found.time, found.zoned)


def test_table_full() -> None:
    """With both prefixes, and with the namespace that newer kernels name."""
    for said in (
        "table full, dropping packet",
        "nf_conntrack: table full in netns 4026532460, dropping packet",
    ):
        assert "table-full" == line(f"[ 6944.367117] nf_conntrack: {said}").about


def test_packet() -> None:
    """The packet's fields are kept; addresses are those before NAT."""
    found = line(f"[12.5] {PACKET}")
    assert ("packet", "ignore", "ack-under-lower-bound", 10150474) == (
        found.about, found.verdict, found.test, found.bound,
    )  # fmt: skip
    assert ("tcp", "192.0.2.2", "192.0.2.1", 80, 40000, 5001, 10150474, "s0", "") == (
        found.proto, found.src, found.dst, found.sport, found.dport, found.seq, found.ack, found.iif, found.oif,
    )  # fmt: skip
    assert "ignored ACK under lower bound 10150474 (possible overly delayed)" == found.says


@pytest.mark.parametrize(
    ("says", "verdict", "test", "bound"),
    [
        ("SEQ is over the upper bound (over the window of the receiver)", "invalid", "seq-over-upper-bound", None),
        ("SEQ is over upper bound 4711 (over the window of the receiver)", "invalid", "seq-over-upper-bound", 4711),
        ("5 bytes more than expected", None, "seq-over-upper-bound", 5),
        ("SEQ is under the lower bound (already ACKed data retransmitted)", "invalid", "seq-under-lower-bound", None),
        ("SEQ is under lower bound 4711 (already ACKed data retransmitted)", "ignore", "seq-under-lower-bound", 4711),
        ("ACK is over the upper bound (ACKed data not seen yet)", "invalid", "ack-over-upper-bound", None),
        ("ACK is over upper bound 4711 (ACKed data not seen yet)", "invalid", "ack-over-upper-bound", 4711),
        ("ACK is under the lower bound (possible overly delayed ACK)", "invalid", "ack-under-lower-bound", None),
        ("ignored ACK under lower bound 4711 (possible overly delayed)", "ignore", "ack-under-lower-bound", 4711),
        ("invalid state", "invalid", "", None),
        ("packet (index 3) in dir 0 invalid, state SYN_SENT", "invalid", "", None),
        ("invalid packet ignored in state ESTABLISHED", "ignore", "", None),
        ("packet (index 0) in dir 0 ignored, state ESTABLISHED", "ignore", "", None),
        ("invalid rst", "invalid", "", None), ("invalid RST", "invalid", "", None), ("invalid new", "invalid", "", None),
        ("challenge-ack ignored", "ignore", "", None), ("challenge-ACK ignored", "ignore", "", None),
        ("bad checksum", "invalid", "bad-checksum", None), ("bad TCP checksum", "invalid", "bad-checksum", None),
        ("invalid tcp flag combination", "invalid", "", None), ("truncated packet", "invalid", "", None),
        ("truncated/malformed packet", "invalid", "", None),
        ("packet (index 2, dir 0) response for index 4 lower timeout to 75000", None, "", None),
        ("lowered timeout to UNACK", None, "", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["nf_ct_tcp: ", "nf_ct_proto_6: "])
def test_wordings(prefix: str, says: str, verdict: str | None, test: str, bound: int | None) -> None:
    """Every kernel's wording tells the test; only some tell that the packet was INVALID."""
    found = line(
        f"{prefix}{says} IN= OUT= SRC=192.0.2.2 DST=192.0.2.1 LEN=40 PROTO=TCP SPT=80 DPT=1 SEQ=1 ACK=2"
    )
    assert (says, verdict, test, bound) == (found.says, found.verdict, found.test, found.bound)
    assert 80 == found.sport


def test_ipv6_and_errors() -> None:
    """IPv6 comes at full length; a quoted packet comes after the one that quotes it."""
    found = line(
        "nf_ct_proto_58: bad checksum IN= OUT= SRC=2001:0db8:0000:0000:0000:0000:0000:0001 DST=2001:0db8::2 LEN=80 TC=0 "
        "HOPLIMIT=64 FLOWLBL=0 PROTO=ICMPv6 TYPE=1 CODE=4 [SRC=2001:0db8::9 DST=2001:0db8::8 PROTO=UDP SPT=5 DPT=6 ]"
    )
    assert ("2001:db8::1", "2001:db8::2", "icmpv6") == (found.src, found.dst, found.proto)


def test_suppressed() -> None:
    """What the rate limit left out is counted."""
    for text in ("net_ratelimit: 18 callbacks suppressed", "nf_log_packet: 18 callbacks suppressed"):
        assert ("suppressed", 18) == (line(text).about, line(text).count)


def test_cut_short() -> None:
    """A line cut anywhere gives what it still tells."""
    for cut in range(len("nf_ct_proto_6: i"), len(PACKET)):
        found = line(PACKET[:cut])
        assert found.src in ("", "192.0.2.2", *(f"192.0.2{tail}" for tail in ("", ".")))
        assert found.seq in (None, 5, 50, 500, 5001)
    assert "" == line(PACKET.replace("192.0.2.2", "300.0.2.2")).src
    assert line(PACKET.replace("SPT=80", "SPT=99999")).sport is None


def test_other_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log without conntrack is a log; very many lines are counted."""
    log = "[    0.000000] Linux version 6.1.0\n[    1.500000] nf_conntrack version 0.5.0 (65536 buckets, 262144 max)\n"
    assert kernel_log.recognises(log)
    assert [] == list(kernel_log.parse(log, "a"))
    monkeypatch.setattr(kernel_log, "MOST", 2)
    *kept, caveat = kernel_log.parse(f"{FULL}\n" * 5, "a")
    assert 2 == len(kept)
    assert Caveat(says="a: 3 lines about packets beyond the first 2 were left out") == caveat


def test_recognised() -> None:
    """A journal is recognised by its lines, other text is not."""
    for text in (
        "Nov 20 10:26:05 node7 systemd[1]: Started.\n",
        "2026-11-20T10:26:05+0000 node7 kernel: x\n",
        f"{FULL}\n",
    ):
        assert kernel_log.recognises(text)
    for text in ("[0:0] -A INPUT\n", "Dear diary: nothing\n", "[12.5] x\n", "1795170365.817204 x\n"):
        assert not kernel_log.recognises(text)


@pytest.mark.parametrize(
    ("stamp", "dated"),
    [("[Di Mär 10 09:00:00 2026] ", True), ("[mar. mars 10 09:00:00 2026] ", True), ("Mär 10 09:00:00 node kernel: ", False),
     ("févr. 10 09:00:02 node kernel: ", False)],
)  # fmt: skip
def test_other_languages(stamp: str, dated: bool) -> None:
    """The journal and dmesg write months in the terminal's language."""
    (line,) = kernel_log.parse(f"{stamp}nf_conntrack: nf_conntrack: table full, dropping packet\n", "a")
    assert isinstance(line, LogLine)
    assert dated == (line.time is not None)
    assert dated == (line.since_new_year is None)
