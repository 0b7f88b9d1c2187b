"""All connections of a bundle with what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.connection.account import Fates, account, classes, directions, fates
from analyzer.connection.chain import Chains, chain
from analyzer.connection.outcome import Outcomes, outcomes
from analyzer.nat.reasons import CODES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from analyzer.flow.point import Point
    from analyzer.model import Account, Incident
    from analyzer.nat.crossing import Gap
    from analyzer.nat.fates import Followed
    from analyzer.nat.ways import Node

_REFUSED = tuple(CODES[code] for code in ("refused", "refused-here", "rejected"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """One row per connection; the arrays have one length."""

    chains: Chains
    outcomes: Outcomes
    fates: Fates
    direction: NDArray[np.int8]
    """Index into `analyzer.connection.account.DIRECTIONS`."""
    told: NDArray[np.int8]
    """Index into `analyzer.connection.account.CLASSES`."""
    why: NDArray[np.int8]
    """Index into `analyzer.connection.account.WHY`."""
    incidents: Mapping[int, Incident]
    """Connection to the incident that it belongs to."""

    def __len__(self) -> int:
        return len(self.chains)

    def account(self) -> Account:
        """The four numbers."""
        return account(self.outcomes, self.told, self.why, self.fates.reason)


def connections(
    points: Sequence[Point],
    gaps: Sequence[Gap],
    node: Node,
    followed: Sequence[Followed],
    incidents: Sequence[Incident],
) -> Connections:
    """Say what became of every connection, and whose doing it was.

    Args:
        points: All points.
        gaps: All gaps.
        node: What is known of the node.
        followed: Requests and replies of all protocols at all points, decided.
        incidents: All incidents; each finding names a flow of its connection.
    """
    chains = chain(points, gaps, [at for at in followed if not at.replies])
    told = fates(chains, followed, gaps, node)
    found = outcomes(chains, np.isin(told.reason, _REFUSED))
    place = {point.name: number for number, point in enumerate(points)}
    of: dict[int, Incident] = {}
    for incident in incidents:
        for finding in incident.findings:
            if finding.point in place and finding.flow >= 0:
                number = int(chains.of[place[finding.point]][finding.flow])
                if number >= 0:
                    of.setdefault(number, incident)
    klass, why = classes(found, told, {number: incident.cause for number, incident in of.items()})
    return Connections(
        chains=chains,
        outcomes=found,
        fates=told,
        direction=directions(chains, node),
        told=klass,
        why=why,
        incidents=of,
    )
