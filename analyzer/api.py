"""What users import: `analyze`, and the `Analysis` that it returns, which can show itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analyzer.capture.bundle import Bundle
from analyzer.capture.hashing import LIMIT, hashes
from analyzer.capture.points import record
from analyzer.capture.storage import Memory, TemporaryFiles
from analyzer.connection.model import Connection
from analyzer.errors import TooLarge, UnusableInput
from analyzer.evidence import collect
from analyzer.evidence.nodes import interfaces_for
from analyzer.incident.model import Finding, Incident
from analyzer.result.analysis import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from analyzer.report.notebook import Drawing


def analyze(
    paths: Path | str | Bundle | Sequence[Path | str],
    *,
    points: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    memory: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
    hash_limit: int | None = LIMIT,
) -> Analysis:
    """Analyse the captures and the side evidence of one incident on one node.

    Args:
        paths: Files, folders or archives that make one bundle, or an opened `Bundle`.
        points: File (as given, its label, or its last part) to the name of its capture point.
        roles: Capture point to role: `pod`, `bridge` or `uplink`.
        memory: Bytes of memory to use at most: the columns then lie in temporary files. The result is the same.
        progress: Called now and then with how many more stored bytes were read.
        hash_limit: Most bytes of the bundle's files, the small ones first, of which `Analysis.inputs` has the SHA-256;
            None for all.

    Returns:
        The incidents, the account of all connections, and the tables.

    Raises:
        UnusableInput: Nothing in *paths* can be analysed, *points* names no capture of theirs, or *roles* no point or no
            role.
        TooLarge: There is not enough memory.

    Example:
        >>> analysis = analyze("fixtures/snat-race")
        >>> [(incident.id, incident.cause, len(incident.findings)) for incident in analysis.incidents]
        [('syn-vanished-1', 'snat-port-race', 6)]
        >>> int((analysis.connections["outcome"] == "delayed").sum())
        6
    """
    try:
        bundle = _bundle(paths, points)
        with ThreadPoolExecutor(1) as pool:
            inputs = pool.submit(hashes, bundle.files, hash_limit)
            return replace(_analyze(bundle, roles or {}, memory, progress), inputs=inputs.result())
    except MemoryError:
        least = (
            "more memory than there is"
            if memory is None
            else f"more than --memory {memory >> 20}M leaves room for"
        )
        raise TooLarge(
            f"the analysis needs {least}; keep the columns on a disk with --memory 2G, or leave out captures"
        ) from None


def _analyze(
    bundle: Bundle, roles: Mapping[str, str], memory: int | None, progress: Callable[[int], None]
) -> Analysis:
    storage = TemporaryFiles(memory) if memory else Memory()
    # Reading text, and importing the half of the modules that serves what comes after decoding, is the work of one processor,
    # and of one thread: pytest parses each module of a plugin's package, which fails in two at once (CPython 3.11, gh-106905).
    with ThreadPoolExecutor(1) as aside:
        evidence = aside.submit(collect, bundle.evidence).result
        aside.submit(import_module, "analyzer.pipeline")
        recordings = record(
            bundle.captures, lambda file: interfaces_for(file, evidence()), roles, progress, storage
        )
    from analyzer.pipeline import conclude

    return Analysis(**vars(conclude(bundle, evidence(), recordings)))


def _bundle(paths: Path | str | Bundle | Sequence[Path | str], points: Mapping[str, str] | None) -> Bundle:
    if isinstance(paths, Bundle):
        if points:
            raise UnusableInput("points: the bundle is opened already; give them to Bundle.open")
        return paths
    return Bundle.open([paths] if isinstance(paths, str | Path) else list(paths), points=points)


@dataclass(frozen=True, kw_only=True, repr=False)
class Analysis(Result):
    """One bundle, analysed: incidents, the account of all connections, tables, and how to show them.

    The tables are pandas DataFrames, made when asked for (`analyzer.result.schema` documents their columns); `incidents`
    and the rest are plain objects.
    """

    @property
    def crossings(self) -> pd.DataFrame:
        """Flows matched between neighbouring points, with what NAT made of them; a notebook draws the first one's ladder."""
        from analyzer.report.crossings import Crossings

        table = Crossings(super().crossings)
        table.ladder = self.ladder
        return table

    def follow(self, row: Mapping[Any, Any] | pd.Series[Any]) -> Connection:
        """Follow one connection through all points, whether or not anything befell it.

        Args:
            row: Of `flows`, `crossings`, `passages` or `packets`: what has the columns `point` and `flow`, or
                `inner_point` and `inner_flow`.

        Raises:
            KeyError: *row* has no such columns, or names no flow.
        """
        from analyzer.incident import following

        return following.follow(self.captured, *following.located(self.captured, row))

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
        """Write every table as a Parquet file into *folder*: see `analyzer.result.parquet`.

        Raises:
            MissingTool: pyarrow is not installed.
            LostsynError: The folder or a file cannot be written.
        """
        from analyzer.result import parquet

        parquet.write(self, folder)


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
