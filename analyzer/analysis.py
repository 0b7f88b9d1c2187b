"""The result of `analyze`: tables, incidents, counts, caveats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from analyzer.model import Account, Connection, Finding, Incident

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from analyzer.capture.bundle import Bundle
    from analyzer.capture.hashing import Input
    from analyzer.evidence.collecting import ReadFile
    from analyzer.health import Signal
    from analyzer.incident.scene import Scene
    from analyzer.model import Advice, CapturePoint, Counts, Coverage, Occupancy, Outside, Reconciled, Untold
    from analyzer.report.notebook import Drawing


@dataclass(frozen=True, kw_only=True, repr=False)
class Analysis:
    """One bundle, analysed.

    The tables are pandas DataFrames, made when asked for (`analyzer.schema` documents their columns); `incidents` and the
    rest are plain objects.
    """

    bundle: str
    """What was analysed, as the user named it."""
    kernel: str | None
    """From the bundle's `uname`; a hint, since distributions backport."""
    capture_points: tuple[CapturePoint, ...]
    """Pod to uplink."""
    counts: Counts
    account: Account
    """What became of every connection, in four numbers."""
    incidents: tuple[Incident, ...]
    reconciliation: tuple[Reconciled, ...]
    caveats: tuple[str, ...]
    mappings: tuple[dict[str, object], ...] = field(default=(), repr=False)
    """NAT mappings between the points: see `analyzer.summary.mappings`."""
    inconclusive: str | None = None
    """Why nothing at all can be concluded; None where something can."""
    advice: tuple[Advice, ...] = ()
    """What the captures lack, and which to take next; see `analyzer.advice`."""
    health: tuple[Signal, ...] = ()
    """Signs of the node's health, from whatever files are in the bundle."""
    occupancy: Occupancy | None = field(default=None, repr=False)
    """The conntrack table's estimated occupancy; None where the captures hold no flow."""
    outside: Outside | None = None
    """What failed outside the node; see `analyzer.incident.outside`. None where nothing did."""
    coverage: tuple[Coverage, ...] = ()
    """The gaps in which something stays open, and how much of them was recorded; see `analyzer.incident.covering`."""
    untold: tuple[Untold, ...] = ()
    """The first failed connections of which nobody can tell where."""
    read: tuple[ReadFile, ...] = ()
    """What was recognised in the files beside the captures."""
    inputs: tuple[Input, ...] = field(default=(), repr=False)
    """Every file that was looked into, with its SHA-256."""
    command: str = ""
    """The command line that asked for it; empty in Python."""
    scene: Scene | None = field(default=None, repr=False, compare=False)
    """The columns behind the tables; None in an analysis that was not made by `analyze`."""

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        scene: Scene,
        counts: Counts,
        incidents: tuple[Incident, ...],
        reconciliation: tuple[Reconciled, ...],
        caveats: Sequence[str],
    ) -> Analysis:
        """Put together what the pipeline found."""
        from analyzer import summary
        from analyzer.advice import advise
        from analyzer.incident import covering, outside

        return cls(
            bundle=bundle.name,
            kernel=scene.evidence.kernel,
            capture_points=summary.capture_points(scene),
            counts=counts,
            account=scene.connections.account() if scene.connections is not None else Account(),
            incidents=incidents,
            reconciliation=reconciliation,
            caveats=summary.caveats(bundle, scene, caveats),
            mappings=summary.mappings(scene),
            inconclusive=summary.blind(scene),
            advice=advise(scene),
            health=summary.health(scene),
            occupancy=summary.occupancy(scene),
            outside=outside.outside(scene),
            coverage=covering.coverage(scene),
            untold=covering.untold(scene),
            read=scene.evidence.read,
            scene=scene,
        )

    @property
    def points(self) -> pd.DataFrame:
        """One row per capture point, pod to uplink."""
        from analyzer import tables

        return tables.points(self.capture_points)

    def packets(self, point: str) -> pd.DataFrame:
        """Packets of one capture point.

        Raises:
            KeyError: No point has that name.
        """
        from analyzer import tables

        points = self.captured.trails.points
        if point not in points:
            raise KeyError(f"no capture point is called {point!r}; there are {', '.join(points)}")
        return tables.packets(points[point])

    @property
    def flows(self) -> pd.DataFrame:
        """Flows of all points."""
        from analyzer import tables

        return tables.flows(self.captured)

    @property
    def crossings(self) -> pd.DataFrame:
        """Flows matched between neighbouring points, with what NAT made of them; a notebook draws the first one's ladder."""
        from analyzer import tables

        table = tables.Crossings(tables.crossings(self.captured))
        table.analysis = self
        return table

    @property
    def passages(self) -> pd.DataFrame:
        """The way of each request (SYN, UDP request) through every gap, with its fate."""
        from analyzer import tables

        return tables.passages(self.captured)

    @property
    def findings(self) -> pd.DataFrame:
        """One row per finding of all incidents."""
        from analyzer import tables

        return tables.findings(self.incidents)

    @property
    def connections(self) -> pd.DataFrame:
        """One row per connection, followed through all points: what became of it, whose doing that was, and why.

        >>> table = analysis.connections
        >>> table[table["class"] == "node"].groupby("pod").size()  # which pod lost most
        """
        from analyzer.connection import table

        return table.connections(self.captured)

    def follow(self, row: Mapping[Any, Any] | pd.Series[Any]) -> Connection:
        """Follow one connection through all points, whether or not anything befell it.

        Args:
            row: Of `flows`, `crossings`, `passages` or `packets`: what has the columns `point` and `flow`, or
                `inner_point` and `inner_flow`.

        Raises:
            KeyError: *row* has no such columns, or names no flow.
        """
        from analyzer import following

        return following.follow(self.captured, *following.located(self, row))

    def ladder(self, of: Incident | Finding | Connection | Mapping[Any, Any] | pd.Series[Any]) -> Drawing:
        """Draw the ladder of one connection; a notebook shows it in place, and its `svg` is a file.

        Args:
            of: A finding, an incident (its first finding is drawn), what `follow` returned, or a row of any table.

        Raises:
            KeyError: The row names no flow, and no finding.
        """
        from analyzer.report import notebook

        if isinstance(of, Incident):
            of = of.findings[0]
        if not isinstance(of, Finding | Connection):
            of = self._finding(of) if "incident" in of else self.follow(of)
        return notebook.ladder(of, self.capture_points)

    def _finding(self, row: Mapping[Any, Any] | pd.Series[Any]) -> Finding:
        """The finding of a row of `findings`."""
        for incident in self.incidents:
            for finding in incident.findings:
                if (incident.id, finding.inner, finding.time) == (
                    row["incident"],
                    row["inner"],
                    row["time"].value,
                ):
                    return finding
        raise KeyError(f"no finding of {row['incident']!r} is of {row['inner']!r}")

    def __repr__(self) -> str:
        from analyzer.report import text

        return text.overview(self)

    def _repr_html_(self) -> str:
        from analyzer.report import notebook

        return notebook.analysis(self)

    def to_html(self) -> str:
        """Render the report: one self-contained HTML page."""
        from analyzer.report import html

        return html.render(self)

    def to_json(self) -> str:
        """Render the analysis as JSON, `format_version` 1."""
        from analyzer.report import json_

        return json_.render(self)

    def to_parquet(self, folder: Path | str) -> None:
        """Write every table as a Parquet file into *folder*: see `analyzer.parquet`.

        Raises:
            MissingTool: pyarrow is not installed.
            LostsynError: The folder or a file cannot be written.
        """
        from analyzer import parquet

        parquet.write(self, folder)

    @property
    def captured(self) -> Scene:
        """The columns behind the tables.

        Raises:
            ValueError: This analysis was not made by `analyze`, and has none.
        """
        if self.scene is None:
            raise ValueError("this Analysis holds no captures; tables come from analyzer.analyze()")
        return self.scene


def _incident(incident: Incident) -> str:
    from analyzer.report import notebook

    return notebook.incident(incident)


def _finding(finding: Finding) -> str:
    from analyzer.report import notebook

    return notebook.finding(finding)


def _connection(connection: Connection) -> str:
    from analyzer.report import notebook

    return notebook.ladder(connection).html


# A notebook shows an object by this method. It is given to them here since the model knows nobody who could render it.
Incident._repr_html_ = _incident  # type: ignore[attr-defined]
Finding._repr_html_ = _finding  # type: ignore[attr-defined]
Connection._repr_html_ = _connection  # type: ignore[attr-defined]
