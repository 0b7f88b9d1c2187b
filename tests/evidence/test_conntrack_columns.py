"""Lines that are read at once say what they say when they are read one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.evidence.conntrack_columns import columns
from analyzer.evidence.facts import Caveat
from analyzer.evidence.sources import conntrack_table
from analyzer.evidence.table import Entry, Table

TCP = (
    "tcp      6 431999 ESTABLISHED src=10.1.0.2 dst=192.0.2.2 sport=40000 dport=80 src=192.0.2.2 dst=192.0.2.1"
    " sport=80 dport=40000 [ASSURED] mark=0 use=1"
)
LINES = (
    TCP,
    "ipv4     2 tcp      6 119 SYN_SENT src=10.1.0.4 dst=192.0.2.2 sport=41000 dport=80 packets=1 bytes=60 [UNREPLIED]"
    " src=192.0.2.2 dst=192.0.2.1 sport=80 dport=2003 packets=0 bytes=0 mark=0 use=1 id=4103",
    "ipv6     10 udp      17 29 src=fd00:0010:0244:0000:0000:0000:0000:000b dst=2001:db8::100 sport=5353 dport=53 [UNREPLIED]"
    " src=2001:db8::100 dst=2001:db8::10 sport=53 dport=5353 mark=0 zone=0 use=2",
    "icmp     1 29 src=10.244.0.11 dst=192.0.2.100 type=8 code=0 id=4660 src=192.0.2.100 dst=192.0.2.10 type=0 code=0"
    " id=4660 mark=0 use=1",
    "tcp      6 src=10.1.0.2 dst=192.0.2.2 sport=40000 dport=80 src=192.0.2.2 dst=192.0.2.1 sport=80 dport=40000"
    " [HW_OFFLOAD] mark=0 secctx=null zone=0 use=3",
    "unknown  2 579 src=10.0.0.1 dst=224.0.0.1 [UNREPLIED] src=224.0.0.1 dst=10.0.0.1 mark=0 use=1",
)


def told(text: str) -> tuple[list[Entry], list[str]]:
    """Read a text; give its entries and its caveats."""
    facts = list(conntrack_table.parse(text, "a"))
    tables = [fact for fact in facts if isinstance(fact, Table)]
    return [entry for table in tables for entry in table], [
        fact.says for fact in facts if isinstance(fact, Caveat)
    ]


def both(text: str) -> None:
    """Compare both ways."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conntrack_table, "_FEW", 1 << 30)
        slow = told(text)
        patch.setattr(conntrack_table, "_FEW", 0)
        fast = told(text)
    assert slow == fast


def test_every_form() -> None:
    """Each form of a line, in any company."""
    both("\n".join(LINES) + "\n")
    for line in LINES:
        both(line)


def test_usual_ones_are_read_at_once() -> None:
    """Lines with ports are, with families, counters, ids and flags; only the others are left."""
    assert [0, 1, 2, 4] == columns("\n".join(LINES).encode()).lines.tolist()


def test_found_by_damage() -> None:
    """A family that is none, a word that ends with something else than a space, a flag that is cut."""
    both(f"{LINES[1]}\n".replace("ipv4 ", "ipv40 ").replace("     2 tcp ", "     2 "))
    both(f"{LINES[0]}\n".replace("tcp ", "tcp\r "))
    both(f"{LINES[1]}\n".replace("UNREPLIED]", "UNREPLIE "))
    both(f"{LINES[4]}\n".replace("[HW", " HW"))


@given(st.data())
def test_damage(data: st.DataObject) -> None:
    """A byte that is changed, left out or put in, anywhere, is read alike."""
    line = data.draw(st.sampled_from(LINES))
    at = data.draw(st.integers(0, len(line)))
    new = data.draw(
        st.sampled_from(
            ["", " ", "0", "9", "=", "src=", "use=1", ":", ".", "[", "A", "a", "\n", "\r", "-", "\u00e9"]
        )
    )
    drop = data.draw(st.integers(0, 3))
    both(f"{TCP}\n{line[:at]}{new}{line[at + drop :]}\n{TCP}\n")


@given(
    st.lists(
        st.sampled_from(
            [b"src=", b"dst=", b"sport=", b"dport=", b" ", b"1", b"10.0.0.1", b"\n", b"use=", b"tcp 6 "]
        )
    )
)
def test_nonsense(parts: list[bytes]) -> None:
    """Nonsense is no entry, and no error."""
    assert len(columns(b"".join(parts)).lines) <= 1 + parts.count(b"\n")
