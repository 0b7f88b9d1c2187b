"""What a scenario works with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from analyzer.lab import state
from analyzer.lab.node import Node
from analyzer.lab.recorder import Captures


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of a scenario."""

    net: Node
    """The namespaces."""
    rounds: int
    """How often the scenario is to repeat its traffic."""
    captures: Captures
    """They run while the scenario does."""
    directory: Path
    """Where the bundle is written."""
    collected: bool = False
    """Whether the side evidence is there."""

    def collect(self) -> None:
        """Write the side evidence now.

        A scenario whose incident ends before its traffic calls this while it lasts; for others that is done
        when they return.
        """
        state.collect(self.net.node, self.directory)
        self.collected = True
