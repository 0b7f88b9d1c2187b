"""Rules that may have dropped a packet, where the listing or the log leaves it open."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.incident.evidence import connection, findings, judged, vanishing
from tests.incident.node import told

HEAD = " pkts bytes target     prot opt in     out     source               destination\n"
LISTED = (
    "$ sudo iptables -vnL FORWARD\nChain FORWARD (policy DROP {} packets, 480 bytes)\n"
    + HEAD
    + "   52  7592 DOCKER-USER  0    --  *      *       0.0.0.0/0            0.0.0.0/0\n"
    "   40  6872 ACCEPT     0    --  *      *       0.0.0.0/0            0.0.0.0/0            ctstate RELATED,ESTABLISHED\n"
)


@pytest.mark.parametrize(
    ("more", "count", "expected"),
    [
        ("", 8, ("policy-drop", "likely")), ("", 0, ("policy-drop", "possible")),
        ("    1    60 ACCEPT     0    --  cni0   *       0.0.0.0/0            0.0.0.0/0\n", 8, ("unknown", "likely")),
    ],
)  # fmt: skip
def test_a_chain_that_was_not_listed(
    tmp_path: Path, more: str, count: int, expected: tuple[str, str]
) -> None:
    """One chain was asked for: what it ends in is named, with what it counted and the chain that may have decided before."""
    told(tmp_path, rules=LISTED.format(count) + more)
    (finding,) = findings(judged(tmp_path, vanishing(connection(server="192.0.2.100:8080"), 0, 1, 3)))

    assert expected == (finding.cause, finding.confidence)
    named = any("unless DOCKER-USER lets it pass" in one.says for one in finding.evidence)
    assert named == (expected[0] == "policy-drop")
    assert ("it counted 8 packets" in str(finding.facts.get("rule"))) == (expected[1] == "likely" and named)


def test_a_whole_listing_decides(tmp_path: Path) -> None:
    """With the chain listed too nothing is open: proven."""
    others = "    4   240 ACCEPT     6    --  *      eth0    0.0.0.0/0            0.0.0.0/0            tcp dpt:!8080\n"
    told(tmp_path, rules=f"{LISTED.format(8)}{others}\nChain DOCKER-USER (1 references)\n{HEAD}")
    (finding,) = findings(judged(tmp_path, vanishing(connection(server="192.0.2.100:8080"), 0, 1, 3)))

    assert ("policy-drop", "proven") == (finding.cause, finding.confidence)
    assert "ip filter FORWARD: policy drop (it counted 8 packets)" == finding.facts["rule"]
