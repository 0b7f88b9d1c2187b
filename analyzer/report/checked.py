"""What `lostsyn check` found in one bundle, and whether that is as expected: what its renderers read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from analyzer.connection.model import Fate, Sighting
from analyzer.expectations import Expectation, Unmet, judge, plain_exit
from analyzer.incident.model import Finding, Incident
from analyzer.report.verdict import headline
from analyzer.result.analysis import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One bundle, checked."""

    paths: tuple[str, ...]
    """As the user gave them."""
    analysis: Result | None = None
    """None where the bundle could not be analysed."""
    error: str = ""
    """Why it could not be analysed, or why nothing can be concluded; empty otherwise."""
    expectation: Expectation | None = None
    unmet: tuple[Unmet, ...] = ()
    """Where the bundle is not as expected."""

    @classmethod
    def of(cls, paths: Sequence[str], analysis: Result, expectation: Expectation | None = None) -> Checked:
        """Judge *analysis*; of its columns nothing is kept, so that many bundles fit into memory."""
        foreseen = expectation is not None and expectation.exit == 2
        return cls(
            paths=tuple(paths),
            analysis=replace(analysis, scene=None),
            error="" if foreseen else untold(analysis),
            expectation=expectation,
            unmet=judge(analysis, expectation) if expectation else (),
        )

    @property
    def name(self) -> str:
        """Its paths, for people."""
        return ", ".join(self.paths)

    @property
    def why(self) -> str:
        """The error, and of which bundle it tells; empty without one."""
        named = not self.error or self.error.startswith(self.name)
        return self.error if named else f"{self.name}: {self.error}"

    @property
    def exit(self) -> int:
        """0 no incident, or as expected; 1 incidents, or not as expected; 2 nothing can be said."""
        if self.error or self.analysis is None:
            return 2
        return int(bool(self.unmet)) if self.expectation else plain_exit(self.analysis)

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """Those that nobody expected."""
        if self.analysis is None:
            return ()
        if self.expectation is None:
            return self.analysis.incidents
        return tuple(unmet.incident for unmet in self.unmet if unmet.incident)

    @property
    def missing(self) -> tuple[Unmet, ...]:
        """What was expected and is not so."""
        return tuple(unmet for unmet in self.unmet if unmet.incident is None)

    def file(self, label: str) -> str:
        """Return the path of the file that the bundle calls *label*: a capture, or the archive that holds it."""
        for path in map(Path, self.paths):
            for file in (path / label, path.parent / label):
                if ".." not in Path(label).parts and file.is_file():
                    return file.as_posix()
        return Path(self.paths[0]).as_posix()


def untold(analysis: Result) -> str:
    """Why there is no verdict: nothing can be said at all, or failed connections cannot be placed."""
    if analysis.incidents:
        return ""
    if analysis.account.open:
        return headline(analysis)
    return analysis.inconclusive or ""


def last_seen(finding: Finding) -> Sighting | None:
    """Return where the packet that a finding begins with was last seen."""
    for attempt in finding.attempts:
        if attempt.fate is Fate.VANISHED and attempt.packets:
            return attempt.packets[-1]
    told = sorted(finding.passages, key=lambda passage: passage.role != "offender")
    return told[0].sightings[-1] if told else None
