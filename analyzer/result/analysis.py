"""What an analysis is: incidents, counts, caveats, and the tables behind them. It knows nobody who could show it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from analyzer.capture.hashing import Input
    from analyzer.connection.model import Account
    from analyzer.evidence.collecting import ReadFile
    from analyzer.field.explaining import SlowLog
    from analyzer.incident.health import Signal
    from analyzer.incident.model import (
        Advice,
        CapturePoint,
        Counts,
        Coverage,
        Incident,
        Occupancy,
        Outside,
        Reconciled,
        Untold,
    )
    from analyzer.incident.scene import Scene


@dataclass(frozen=True, kw_only=True, repr=False)
class Result:
    """One bundle, analysed.

    The tables are pandas DataFrames, made when asked for (`analyzer.result.schema` documents their columns); `incidents`
    and the rest are plain objects.
    """

    bundle: str
    """What was analysed, as the user named it."""
    kernel: str | None
    """From the bundle's `uname`; a hint, since distributions backport."""
    capture_points: tuple[CapturePoint, ...]
    """Pod to uplink."""
    counts: Counts
    """The bundle in numbers."""
    account: Account
    """What became of every connection, in four numbers."""
    incidents: tuple[Incident, ...]
    """What this node did, in time order; empty where it did nothing wrong."""
    reconciliation: tuple[Reconciled, ...]
    """The kernel's counters against what the captures show."""
    caveats: tuple[str, ...]
    """What limits the result, one sentence each."""
    mappings: tuple[dict[str, object], ...] = field(default=(), repr=False)
    """NAT mappings between the points: see `analyzer.incident.summary.mappings`."""
    inconclusive: str | None = None
    """Why nothing at all can be concluded; None where something can."""
    advice: tuple[Advice, ...] = ()
    """What the captures lack, and which to take next; see `analyzer.incident.advice`."""
    health: tuple[Signal, ...] = ()
    """Signs of the node's health, from whatever files are in the bundle."""
    occupancy: Occupancy | None = field(default=None, repr=False)
    """The conntrack table's estimated occupancy; None where the captures hold no flow."""
    outside: Outside | None = None
    """What failed outside the node; see `analyzer.incident.outside`. None where nothing did."""
    coverage: tuple[Coverage, ...] = ()
    """The gaps in which something stays open, and how much of them was recorded; see `analyzer.incident.covering`."""
    untold: tuple[Untold, ...] = ()
    """The first failed connections that cannot be placed."""
    slow: SlowLog | None = None
    """Slow requests of a log and what they waited for: see `with_slow_log`."""
    read: tuple[ReadFile, ...] = ()
    """What was recognised in the files beside the captures."""
    inputs: tuple[Input, ...] = field(default=(), repr=False)
    """Every file that was looked into, with its SHA-256."""
    command: str = ""
    """The command line that asked for it; empty in Python."""
    scene: Scene | None = field(default=None, repr=False, compare=False)
    """The columns behind the tables; None in an analysis that was not made by `analyze`."""

    @property
    def captured(self) -> Scene:
        """The columns behind the tables.

        Raises:
            ValueError: This analysis was not made by `analyze`, and has none.
        """
        if self.scene is None:
            raise ValueError("this Analysis holds no captures; tables come from analyzer.analyze()")
        return self.scene

    @property
    def points(self) -> pd.DataFrame:
        """One row per capture point, pod to uplink."""
        from analyzer.result import tables

        return tables.points(self.capture_points)

    def packets(self, point: str) -> pd.DataFrame:
        """Packets of one capture point.

        Raises:
            KeyError: No point has that name.
        """
        from analyzer.result import tables

        points = self.captured.trails.points
        if point not in points:
            raise KeyError(f"no capture point is called {point!r}; there are {', '.join(points)}")
        return tables.packets(points[point])

    @property
    def flows(self) -> pd.DataFrame:
        """Flows of all points."""
        from analyzer.result import tables

        return tables.flows(self.captured)

    @property
    def crossings(self) -> pd.DataFrame:
        """Flows matched between neighbouring points, with what NAT made of them."""
        from analyzer.result import tables

        return tables.crossings(self.captured)

    @property
    def passages(self) -> pd.DataFrame:
        """The way of each request (SYN, UDP request) through every gap, with its fate."""
        from analyzer.result import tables

        return tables.passages(self.captured)

    @property
    def findings(self) -> pd.DataFrame:
        """One row per finding of all incidents."""
        from analyzer.result import tables

        return tables.findings(self.incidents)

    @property
    def connections(self) -> pd.DataFrame:
        """One row per connection, followed through all points: what became of it, whose doing that was, and why.

        Example:
            >>> table = analysis.connections
            >>> by_pod = table[table["class"] == "node"].groupby("pod").size()  # which pod lost most
            >>> int(by_pod.sum())
            6
        """
        from analyzer.result import connection_table

        return connection_table.connections(self.captured, self.incidents)

    def with_slow_log(self, *files: Path | str) -> Self:
        """Return this analysis with what the slow requests of these logs waited for, as `slow`; every report tells it.

        Args:
            files: The log of `lostsyn probe`, or an application's own: JSON, JSON Lines or CSV with time, duration, address.

        Raises:
            UnusableInput: A file cannot be read.
        """
        from analyzer.result.slow_requests import join

        slow, caveats = join(self.connections, self.captured.points, files)
        return replace(self, slow=slow, caveats=(*self.caveats, *caveats))
