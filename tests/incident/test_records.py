"""The kernel's own record of a lost packet decides what the captures leave open, and outranks what they suggest."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import Analysis, analyze
from tests.conversation import bystander, record
from tests.incident.evidence import connection, vanishing
from tests.nat.reasons import reasons

HEAD = (
    "name: kfree_skb\n"
    'print fmt: "skbaddr=%p protocol=%u location=%pS reason: %s", REC->skbaddr, REC->protocol, REC->location, '
    '__print_symbolic(REC->reason, { 2, "NOT_SPECIFIED" }, { 12, "NETFILTER_DROP" })\n'
    "clock: t=5000000000 wall=1700000000.000000\n"
)


def _drop(hook: str, *, ms: int = 0, seq: int = 1_000_000, number: int = 1) -> str:
    """One lost SYN, as the recorder of `lostsyn capture --drops` writes it."""
    return (
        f"drop: t={5_000_000_000 + ms * 1_000_000} cpu=0 reason=12 at=nf_hook_slow netns=4026531840 dev=eth0 proto=6 "
        f"src=10.244.0.11 sport=20000 dst=192.0.2.100 dport=80 seq={seq} id={number} len=60\n"
        f"        nf_hook_slow+125\n        {hook}+200\n        ip_rcv+100\n"
    )


def _told(folder: Path, drops: str, *, silent: bool) -> Analysis:
    record(
        folder,
        bystander(-5),
        *([] if silent else [bystander(40)]),
        vanishing(connection(), 0),
        points=("veth-a", "veth-z", "cni0", "eth0"),
    )
    if drops:
        (folder / "drops.txt").write_text(HEAD + drops)
    return analyze(folder)


def test_it_decides_where_the_uplink_is_silent(tmp_path: Path) -> None:
    """The same SYN: open without a record, lost with one."""
    assert ["not-recording"] == reasons(_told(tmp_path / "without", "", silent=True))
    analysis = _told(tmp_path / "with", _drop("ip_forward"), silent=True)

    assert ["recorded-drop"] == reasons(analysis)
    assert 1 == analysis.account.node


@pytest.mark.parametrize("changes", [{"seq": 77}, {"number": 9}])
def test_of_another_packet(changes: dict[str, int], tmp_path: Path) -> None:
    """The near miss: another sequence number, or another IP ID."""
    assert ["not-recording"] == reasons(_told(tmp_path, _drop("ip_forward", **changes), silent=True))


def test_it_is_evidence(tmp_path: Path) -> None:
    """A loss that the captures show themselves has the record first among what speaks for it."""
    analysis = _told(tmp_path, _drop("ip_forward"), silent=False)
    (incident,) = analysis.incidents
    told = [*incident.evidence, *incident.findings[0].evidence]

    assert ["recorded-drop"] == reasons(analysis)
    assert any("the kernel recorded that it dropped the packet" in evidence.says for evidence in told)
