"""iptables' own tables, and what a command tells of its output."""

from __future__ import annotations

import pytest

from analyzer.evidence.rules.builtin import Command, command, priority, table_of, unlisted


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("$ sudo iptables -S", Command(family="ip")),
        ("root@node:~# ip6tables -t nat -L -n", Command(family="ip6", table="nat")),
        ("# iptables-legacy-save | grep KUBE", Command(family="ip", legacy=True, piped=True)),
        ("iptables-nft -vnL --table=mangle; uptime", Command(family="ip", table="mangle", legacy=False)),
        ('-A INPUT -m comment --comment "made by iptables -S"', None),
        ("uptime", None),
    ],
)
def test_command(line: str, expected: Command | None) -> None:
    """Family, table, backend, and whether something filtered the output; a rule's comment is no command."""
    assert expected == command(line)


@pytest.mark.parametrize(
    ("built_in", "rules", "table"),
    [
        (("INPUT", "FORWARD", "OUTPUT"), "", "filter"), (("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"), "", "nat"),
        (("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"), "", "mangle"), (("PREROUTING", "OUTPUT"), "", "raw"),
        (("FORWARD",), "-j SNAT", "filter"), ((), "-j DNAT --to-destination 10.0.0.1", "nat"), ((), "-j DROP", "filter"),
    ],
)  # fmt: skip
def test_table_of(built_in: tuple[str, ...], rules: str, table: str) -> None:
    """Chains that are listed together tell the table, else what the rules do."""
    assert table == table_of(built_in, rules)


def test_priority() -> None:
    """SNAT comes after everything else."""
    assert (-100, 100, 0) == (
        priority("nat", "prerouting"),
        priority("nat", "postrouting"),
        priority("filter", "forward"),
    )


def test_unlisted() -> None:
    """What is not listed is what may be elsewhere."""
    left = unlisted("ip", {("filter", name) for name in ("INPUT", "FORWARD", "OUTPUT")})
    assert {"raw", "mangle", "nat"} == {place.table for place in left}
    assert {"ip"} == {place.family for place in left}
