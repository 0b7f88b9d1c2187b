"""The verdict in one line: how many connections failed, whose doing that was, and what cannot be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analyzer.connection.model import Account, GapNames
from analyzer.incident.model import Evidence, Exclusion, Finding, Incident, Remedy
from analyzer.incident.reconcile import unseen
from analyzer.incident.unfollowed import UNFOLLOWED
from analyzer.incident.unheard import UNANSWERED
from analyzer.incident.wording import count, duration, wait
from analyzer.report import account as accounts
from analyzer.report.words import between, cause_title, losses, short
from analyzer.result.analysis import Result

# (one, many): what happened to how many, before the place.
_EVENTS = {
    "syn-vanished": ("{n} SYN vanished", "{n} SYNs vanished"),
    "udp-vanished": ("{n} UDP request vanished", "{n} UDP requests vanished"),
    "icmp-vanished": ("{n} echo request vanished", "{n} echo requests vanished"),
    "reply-vanished": ("{n} reply vanished", "{n} replies vanished"),
    "data-vanished": ("{n} TCP segment vanished", "{n} TCP segments vanished"),
    "error-vanished": ("{n} ICMP error was not passed on", "{n} ICMP errors were not passed on"),
    "refused": ("{n} request was refused by this node", "{n} requests were refused by this node"),
    "misdelivered": ("{n} connection was misdelivered", "{n} connections were misdelivered"),
    "invalid-reset": (
        "{n} packet was judged INVALID and answered with a RST",
        "{n} packets were judged INVALID and answered with RSTs",
    ),
    "invalid-dropped": (
        "{n} packet was judged INVALID and dropped",
        "{n} packets were judged INVALID and dropped",
    ),
    "unnatted-leak": ("{n} packet left without translation", "{n} packets left without translation"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A cause with its fix, and the incidents it made: what the report tells as one."""

    incidents: tuple[Incident, ...]
    """In order of time; equal in cause, confidence and remedies."""

    @property
    def first(self) -> Incident:
        """The one that stands for all in what they have in common."""
        return self.incidents[0]

    @property
    def findings(self) -> list[Finding]:
        """Of all incidents."""
        return [finding for incident in self.incidents for finding in incident.findings]

    @property
    def connections(self) -> int:
        """How many connections it met."""
        return sum(len(incident.findings) for incident in self.incidents)

    @property
    def gap(self) -> GapNames | None:
        """Where, if it is one gap for all."""
        return self.first.gap if len({incident.gap for incident in self.incidents}) == 1 else None

    @property
    def evidence(self) -> list[Evidence]:
        """Of all incidents, each sentence once."""
        told: dict[str, Evidence] = {}
        for incident in self.incidents:
            for item in incident.evidence:
                told.setdefault(item.says, item)
        return list(told.values())

    @property
    def excluded(self) -> list[Exclusion]:
        """Of all incidents, each once."""
        return list(dict.fromkeys(item for incident in self.incidents for item in incident.excluded))

    @property
    def fix(self) -> Remedy | None:
        """The first remedy."""
        return self.first.remedies[0] if self.first.remedies else None

    @property
    def others(self) -> int:
        """How many further remedies there are."""
        return max(len(self.first.remedies) - 1, 0)


def causes(incidents: Iterable[Incident]) -> list[Cause]:
    """Return each cause once for each fix that it needs, those with the most connections first.

    Losses of unknown cause have nothing in common but that: each kind in each gap stands alone.
    """
    groups: dict[tuple[object, ...], list[Incident]] = {}
    for one in incidents:
        alone = (one.kind, one.gap) if one.cause == "unknown" else ()
        groups.setdefault((one.cause, one.confidence, one.remedies, *alone), []).append(one)
    return sorted((Cause(incidents=tuple(group)) for group in groups.values()), key=lambda c: -c.connections)


_DROPPED = "this node dropped packets that the captures do not show"
_VAIN = "a pod can send nothing, since nobody answers its requests for a link-layer address"

_UNFOLLOWED = "packets of a protocol that is not followed got no reply"


def _beside(analysis: Result) -> str:
    """What is wrong though no connection shows it; empty without."""
    said = analysis.inconclusive or ""
    if said.endswith(UNANSWERED):
        return _VAIN
    if said.endswith(UNFOLLOWED):
        return _UNFOLLOWED
    return _DROPPED if said and said == unseen(analysis.reconciliation) else ""


def headline(analysis: Result, incidents: Sequence[Incident] | None = None) -> str:
    """Return the verdict: what failed because of this node, what cannot be told, what failed elsewhere, or that nothing did.

    Args:
        analysis: What was found.
        incidents: Those that are told of; None for all.
    """
    account = analysis.account
    incidents = analysis.incidents if incidents is None else incidents
    if incidents:
        whole = len(incidents) == len(analysis.incidents)  # else the account is about more than these
        told = [_node(incidents, account, whole=whole), *_events(incidents)]
        if account.open and whole:
            told.append(f"cannot tell for {account.open:,} more")
        return "; ".join(told)
    if account.open:
        return _open(account)
    if account.waited:
        return _waited(account)
    beside = _beside(analysis)
    if analysis.inconclusive and not beside:
        return "Nothing can be concluded from these captures"
    if account.outside:
        some = f"{account.outside:,} of {count(account.connections, 'connection')}"
        return f"{some} {_elsewhere(account)}; {beside or 'none because of this node'}"
    if not account.connections:
        return beside.capitalize() or "No incident: the captures hold no connection to follow"
    if account.worked + account.unknown == account.connections and not account.worked:
        return f"The capture ends before the outcome of {count(account.unknown, 'connection')} is known"
    cut = f"; {account.unknown:,} more are unfinished when the capture ends" if account.unknown else ""
    if beside:
        return f"{_all(account.worked).capitalize()} worked, but {beside}{cut}"
    return f"No incident: {_all(account.worked)} worked{cut}"


def _waited(account: Account) -> str:
    """How many this node delayed without a loss, and where most of them waited."""
    one = account.waited[0]
    some = f"{account.node:,} of {count(account.connections, 'connection')}"
    beyond = f"; {account.outside:,} more failed or waited outside this node" if account.outside else ""
    return (
        f"{some} waited in this node for up to {duration(max(each.longest for each in account.waited))}"
        f"{between(one.gap)}, so that a SYN was repeated; nothing was lost{beyond}"
    )


def _all(worked: int) -> str:
    return "the one connection" if worked == 1 else f"all {worked:,} connections"


def _node(incidents: Sequence[Incident], account: Account, *, whole: bool) -> str:
    """How many connections, and the causes with how sure they are."""
    ranked = Counter[tuple[str, str]]()
    for incident in incidents:
        ranked[incident.cause, incident.confidence] += len(incident.findings)
    causes = [
        short(cause_title(cause), 80) + f" ({confidence})" * (cause != "unknown")
        for (cause, confidence), _ in ranked.most_common(2)
    ] + [f"and {len(ranked) - 2} more"] * (len(ranked) > 2)
    node = (whole and account.node) or sum(len(incident.findings) for incident in incidents)
    of = f" of {account.connections:,}" if account.connections else ""
    many = "" if (account.connections or node) == 1 else "s"
    return f"{node:,}{of} connection{many} {_befell(incidents)} because of this node: {', '.join(causes)}"


def _befell(incidents: Sequence[Incident]) -> str:
    """What the users felt: a wait where every connection got through in the end, or a failure."""
    findings = [finding for incident in incidents for finding in incident.findings]
    delays = [finding.delay_s for finding in findings if finding.delay_s is not None]
    if delays and len(delays) == len(findings):
        return f"waited up to {wait(max(delays))}" if max(delays) >= 0.01 else "were delayed"
    if not delays and all(one.kind in ("syn-vanished", "refused") for one in incidents):
        return "failed"
    return "were delayed or failed" if len(findings) != 1 else "was delayed or failed"


def _elsewhere(account: Account) -> str:
    """What happened outside the node: late answers, or failures."""
    late = account.outcomes_outside.get("delayed", 0)
    if late == account.outside:
        return "needed a retry outside this node"
    return f"failed {'or waited ' * bool(late)}outside this node or at the peer"


def _events(incidents: Sequence[Incident]) -> list[str]:
    """What happened to how many packets, and where, if that is said in a few words."""
    sums: Counter[tuple[str, GapNames | None]] = Counter()
    for incident in incidents:
        gap = incident.gap if incident.kind.endswith("-vanished") else None
        sums[incident.kind, gap] += losses(incident)
    if len(sums) > 2:
        whole: Counter[tuple[str, GapNames | None]] = Counter()
        for (kind, _), number in sums.items():
            whole[kind, None] += number
        sums = whole
    told = [
        _EVENTS[kind][number != 1].format(n=f"{number:,}") + between(gap)
        for (kind, gap), number in sums.items()
    ]
    rest = len(told) - 2
    return told[:2] + ([f"and {rest} more"] if rest > 0 else [])


def _open(account: Account) -> str:
    """How many failed somewhere, and the commonest reason why it cannot be told where."""
    reasons = {code: number for code, number in account.why_unknown.items() if code != "unfinished"}
    why = accounts.why(max(reasons, key=reasons.__getitem__, default="untold"))
    failed = f"{account.open:,} of {account.connections:,} connections failed"
    beyond = f"; {account.outside:,} more failed outside this node" if account.outside else ""
    return f"{failed}, cannot tell where: {short(why, 120)}{beyond}"
