"""A link that was down: by dated lines around the loss, or by a state that nothing contradicts."""

from __future__ import annotations

from pathlib import Path

from analyzer.incident.causes.link_down import REMEDIES
from tests.incident.evidence import causes, connection, findings, judged, vanishing
from tests.incident.node import told

CODE = "link-down"


def log(*events: tuple[int, str], dev: str = "eth0") -> str:
    """Dated lines of the kernel's log: seconds after the conversations' start (2023-11-14 22:13:20 UTC), and Down or Up."""
    return "".join(
        f"2023-11-14T22:13:{20 + at:02}+00:00 node kernel: e1000e: {dev} NIC Link is {what}\n"
        for at, what in events
    )


def test_down_around_the_loss(tmp_path: Path) -> None:
    """Down before the loss, up after it: proven, though others passed before and after."""
    told(tmp_path, messages=log((3, "Down"), (20, "Up")))
    (finding,) = findings(judged(tmp_path, vanishing(connection(), 7, 8, 10)))

    assert (CODE, "proven", "eth0") == (finding.cause, finding.confidence, finding.facts["interface"])


def test_near_misses(tmp_path: Path) -> None:
    """Up again before the loss; down after it; another interface's link; a second without date."""
    for name, text in {
        "up": log((3, "Down"), (5, "Up")),
        "later": log((15, "Down")),
        "other": log((3, "Down"), dev="eth1"),
        "undated": "[   12.500000] e1000e: eth0 NIC Link is Down\n",
    }.items():
        told(tmp_path / name, messages=text)

        assert CODE not in causes(judged(tmp_path / name, vanishing(connection(), 7, 8, 10)))


def test_others_pass_meanwhile(tmp_path: Path) -> None:
    """The interface shows packets between the line and the loss: the line is of another link, or the clocks differ."""
    told(tmp_path, messages=log((3, "Down"), (20, "Up")))
    other = connection(3, server="198.51.100.1:80")
    other.syn(6)
    other.accept()

    assert "proven" not in [
        f.confidence for f in findings(judged(tmp_path, vanishing(connection(), 7, 8, 10), other))
    ]


def test_a_listing_of_another_time(tmp_path: Path) -> None:
    """The state is DOWN, but the interface carried packets after the loss."""
    told(
        tmp_path,
        **{
            "ip-link": "2: eth0: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc fq_codel state DOWN mode DEFAULT\n"
        },
    )

    assert CODE not in causes(judged(tmp_path, vanishing(connection(), 0, 1, 3)))


def test_no_carrier(tmp_path: Path) -> None:
    """An interface that is up and has no carrier was not set down: nothing is told to set it up."""
    for flags, commands in (("NO-CARRIER,BROADCAST,MULTICAST,UP", 1), ("BROADCAST,MULTICAST", 2)):
        folder = tmp_path / str(commands)
        told(
            folder,
            link=f"2: eth0: <{flags}> mtu 1500 qdisc noqueue state DOWN\n    link/ether 02:00:00:00:00:09\n",
        )
        told(folder, messages=log((3, "Down"), (20, "Up")))
        (finding,) = findings(judged(folder, vanishing(connection(), 7, 8, 10)))

        assert commands == len(finding.remedies)
        assert (commands == 2) == (finding.remedies[0].command == "ip link set eth0 up")


def test_a_name_in_a_command() -> None:
    """Whoever wrote the file: an interface's name is one word to the shell."""
    command = REMEDIES[1].on("eth0", "eth0;reboot").command

    assert "ip link set 'eth0;reboot' up" == command
