"""What an analysis says of each connection, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analyzer import Analysis, analyze
from analyzer.connection.account import CLASSES, DIRECTIONS, WHY
from analyzer.connection.connections import Connections
from analyzer.connection.outcome import OUTCOMES, STATES
from analyzer.connection.passages import flow_name
from tests.conversation import Conversation, bystander, record

AROUND = (bystander(-5), bystander(20))
POD, SERVER, NAT = "10.244.0.11:20000", "192.0.2.100:80", "192.0.2.10:20000"


def out(**changes: Any) -> Conversation:
    """A pod's connection out of the node."""
    return Conversation(**{"pod": POD, "server": SERVER, "nat": NAT, **changes})


def closed(talk: Conversation) -> Conversation:
    """End a connection by FINs of both sides."""
    talk.send("FA")
    talk.send("FA", by_pod=False)
    talk.send("A")
    return talk


def judged(folder: Path, *talks: Conversation, **options: Any) -> Analysis:
    """Analyse these conversations between two that were whole."""
    return analyze(record(folder, *talks, *AROUND, **options))


def connections(analysis: Analysis) -> Connections:
    """The columns behind the account."""
    assert analysis.captured.connections is not None
    return analysis.captured.connections


def told(analysis: Analysis, column: str = "outcome") -> dict[str, str]:
    """One column of all connections by their names; those of the bystanders are left out.

    Args:
        analysis: Of a bundle.
        column: `outcome`, `class`, `why`, `direction`, `state`, `history` or `point`.
    """
    all_ = connections(analysis)
    points = [all_.chains.points[int(at)] for at in all_.chains.point]
    values: dict[str, list[str]] = {
        "outcome": [OUTCOMES[code] for code in all_.outcomes.code],
        "class": [CLASSES[code] for code in all_.told],
        "why": [WHY[code] for code in all_.why],
        "direction": [DIRECTIONS[code] for code in all_.direction],
        "state": [STATES[code] for code in all_.outcomes.state],
        "history": [all_.outcomes.letters(i) for i in range(len(all_))],
        "point": [point.name for point in points],
    }
    names = [flow_name(point.flows, int(flow)) for point, flow in zip(points, all_.chains.flow, strict=True)]
    pairs = zip(names, values[column], strict=True)
    return {name: value for name, value in pairs if "198.51.100.99" not in name}


def one(analysis: Analysis, column: str = "outcome") -> str:
    """The same of the only connection that there is."""
    (value,) = told(analysis, column).values()
    return value
