"""What a scenario works with."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from analyzer.lab.node import Node
from analyzer.lab.recording import Recording, recorded


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of a scenario."""

    net: Node
    """The namespaces."""
    rounds: int
    """How often the scenario is to repeat its traffic."""
    recording: Recording | None
    """It runs while the scenario does; None where nobody records."""
    directory: Path
    """Where the bundle is written."""
    ends: ExitStack = field(default_factory=ExitStack)
    """Closed after the traffic."""

    def collect(self) -> None:
        """Have the node asked now, too.

        A scenario whose incident ends before its traffic calls this while it lasts; when the recording begins and ends
        the node is asked in any case.
        """
        if self.recording is not None:
            self.recording.tell()

    def record(self, point: str, tools: Path | None = None) -> Recording:
        """Record an interface that the scenario has for itself, from now on until after the traffic.

        Args:
            point: The interface; the scenario names it in `Scenario.apart`.
            tools: A folder of programs that are found before others.
        """
        apart = Path(self.ends.enter_context(TemporaryDirectory()))
        self.ends.callback(self._keep, point, apart)
        return self.ends.enter_context(recorded(self.net.node, apart, [point], tools=tools))

    def _keep(self, point: str, apart: Path) -> None:
        """Move what was recorded apart into the bundle, beside what the other recording has."""
        (apart / "manifest.json").rename(self.directory / f"manifest-{point}.json")
        for name in (f"{point}.pcap", f"tcpdump-{point}.log"):
            (apart / name).rename(self.directory / name)
