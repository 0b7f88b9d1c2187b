"""IPVS and a port that is used again: recognised by the virtual service, the older connection and the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conversation import Conversation
from tests.incident.evidence import causes, connection, findings, judged, whole

SERVICE, ENDPOINT = "10.96.44.5:80", "10.244.9.14:8080"
SETTINGS = "net.ipv4.vs.conn_reuse_mode = 1\nnet.ipv4.vs.conntrack = 1\n"
LISTED = f"""IPVS connection entries
pro expire state       source             virtual            destination
TCP 01:48  TIME_WAIT   10.244.0.11:20000  {SERVICE}      {ENDPOINT}
"""


def older() -> Conversation:
    """The connection that IPVS still knows."""
    talk = whole(connection(0, server=SERVICE, dnat=ENDPOINT), 0)
    talk.send("FA")
    talk.send("FA", by_pod=False)
    return talk


def again(*passed: float) -> Conversation:
    """The same port, whose first SYN is lost."""
    talk = connection(0, server=SERVICE, dnat=ENDPOINT, isn=90_000_000)
    talk.syn(5).lost_after("cni0")
    for at in passed:
        talk.syn(at)
        talk.accept()
    return talk


def bundle(folder: Path, *, settings: str = SETTINGS, listed: str = LISTED) -> None:
    """Put the node's files into the bundle."""
    (folder / "sysctl.txt").write_text(settings)
    (folder / "ipvsadm-Lcn.txt").write_text(listed)


def test_a_port_that_is_used_again(tmp_path: Path) -> None:
    """Listed service, older connection, and settings that drop: proven."""
    bundle(tmp_path)
    (finding,) = findings(judged(tmp_path, older(), again(6)))

    assert ("ipvs-reuse", "proven") == (finding.cause, finding.confidence)
    assert "10.244.0.11:20000 had a connection to 10.96.44.5:80 before" in finding.evidence[0].says


def test_the_listing_alone(tmp_path: Path) -> None:
    """The older connection ended before the capture, and the settings are not known: likely."""
    bundle(tmp_path, settings="net.ipv4.ip_forward = 1\n")
    (finding,) = findings(judged(tmp_path, again(6)))

    assert ("ipvs-reuse", "likely") == (finding.cause, finding.confidence)


@pytest.mark.parametrize(
    ("talks", "options"),
    [
        ([again(6)], {"listed": LISTED.replace(":20000", ":20001")}),
        ([older(), again(6)], {"listed": LISTED.replace(SERVICE, "10.96.44.6:80")}),
        ([older(), again(6)], {"settings": SETTINGS.replace("reuse_mode = 1", "reuse_mode = 0")}),
        ([older(), again(6)], {"settings": SETTINGS.replace("conntrack = 1", "conntrack = 0")}),
        ([older(), again()], {}),
        ([again(6)], {"listed": LISTED.replace("TCP", "UDP")}),
        ([again(6)], {"listed": LISTED.replace("TIME_WAIT  ", "ESTABLISHED")}),
    ],
    ids=[
        "another port",
        "another service",
        "switched off",
        "not by conntrack",
        "no attempt passes",
        "of UDP",
        "alive",
    ],
)
def test_near_misses(talks: list[Conversation], options: dict[str, str], tmp_path: Path) -> None:
    """Without one of its signs it is something else."""
    bundle(tmp_path, **options)

    assert "ipvs-reuse" not in causes(judged(tmp_path, *talks))


def test_without_the_nodes_files(tmp_path: Path) -> None:
    """Captures alone do not show that IPVS is there."""
    assert "ipvs-reuse" not in causes(judged(tmp_path, older(), again(6)))
