"""What a bundle is expected to hold: incidents that must or may be found in it, and nothing else."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from analyzer.connection.model import GapNames
from analyzer.incident.model import Finding, Incident
from analyzer.result.analysis import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """How many: from `least` to `most`, both included."""

    least: int = 0
    most: int | None = None
    """None: any number from `least` on."""

    def __contains__(self, number: int) -> bool:
        return self.least <= number and (self.most is None or number <= self.most)

    def __str__(self) -> str:
        if self.least == self.most:
            return f"{self.least}"
        if self.most is None:
            return f"at least {self.least}"
        return f"{self.least} to {self.most}" if self.least else f"at most {self.most}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a connection was going: an address or a network, and a port if it matters."""

    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    port: int | None = None

    @classmethod
    def of(cls, text: str) -> Destination:
        """Read `192.0.2.100:80`, `192.0.2.0/24`, `[2001:db8::1]:443`.

        Raises:
            ValueError: *text* is none of these.
        """
        if text.startswith("["):
            host, colon, port = text[1:].partition("]:")
        elif text.count(":") == 1:
            host, colon, port = text.partition(":")
        else:
            host, colon, port = text, "", ""
        if colon and not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
            raise ValueError(f"{port!r} is not a port")
        return cls(network=ipaddress.ip_network(host), port=int(port) if colon else None)

    def holds(self, flow: str) -> bool:
        """Whether *flow*, `10.244.0.11:20000 > 192.0.2.100:80/tcp`, goes there."""
        try:
            end = Destination.of(flow.partition(" > ")[2].rpartition("/")[0])
        except ValueError:
            return False
        return end.network.network_address in self.network and self.port in (None, end.port)

    def __str__(self) -> str:
        host = str(self.network).removesuffix("/32").removesuffix("/128")
        if self.port is None:
            return host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which findings there must or may be; what is None fits all."""

    kind: str | None = None
    cause: str | None = None
    gap: GapNames | None = None
    destination: Destination | None = None
    """As the pod addressed it, or as it left the node."""
    findings: Range = field(default=Range(least=1))
    required: bool = True
    """False: that there is none is as good."""

    def fits(self, finding: Finding) -> bool:
        """Whether *finding* is one that this rule is about."""
        return (
            self.kind in (None, finding.kind)
            and self.cause in (None, finding.cause)
            and self.gap in (None, finding.gap)
            and (
                self.destination is None
                or any(self.destination.holds(flow) for flow in (finding.inner, finding.outer) if flow)
            )
        )

    def met_by(self, number: int) -> bool:
        """Whether *number* findings are as many as there should be."""
        return number in self.findings or (not self.required and number == 0)

    def __str__(self) -> str:
        gap = f"between {self.gap[0]} and {self.gap[1]}" if self.gap else ""
        to = f"to {self.destination}" if self.destination else ""
        what = [part for part in (self.kind, self.cause) if part] or ["any kind and cause"]
        return " ".join(filter(None, (*what, gap, to)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What one bundle is expected to hold."""

    exit: int | None = None
    """Of `lostsyn check` without expectations; 2: nothing can be concluded. None where it does not matter."""
    counts: Mapping[str, Range] = field(default_factory=dict)
    """By name of `analyzer.incident.model.Counts`; others are not compared."""
    rules: tuple[Rule, ...] = ()
    """The first that fits a finding counts it; what none fits is not expected."""
    source: str = ""
    """The file that says so."""
    line: int = 1
    """Where it begins there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmet:
    """One way in which a bundle is not as expected."""

    says: str
    incident: Incident | None = None
    """The incident that was not expected; None where one is missing or a number differs."""


def plain_exit(analysis: Result) -> int:
    """Return the exit status where nothing is expected: 1 incidents, 2 failures that nothing places, or nothing told at all."""
    if analysis.incidents:
        return 1
    return 2 if analysis.inconclusive or analysis.account.open else 0


def judge(analysis: Result, expectation: Expectation) -> tuple[Unmet, ...]:
    """Compare a bundle with what it is expected to hold; empty if it is so."""
    found: Counter[Rule | None] = Counter()
    unmet = []
    for incident in analysis.incidents:
        fitting = [next((r for r in expectation.rules if r.fits(f)), None) for f in incident.findings]
        found.update(fitting)
        if stray := fitting.count(None):
            of = "" if stray == len(fitting) else f"{stray} of the {len(fitting)} findings of "
            what = Rule(kind=incident.kind, cause=incident.cause, gap=incident.gap)
            unmet.append(Unmet(says=f"not expected: {of}{incident.id} ({what})", incident=incident))
    for rule in expectation.rules:
        if not rule.met_by(found[rule]):
            allowed = f"{rule.findings}{'' if rule.required else ' or none'}"
            unmet.append(Unmet(says=f"findings of {rule}: expected {allowed}, found {found[rule]}"))
    for name, expected in expectation.counts.items():
        if (number := getattr(analysis.counts, name)) not in expected:
            unmet.append(Unmet(says=f"{name}: expected {expected}, found {number}"))
    # Where something else differs, the exit status differs for that.
    if not unmet and expectation.exit not in (None, plain_exit(analysis)):
        unmet.append(Unmet(says=f"exit status: expected {expectation.exit}, found {plain_exit(analysis)}"))
    return tuple(unmet)
