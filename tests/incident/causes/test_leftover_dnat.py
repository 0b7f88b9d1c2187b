"""A rule that a gone container left behind: told where it is walked first, and its address is silent."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conversation import Conversation
from tests.incident.evidence import Frames, causes, judged

OLD = "-A PREROUTING -d 192.0.2.10/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.88.0.5:80\n"
NEW = OLD.replace("10.88.0.5", "10.88.0.9")
HEAD = (
    "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
)
FILTER = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"


def client(number: int, at: float, *, passes: bool = False) -> Conversation:
    """A client of the published port; before the old rule came back it was led to the new container."""
    end = f"203.0.113.{number}:50000"
    talk = Conversation(
        pod="10.88.0.9:80", server=end, nat="192.0.2.10:8080", isn=number * 1000, server_isn=number * 7777
    )
    for later in (0.0, 1.0):
        packet = talk.send("S", by_pod=False, at=at + later, seq=talk.server_isn)
        if passes:
            talk.send("SA", ack=talk.server_isn + 1)
            break
        packet.only_at("eth0")
    return talk


def silent(address: str = "10.88.0.5") -> Frames:
    """The node asks for the container that is gone."""
    return Frames().asks(address, 3.1, 4.1, by="10.88.0.1", point="cni0")


def told(folder: Path, rules: str, *talks: Conversation | Frames) -> list[str]:
    """The causes, with these rules in the bundle."""
    (folder / "iptables-save.txt").write_text(HEAD + rules + "COMMIT\n" + FILTER)
    return causes(judged(folder, client(1, 1, passes=True), client(2, 3), *talks))


def test_the_old_rule_first(tmp_path: Path) -> None:
    """Two rules for one port, and nobody has the first one's address."""
    assert ["leftover-dnat"] == told(tmp_path, OLD + NEW, silent())


def test_no_rule_beside_it(tmp_path: Path) -> None:
    """Without a newer rule the container may just be down: likely, not proven."""
    (tmp_path / "iptables-save.txt").write_text(HEAD + OLD + "COMMIT\n" + FILTER)
    analysis = judged(tmp_path, client(1, 1, passes=True), client(2, 3), silent())
    assert [("leftover-dnat", "likely")] == [(one.cause, one.confidence) for one in analysis.incidents]


@pytest.mark.parametrize(
    ("rules", "asked"),
    [(NEW + OLD, "10.88.0.5"), (OLD, "10.88.0.77"), (OLD + NEW, "10.88.0.77"),
     (OLD.replace("DNAT --to-destination 10.88.0.5:80", "REDIRECT --to-ports 80") + NEW, "10.88.0.5")],
    ids=["the new rule first", "one rule only, and it leads elsewhere", "another address is asked for", "to the node itself"],
)  # fmt: skip
def test_near_misses(rules: str, asked: str, tmp_path: Path) -> None:
    """Without one of its signs it is something else."""
    assert "leftover-dnat" not in told(tmp_path, rules, silent(asked))


def test_without_the_rules(tmp_path: Path) -> None:
    """The captures do not tell what translated."""
    assert "leftover-dnat" not in causes(judged(tmp_path, client(1, 1, passes=True), client(2, 3), silent()))


def test_a_rule_of_nft(tmp_path: Path) -> None:
    """It is deleted by its handle."""
    nft = "".join(
        f'iifname "eth0" tcp dport 8080 dnat to {to}:80 # handle {n}\n'
        for n, to in ((4, "10.88.0.5"), (5, "10.88.0.9"))
    )
    (tmp_path / "nft.txt").write_text(
        "table ip nat { # handle 1\n chain pre { # handle 2\n type nat hook prerouting priority -100; policy accept;\n"
        + nft
        + "}\n}\n"
    )
    analysis = judged(tmp_path, client(1, 1, passes=True), client(2, 3), silent())

    assert ["nft delete rule ip nat pre handle 4"] == [
        one.remedies[0].command for one in analysis.incidents if one.cause == "leftover-dnat"
    ]
