"""A refusal of this node: by the rule that gives it, or by an error that only rules give."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conversation import Conversation
from tests.incident.evidence import Frames, connection, findings, judged, vanishing
from tests.incident.node import told

CODE = "policy-reject"
RULES = (
    "table ip f {{\n\tchain c {{\n\t\ttype filter hook forward priority 0; policy accept;\n\t\t{}\n\t}}\n}}\n"
)
RULE = "the packet matches this rule: ip f c: "


def reset() -> Conversation:
    """A RST in the server's name, which the uplink never saw."""
    talk = vanishing(connection(), 0)
    talk.send("RA", by_pod=False).only_at("veth-a", "cni0")
    return talk


@pytest.mark.parametrize(
    ("rule", "code", "expected", "says"),
    [
        ("tcp dport 80 reject", 3, (CODE, "proven"), f"{RULE}tcp dport 80 reject"),
        ("tcp dport 80 drop", 13, (CODE, "likely"), f"{RULE}tcp dport 80 drop"),
        ("tcp dport 81 reject", 3, ("unknown", "likely"), None),
        (None, 3, (CODE, "likely"), "10.244.0.1 answered with an ICMP error, port unreachable"),
        (None, 13, (CODE, "possible"), "10.244.0.1 answered with an ICMP error, communication admin"),
        (None, 1, ("unknown", "likely"), None),
        ("tcp dport 80 reject with tcp reset", None, (CODE, "proven"), f"{RULE}tcp dport 80 reject"),
        (None, None, (CODE, "likely"), "a RST in the name of 192.0.2.100:80 answered"),
    ],
)
def test_a_refusal(
    rule: str | None, code: int | None, expected: tuple[str, str], says: str | None, tmp_path: Path
) -> None:
    """Proven by the rule that rejects the packet; an error that a route gives as well is less; others tell of no rule."""
    if rule:
        told(tmp_path, nft=RULES.format(rule))
    talk = vanishing(connection(), 0)
    refusal = [reset()] if code is None else [talk, Frames().unreachable(talk, 0.001, code=code)]
    (finding,) = findings(judged(tmp_path, *refusal))

    assert ("refused", expected) == (finding.kind, (finding.cause, finding.confidence))
    assert says is None or finding.evidence[0].says.startswith(says)


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("127.0.0.1:80", "a socket of the node is bound to 127.0.0.1:80"),
        ("0.0.0.0:8080", "no socket of the node listens on tcp port 80"),
    ],
)
def test_sockets_are_asked_of_a_refusal(local: str, expected: str, tmp_path: Path) -> None:
    """Where the node itself refused and no rule does, the list of its sockets says whether anybody listens."""
    head = "State  Recv-Q Send-Q Local Address:Port  Peer Address:Port Process\n"
    told(tmp_path, ss=f"{head}LISTEN 0      5          {local}       0.0.0.0:*     \n")
    (finding,) = findings(judged(tmp_path, reset()))

    assert expected in [one.says for one in finding.evidence]
