"""`conntrack -L` and /proc/net/nf_conntrack, as they were recorded and as they get damaged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analyzer.evidence.facts import Caveat
from analyzer.evidence.sources import conntrack_table
from analyzer.evidence.table import Entry, Table

PLAIN = (
    "tcp      6 431999 ESTABLISHED src=10.1.0.2 dst=192.0.2.2 sport=40000 dport=80 src=192.0.2.2 dst=192.0.2.1"
    " sport=80 dport=40000 [ASSURED] mark=0 use=1\n"
)
SYN = (
    "tcp      6 119 SYN_SENT src=10.1.0.4 dst=192.0.2.2 sport=41000 dport=80 [UNREPLIED] src=192.0.2.2"
    " dst=192.0.2.1 sport=80 dport=2003 mark=0 use=1\n"
)
PROC6 = (
    "ipv6     10 udp      17 29 src=fd00:0010:0244:0000:0000:0000:0000:000b dst=2001:0db8:0000:0000:0000:0000:0000:0100"
    " sport=5353 dport=53 [UNREPLIED] src=2001:0db8:0000:0000:0000:0000:0000:0100"
    " dst=2001:0db8:0000:0000:0000:0000:0000:0010 sport=53 dport=5353 mark=0 zone=0 use=2\n"
)
ICMP = (
    "icmp     1 29 src=10.244.0.11 dst=192.0.2.100 type=8 code=0 id=4660 src=192.0.2.100 dst=192.0.2.10 type=0 code=0"
    " id=4660 mark=0 use=1\n"
)
OFFLOAD = (
    "tcp      6 src=10.1.0.2 dst=192.0.2.2 sport=40000 dport=80 src=192.0.2.2 dst=192.0.2.1 sport=80 dport=40000"
    " [{}] mark=0 secctx=null zone=0 use=3\n"
)
SHOWN = "conntrack v1.4.7 (conntrack-tools): 4 flow entries have been shown.\n"


def tables(text: str) -> list[Table]:
    """Parse what is recognised and wholly understood."""
    assert conntrack_table.recognises(text)
    found = list(conntrack_table.parse(text, "a"))
    assert all(isinstance(fact, Table) for fact in found)
    return [fact for fact in found if isinstance(fact, Table)]


def test_plain() -> None:
    """State, time left, flags and both tuples are kept."""
    (table,) = tables(PLAIN + SYN + SHOWN)
    assert Entry(
        proto="tcp", state="ESTABLISHED", timeout=431999, assured=True, unreplied=False, offload=False,
        orig_src="10.1.0.2", orig_dst="192.0.2.2", orig_sport=40000, orig_dport=80,
        reply_src="192.0.2.2", reply_dst="192.0.2.1", reply_sport=80, reply_dport=40000,
    ) == table[0]  # fmt: skip
    assert ("SYN_SENT", False, True, 2003) == (
        table[1].state, table[1].assured, table[1].unreplied, table[1].reply_dport,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["conntrack-L.txt", "conntrack-L-extended.txt", "proc-net-nf_conntrack.txt"])
def test_recorded(sample: Callable[[str], str], name: str) -> None:
    """Counters, marks, zones, ids and times do not matter: three formats tell the same entries."""
    (table,) = tables(sample(name))
    assert {
        ("tcp", "ESTABLISHED"): 1, ("tcp", "SYN_SENT"): 1, ("tcp", "CLOSE"): 1, ("tcp", "TIME_WAIT"): 1,
        ("udp", ""): 1, ("unknown", ""): 1,
    } == table.count_by("proto", "state")  # fmt: skip
    assert list(tables(sample("conntrack-L.txt"))[0]) == list(table)
    assert [True, True, True, False, True, False] == [entry.unreplied for entry in table]


def test_ipv6_of_proc() -> None:
    """Addresses at full length are brought to their short form."""
    (entry,) = tables(PROC6)[0]
    assert ("fd00:10:244::b", "2001:db8::100", "2001:db8::10") == (
        entry.orig_src,
        entry.orig_dst,
        entry.reply_dst,
    )


def test_icmp() -> None:
    """The id stands where ports do."""
    (entry,) = tables(ICMP)[0]
    assert ("icmp", 4660, 0, 4660) == (entry.proto, entry.orig_sport, entry.orig_dport, entry.reply_sport)


@pytest.mark.parametrize("flag", ["OFFLOAD", "HW_OFFLOAD"])
def test_offload(flag: str) -> None:
    """An entry in a flowtable has neither state nor time left."""
    (entry,) = tables(OFFLOAD.format(flag))[0]
    assert (True, None, "") == (entry.offload, entry.timeout, entry.state)


def test_listings_in_a_row() -> None:
    """IPv4 and IPv6 are one listing; a second one of IPv4 is another."""
    assert [2] == list(map(len, tables(PLAIN + SHOWN + PROC6 + SHOWN)))
    assert [2, 1] == list(map(len, tables(PLAIN + SYN + SHOWN + SYN + SHOWN)))


def test_cut_short() -> None:
    """A line cut anywhere before its use count is a caveat, never an entry with other ports."""
    for cut in range(PLAIN.index("src=") + 4, PLAIN.index("use=1") + 4):
        caveat, table = conntrack_table.parse(SYN + PLAIN[:cut], "a")
        assert isinstance(caveat, Caveat)
        assert caveat.says.startswith("a: an entry was not understood and left out, the first: 'tcp")
        assert isinstance(table, Table)
        assert ["SYN_SENT"] == [entry.state for entry in table]


def test_impossible_values() -> None:
    """Ports beyond 65535 and addresses that are none are caveats."""
    for wrong in (
        PLAIN.replace("sport=40000", "sport=70000"),
        PLAIN.replace("src=10.1.0.2", "src=10.1.0.777"),
    ):
        (caveat,) = conntrack_table.parse(wrong, "a")
        assert isinstance(caveat, Caveat)


def test_long_listing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit entries are only counted."""
    monkeypatch.setattr(conntrack_table, "MOST", 3)
    (table,) = tables(PLAIN * 10)
    assert (3, 7) == (len(table), table.omitted)


def test_empty_listing() -> None:
    """A listing without entries is recognised, and is none."""
    assert [] == tables(SHOWN.replace("4", "0"))


def test_other_text() -> None:
    """Events and the counters are not taken for it."""
    event = f"[1795170365.817204]\t    [NEW] {SYN}"
    for text in (event, "cpu=0   \tfound=1 invalid=0 \n", "tcp 6 things src=here dst=there \n"):
        assert not conntrack_table.recognises(text)
