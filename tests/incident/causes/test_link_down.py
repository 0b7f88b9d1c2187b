"""A link that was down: by dated lines around the loss, or by a state that nothing contradicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzer import analyze
from analyzer.incident.causes.link_down import REMEDIES
from tests.conversation import bystander, record
from tests.incident.evidence import Frames, causes, connection, findings, judged, vanishing
from tests.incident.node import told
from tests.incident.test_records import record as record_of

CODE = "link-down"


def log(*events: tuple[int, str], dev: str = "eth0") -> str:
    """Dated lines of the kernel's log: seconds after the conversations' start (2023-11-14 22:13:20 UTC), and Down or Up."""
    return "".join(
        f"2023-11-14T22:13:{20 + at:02}+00:00 node kernel: e1000e: {dev} NIC Link is {what}\n"
        for at, what in events
    )


@pytest.mark.parametrize(
    ("events", "stamp"),
    [
        (((3, "Down"), (20, "Up")), "2023-11-14T"),
        (((3, "Down"), (20, "Up")), "Nov 14 "),
        (((3, "Down"), (7, "Up")), "2023-11-14T"),
    ],
    ids=["dated", "without a zone", "up in the second of the loss"],
)
def test_down_around_the_loss(tmp_path: Path, events: tuple[tuple[int, str], ...], stamp: str) -> None:
    """Down before the loss, up after it: proven, though others passed before and after."""
    text = log(*events).replace("2023-11-14T", stamp)
    told(tmp_path, messages=text.replace("+00:00", "") if stamp == "Nov 14 " else text)
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


@pytest.mark.parametrize(
    ("listed", "last", "expected"),
    [
        ("<NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state DOWN", 60, []),
        ("<NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state DOWN", -2, ["NO-CARRIER", 1]),
        ("<BROADCAST,MULTICAST> mtu 1500 qdisc noqueue state DOWN", -2, ["DOWN", 2]),
        ("<BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP", -2, []),
    ],
    ids=["carried packets later", "no carrier", "set down", "up"],
)
def test_a_listing(listed: str, last: float, expected: list[object], tmp_path: Path) -> None:
    """A state that is DOWN makes it likely where the interface shows nothing after the loss; what was set down can be set up."""
    talk = vanishing(connection(), 0, 1, 3)
    record_of(tmp_path, talk, 0, 1, 3, reason="QDISC_DROP", at="noop_enqueue")
    mark = " linkdown" * ("NO-CARRIER" in listed)
    listing = f"2: eth0: {listed} mode DEFAULT\n    link/ether 02:00:00:00:00:09\n"
    told(tmp_path, **{"ip-link": listing, "routes": f"default via 192.0.2.1 dev eth0{mark}\n"})
    analysis = analyze(record(tmp_path, talk, bystander(-5), bystander(last)))
    found = [finding for finding in findings(analysis) if finding.cause == CODE]

    assert bool(expected) == bool(found)
    for finding in found:
        state, remedies = expected
        assert ("likely", remedies) == (finding.confidence, len(finding.remedies))
        assert [
            f"eth0 is down: {state}",
            *["the route to 192.0.2.100 by eth0 is marked linkdown"] * bool(mark),
            "eth0 shows no packet after this one",
        ] == [one.says for one in finding.evidence if "recorded" not in one.says]


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


@pytest.mark.parametrize("recorded", [False, True])
def test_its_routes_went_with_it(recorded: bool, tmp_path: Path) -> None:
    """Set down, it takes its routes along: that the node then says, or records, that it has none is told of the link."""
    told(tmp_path, messages=log((3, "Down"), (20, "Up")))
    talk = vanishing(connection(), 7)
    if recorded:
        record_of(tmp_path, talk, 7, reason="IP_INNOROUTES", at="ip_error")
    (finding,) = findings(judged(tmp_path, talk, Frames().unreachable(talk, 7.0001, code=0)))

    assert (CODE, "refused") == (finding.cause, finding.kind)
    assert "10.244.0.1 answered with an ICMP error, network unreachable" == finding.evidence[-1].says


def test_a_name_in_a_command() -> None:
    """Whoever wrote the file: an interface's name is one word to the shell."""
    command = REMEDIES[1].on("eth0", "eth0;reboot").command

    assert "ip link set 'eth0;reboot' up" == command
