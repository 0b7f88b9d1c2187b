"""All connections of a bundle with what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analyzer.connection.account import Fates, account, classes, directions, fates
from analyzer.connection.chain import Chains, chain
from analyzer.connection.outcome import Outcomes, outcomes
from analyzer.connection.reasons import CODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from analyzer.connection.fates import Followed
    from analyzer.connection.model import Account
    from analyzer.flow.point import Point
    from analyzer.nat.gap import Gap
    from analyzer.node.ways import Node

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

    def __len__(self) -> int:
        return len(self.chains)

    def of(self, point: str, flow: int) -> int | None:
        """The connection of a flow at a point; None where it belongs to none."""
        return _of(self.chains, point, flow)

    def account(self) -> Account:
        """The four numbers."""
        return account(self.outcomes, self.told, self.why, self.fates.reason)


def connections(
    points: Sequence[Point],
    gaps: Sequence[Gap],
    node: Node,
    followed: Sequence[Followed],
    named: Iterable[tuple[str, int]],
) -> Connections:
    """Say what became of every connection, and whose doing it was.

    Args:
        points: All points.
        gaps: All gaps.
        node: What is known of the node.
        followed: Requests and replies of all protocols at all points, decided.
        named: What the findings name: a point, and a flow there.
    """
    chains = chain(points, gaps, [at for at in followed if not at.replies])
    told = fates(chains, followed, gaps, node)
    found = outcomes(chains, np.isin(told.reason, _REFUSED))
    accused = {number for point, flow in named if (number := _of(chains, point, flow)) is not None}
    klass, why = classes(found, told, sorted(accused))
    return Connections(
        chains=chains,
        outcomes=found,
        fates=told,
        direction=directions(chains, node),
        told=klass,
        why=why,
    )


def _of(chains: Chains, point: str, flow: int) -> int | None:
    at = next((number for number, known in enumerate(chains.points) if known.name == point), None)
    number = -1 if at is None or flow < 0 else int(chains.of[at][flow])
    return None if number < 0 else number
