"""A refusal of this node that no rule explains."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import analyze
from tests.conversation import Conversation, bystander, record


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        ("127.0.0.1:80", "a socket of the node is bound to 127.0.0.1:80"),
        ("0.0.0.0:8080", "no socket of the node listens on tcp port 80"),
    ],
)
def test_sockets_are_asked_of_a_refusal(local: str, expected: str, tmp_path: Path) -> None:
    """Where the node itself refused and no rule does, the list of its sockets says whether anybody listens."""
    talk = Conversation(pod="10.244.0.11:20000", server="192.0.2.100:80", nat="192.0.2.10:20000")
    talk.syn().lost_after("cni0")
    talk.send("RA", by_pod=False).only_at("veth-a", "cni0")
    record(tmp_path, talk, bystander(-2), bystander(0.5), bystander(5))
    (tmp_path / "ss.txt").write_text(
        "State  Recv-Q Send-Q Local Address:Port  Peer Address:Port Process\n"
        f"LISTEN 0      5          {local}       0.0.0.0:*     \n"
    )
    (incident,) = analyze(tmp_path).incidents

    assert "refused" == incident.kind
    assert expected in [one.says for one in incident.findings[0].evidence]
