"""A stale entry as a cause: conntrack's table leads a lost packet where the rules do not lead any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conversation import Conversation
from tests.incident.evidence import Frames, causes, findings, judged
from tests.incident.node import LINKS, told

CLIENT, NODE = "192.168.20.1:514", "192.0.2.10:514"
RULES = """table ip nat {
	chain PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
		meta l4proto udp udp dport 514 counter packets 12 bytes 900 dnat to 10.88.0.9:5141
	}
}
"""
ENTRY = (
    "udp      17 29 src=192.168.20.1 dst=192.0.2.10 sport=514 dport=514 [UNREPLIED] "
    "src={target} dst=192.168.20.1 sport=5141 dport=514 mark=0 use=1\n"
)


def sent(client: str, *times: float, passes: bool = False) -> Conversation:
    """A sender of a published port; the pod's end is what the rules of today lead to."""
    talk = Conversation(pod="10.88.0.9:5141", server=client, nat=NODE, proto="udp", way="veth-a cni0 | eth0")
    for n, at in enumerate(times):
        packet = talk.send("PA", b"%s %d" % (client.encode(), n), by_pod=False, at=at)
        if not passes:
            packet.only_at("eth0")
    return talk


def bundle(folder: Path, *, target: str = "10.88.0.5", rules: str = RULES) -> None:
    """Put the table and the rules into the bundle."""
    (folder / "conntrack.txt").write_text(ENTRY.format(target=target))
    (folder / "nft.txt").write_text(rules)


def others() -> Conversation:
    """A sender with a new entry."""
    return sent("192.168.20.7:40123", 1, 2, 3, 4, passes=True)


@pytest.mark.parametrize(
    ("more", "why"),
    [("", "no rule leads there any more"),
     ("\t\tudp dport 515 dnat to 10.88.0.5:5141\n", "the rules lead other destinations there, not this one")],
)  # fmt: skip
def test_an_old_target(more: str, why: str, tmp_path: Path) -> None:
    """The entry leads to the old container, for which the node asks in vain: proven, and the command ends this entry alone."""
    bundle(tmp_path, rules=RULES.replace("10.88.0.9:5141\n", f"10.88.0.9:5141\n{more}"))
    asks = Frames().asks("10.88.0.5", 1.1, 2.1, 3.1, by="10.88.0.1", point="cni0")
    analysis = judged(tmp_path, sent(CLIENT, 1, 2, 3), others(), asks)
    (incident,) = analysis.incidents
    (finding,) = incident.findings

    assert ("misdelivered", "stale-entry", "proven") == (incident.kind, incident.cause, incident.confidence)
    assert (
        f"it leads to 10.88.0.5:5141, and {why}; now they lead to 10.88.0.9:5141" in finding.evidence[0].says
    )


def test_nobody_asks(tmp_path: Path) -> None:
    """The listing may be of another hour: likely."""
    bundle(tmp_path)

    assert ["likely"] == [f.confidence for f in findings(judged(tmp_path, sent(CLIENT, 1, 2, 3), others()))]


@pytest.mark.parametrize(
    ("target", "rules"),
    [("10.88.0.9", RULES), ("10.88.0.5", RULES.replace("dnat to 10.88.0.9:5141", "drop"))],
    ids=["the rules' own target", "no rule translates"],
)
def test_near_misses(target: str, rules: str, tmp_path: Path) -> None:
    """An entry that the rules would make again, and rules that do not tell, accuse nobody."""
    bundle(tmp_path, target=target, rules=rules)

    assert "stale-entry" not in causes(judged(tmp_path, sent(CLIENT, 1, 2, 3), others()))


def test_without_the_table(tmp_path: Path) -> None:
    """The rules alone do not tell what entries there are."""
    (tmp_path / "nft.txt").write_text(RULES)

    assert "stale-entry" not in causes(judged(tmp_path, sent(CLIENT, 1, 2, 3), others()))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("192.0.2.10", [("misdelivered", "stale-entry", "proven")]),
        ("10.88.0.9", [("refused", "unknown", "likely")]),
    ],
)
def test_the_node_refuses_what_is_published(
    target: str, expected: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    """A pod asked a published port before there was a rule for it: its datagrams are for the node still, where nobody listens."""
    bundle(tmp_path)
    entry = ENTRY.format(target=target).replace("192.168.20.1", "10.88.0.12")
    if target == "192.0.2.10":
        entry = entry.replace("sport=5141", "sport=514")
    (tmp_path / "conntrack.txt").write_text(entry)
    told(tmp_path, **{"ip-addr": LINKS})
    talk = Conversation(pod="10.88.0.12:514", server=NODE, way="veth-a cni0", proto="udp")
    talk.data(b"metric", 1)
    error = Frames().unreachable(talk, 1.0002, code=3)
    for _, _, frame in error.heard:
        frame["IP"].src = "192.0.2.10"
    analysis = judged(tmp_path, talk, error)

    assert expected == [(i.kind, i.cause, i.confidence) for i in analysis.incidents]
