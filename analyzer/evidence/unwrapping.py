"""What people and tools put around the output of a command, taken off before anyone reads it.

A terminal's colours and prompts, Markdown's fences and quotes, HTML's `<pre>`, the JSON that ansible, AWS SSM, Azure and
container runtimes put output into, and what `kubectl logs --prefix`, `docker compose logs`, CRI and systemd put before
each line. A wrapper is recognised by the beginning of a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

MOST = 32 << 20
"""Characters that are decoded as JSON."""
_FAILURES = 16
_DEPTH = 12
"""Objects within objects that an envelope may have."""

_BEGINNING, _ALIKE, _FOLLOWING = 6, 20, 4
_DIGEST = 1 << 18
"""Characters of a digest."""
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>])")
_BANNER = re.compile(
    r"^(?:Defaulted container \"|If you don't see a command prompt|Creating debugging pod |Unable to use a TTY"
    r"|command terminated with exit code|Starting pod/|Removing debug pod|Temporary namespace |To use host binaries, run"
    r"|Warning: Permanently added |Pseudo-terminal will not be allocated|Connection to \S+ closed|Targeting container \")"
    r"[^\n]*\n?",
    re.MULTILINE,
)
_PROMPT = re.compile(
    r"^\s*(?:\[[^\]\n]{1,80}\][$#] |[\w.-]{1,32}@[\w.-]{1,64}[^\n]{0,80}?[$#%>] ?|[$#%] )[^\n]*$"
)
_PRE = re.compile(r"<pre\b[^>]{0,500}>(.*?)(?:</pre>|\Z)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]{0,500}>")
_FENCE = re.compile(r"^ {0,3}(?:```|~~~)[^\n`]{0,40}$")
_INDENT = re.compile(r" {4}|\t")
_QUOTE = re.compile(r"^ {0,3}(?:> ?)+")
_ENVELOPE = re.compile(
    r'"(?:stdout|stdout_lines|StandardOutputContent|standardOutputContent|Output|output|logs|log|message|MESSAGE|content)"\s*:'
)
_KEYS = frozenset({
    "stdout", "StandardOutputContent", "standardOutputContent", "Output", "output", "logs", "message", "content",
})  # fmt: skip
_ANSIBLE = re.compile(r"^\S{1,255} \| (?:CHANGED|SUCCESS|FAILED!?) (?:\| rc=\d+ >>|=> \{)\s*$", re.MULTILINE)
_AZURE = re.compile(r"^\[std(?:out|err)\]$", re.MULTILINE)
_LINES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("kubectl logs --prefix", re.compile(r"^\[pod/[\w./-]{1,300}\] ?")),
    ("a container's log", re.compile(r"^\d{4}-\d\d-\d\dT[\d:.]{8,20}(?:Z|[+-]\d\d:\d\d) std(?:out|err) [FP] ")),
    ("docker compose logs", re.compile(r"^[\w.-]{1,80} +\| ")),
    # What a service of systemd's printed; the kernel's own lines and the daemons' logs have other names there.
    ("the journal", re.compile(
        r"^[A-Z][a-z]{2} [ \d]\d [\d:]{8} \S{1,64} (?!kernel\b)[\w./-]*(?:diag|collect|dump|capture|bash|sh|node-debug)[\w./-]*"
        r"(?:\[\d+\])?: ?")),
)  # fmt: skip
_LOGGED = re.compile(r'^\{"(?:log|MESSAGE|_[A-Z_]+|SYSLOG_\w+|PRIORITY)":')
_LISTING = re.compile(
    r'"(?:ifindex|nftables|kernel|dst|qdisc|kind|mac|apiVersion|NetworkSettings|sandboxId|flow|priority)"\s*:'
)
"""Keys of JSON that is an output itself, or tells of pods and containers."""


def wrappers(head: str) -> tuple[str, ...]:
    """Name what is around the output in a file that begins like this, the outermost first."""
    found = [name for name, fits, _ in _WRAPPERS if fits(head)]
    return tuple(found)


def unwrap(text: str, names: tuple[str, ...]) -> str:
    """Take off what was recognised."""
    for name, _, strip in _WRAPPERS:
        if name in names:
            text = strip(text)
    return text


def prompted(line: str) -> bool:
    """Say whether a terminal's prompt stands in a line."""
    return _PROMPT.match(line[:400]) is not None


def without_commands(text: str) -> str:
    """Leave out the lines with prompts."""
    return "".join(line for line in text.splitlines(keepends=True) if not prompted(line.rstrip("\r\n")))


def digest(text: str) -> str:
    """Leave out of a long text what is like what was before, so that further outputs in it are recognised fast.

    Of lines that begin alike the first few are kept, with those that follow them.
    """
    alike: dict[str, int] = {}
    kept: list[str] = []
    length = following = 0
    for line in text.splitlines():
        count = alike.get(line[:_BEGINNING], 0)
        if count < _ALIKE:
            alike[line[:_BEGINNING]] = count + 1
            following = _FOLLOWING
        if following:
            following -= 1
            kept.append(line)
            length += len(line)
            if length > _DIGEST:
                break
    return "\n".join(kept) + "\n"


_REPORT = re.compile(r'<body class="lostsyn">|"tool": \{\s*"name": "lostsyn"|^Made by lostsyn ', re.MULTILINE)
_KINDS = (
    ("an empty list, as `ip -j` prints it where there is nothing to list", r"\A\[[\s{},]*\]\Z"),
    ("a listing of network devices' drivers, which counts nothing", r"^driver: \S+\nversion: "),
    (
        "`ss -s`, which tells no single socket: `ss -tanp` does",
        r"^Total: \d+.*\nTCP: +\d+ \(estab|^sockets: used \d+$",
    ),
    ("`docker ps`, which tells no addresses: `docker inspect` does", r"^CONTAINER ID +IMAGE +COMMAND "),
    (
        "`crictl pods` or `ps`, which tell no addresses: `crictl inspectp` does",
        r"^(?:POD ID|CONTAINER) +(?:IMAGE +)?CREATED +STATE ",
    ),
    (
        "`docker network ls`, which tells no addresses: `docker network inspect` does",
        r"^NETWORK ID +NAME +DRIVER ",
    ),
    (
        "`tc qdisc` without its counters: `tc -s qdisc` tells them",
        r"^qdisc \S+ [\da-f]+: (?:dev|root|parent) ",
    ),
    (
        "`tc` classes or filters, of which nothing is asked: `tc -s qdisc` tells what queues dropped",
        r"^(?:class|filter) \S+ \S+:?\S* ",
    ),
    (
        "a part of `lsmod`: what it leaves out proves nothing",
        r"^(?:br_netfilter|nf_\w+|xt_\w+|ip_vs\w*|bridge|vxlan) +\d+ +\d+",
    ),
    (
        "the answer of `ip route get`, one packet's way: `ip route show table all` and `ip rule` tell all",
        r"^\s*(?:cache\b|[\da-f.:]+ (?:from \S+ )?(?:via \S+ )?dev \S+)|^RTNETLINK answers: ",
    ),
    (
        "`ip nexthop`, whose next hops `ip route show table all` lists too",
        r"^id \d+ (?:via|group|dev|blackhole) ",
    ),
    (
        "conntrack's expectations: the helpers' connections to come",
        r"^\d+ proto=\d+ src=\S+ dst=\S+ .*mask-src=",
    ),
    (
        "Cilium's connection tracking: the kernel's own, `conntrack -L`, is what is read",
        r"^(?:TCP|UDP|ICMP|SCTP) (?:IN|OUT|SVC|RELATED) \S+ -> \S+ ",
    ),
    (
        "drops of TCP sockets (`tcpdrop`), counted where packets have arrived",
        r"^TIME +PID +(?:COMM +)?IP SADDR:SPORT ",
    ),
    (
        "counts of a bpftrace program by call stack: drops.bt tells each packet",
        r"^@(?:\w+)?\[\s*$|^Attaching \d+ probes?\.\.\.$",
    ),
    ("`perf trace`, whose times are relative: `perf script` tells more", r"^ *\d+\.\d{3} .*skb:kfree_skb\("),
    (
        "an answer of Prometheus' API: the node_exporter's page itself is what is read",
        r'^\{"status": ?"success", ?"data": ?\{"resultType"',
    ),
)
"""Known outputs in which there is nothing to be used, and what would tell more."""


def is_report(head: str) -> bool:
    """Say whether it is what Lostsyn wrote, which quotes rules, settings and commands without being any."""
    return _REPORT.search(head) is not None


def undecided(head: str) -> str:
    """Name a known output in which there is nothing to be used, with what would tell more; empty for any other."""
    return next((what for what, pattern in _KINDS if re.search(pattern, head.strip(), re.MULTILINE)), "")


def resembles(head: str) -> str:
    """Say what a file that nobody knows looks like; empty where it looks like nothing in particular."""
    text = head.strip()
    if not text:
        return "nothing in it"
    failed = re.search(
        r"^[^\n]{0,200}(?:command not found|: not found|[Pp]ermission denied|Operation not permitted|No such file or directory"
        r"|cannot open|Could not fetch rule set|must be root|Unknown device|does not exist)[^\n]{0,80}$", text, re.MULTILINE
    )  # fmt: skip
    if failed and text.count("\n") < 5:
        return f"an error of the tool: {failed[0].strip()[:100]!r}"
    if re.match(r"\s*(?:<!DOCTYPE|<html|<\?xml)", text, re.IGNORECASE):
        return "HTML or XML without <pre>"
    if text[0] in "[{":
        keys = list(dict.fromkeys(re.findall(r'"([\w.-]{1,40})"\s*:', text[:4000])))[:4]
        return f"JSON with {', '.join(keys)}" if keys else "JSON"
    if text.startswith("#!"):
        return "a script"
    if re.match(r"(?:---\s*\n|apiVersion: )", text):
        return "YAML"
    if re.search(r"^(?:[A-Z][a-z]{2} [ \d]\d [\d:]{8} |\d{4}-\d\d-\d\d[T ][\d:]{8})", text, re.MULTILINE):
        return "a log that is not the kernel's"
    lines = text.splitlines()[:20]
    if len(lines) > 2 and len({line.count(",") for line in lines}) == 1 and lines[0].count(",") > 1:
        return "CSV"
    return f"text that begins {lines[0][:60]!r}"


def _first_lines(head: str) -> list[str]:
    return [line for line in head.splitlines()[:200] if line.strip()]


def _most(head: str, pattern: re.Pattern[str], *, share: float = 0.8) -> bool:
    lines = _first_lines(head)
    return bool(lines) and sum(pattern.match(line) is not None for line in lines) >= share * len(lines)


def _stripped(pattern: re.Pattern[str]) -> Callable[[str], str]:
    return lambda text: "".join(pattern.sub("", line, count=1) for line in text.splitlines(keepends=True))


def _pre(text: str) -> str:
    import html

    return "\n".join(html.unescape(_TAG.sub("", part)).strip("\n") + "\n" for part in _PRE.findall(text))


def _fenced(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not _FENCE.match(line.rstrip("\r\n")))


def _is_envelope(head: str) -> bool:
    begins = re.match(r"\s*[\[{]", head) is not None or _ANSIBLE.search(head) is not None
    return begins and not _LISTING.search(head[:2000]) and _ENVELOPE.search(head) is not None


def _enveloped(text: str) -> str:
    found: list[str] = []
    decoder, at, failed = json.JSONDecoder(), 0, 0
    said = text[:MOST]
    # Each that does not end may be read to the end, so few of them are tried.
    while failed < _FAILURES and (
        begin := re.compile(r"^(?:\S{1,255} \| \w+!? => )?\s*([\[{])", re.MULTILINE).search(said, at)
    ):
        try:
            document, at = decoder.raw_decode(said, begin.start(1))
        except (ValueError, RecursionError):
            at, failed = begin.end(), failed + 1
            continue
        found += _outputs(document, _DEPTH)
    # A word of its own here and there makes no envelope.
    outputs = any("\n" in one for one in found) or 4 * sum(map(len, found)) > len(said)
    return "\n".join(found) if outputs else text


def _outputs(value: Any, depth: int) -> Iterator[str]:
    if depth == 0:
        return
    if isinstance(value, dict):
        lines = value.get("stdout_lines")
        if isinstance(lines, list) and "stdout" not in value:
            yield "\n".join(line for line in lines if isinstance(line, str))
        for key, inner in value.items():
            if key in _KEYS and isinstance(inner, str):
                yield _AZURE.sub("", inner)
            elif key != "stdout_lines":
                yield from _outputs(inner, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _outputs(inner, depth - 1)


def _logged(text: str) -> str:
    """Take lines out of a log that has a JSON object for each (docker's `json-file`, `journalctl -o json`)."""
    lines = []
    for line in text.splitlines():
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(told, dict):
            continue
        said = told.get("log", told.get("MESSAGE"))
        if isinstance(said, str):
            when = told.get("__REALTIME_TIMESTAMP", "")
            kernel = told.get("_TRANSPORT") == "kernel" or told.get("SYSLOG_IDENTIFIER") == "kernel"
            stamp = (
                f"{when[:-6]}.{when[-6:]} node kernel: "
                if kernel and str(when).isdecimal() and len(when) > 6
                else ""
            )
            lines.append(stamp + said.rstrip("\n"))
    return "\n".join(lines) + "\n" if lines else text


_NUMBER = re.compile(r" *(\d{1,7})(?:\t|:(?=\S)|(?: ?[|:│])? +)")


def _numbered(head: str) -> bool:
    """Whether an editor, `cat -n` or `grep -n` put numbers before the lines: each is one more than the last, or `N:` grows."""
    lines = _first_lines(head)
    said = [match for line in lines if (match := _NUMBER.match(line))]
    steps = {int(b[1]) - int(a[1]) for a, b in pairwise(said)}
    sure = all(match[0][-1] in ":\t" for match in said)
    return len(said) == len(lines) > (1 if sure else 3) and (steps == {1} or (sure and min(steps) > 0))


def _host(head: str) -> str:
    """The host's name that pdsh, ansible or talosctl put before every line; empty without."""
    lines = _first_lines(head)
    name, colon, _ = lines[0].partition(": ") if lines else ("", "", "")
    fits = colon and len(lines) > 2 and re.fullmatch(r"[\w.-]{1,255}", name)
    return f"{name}: " if fits and all(line.startswith(f"{name}:") for line in lines) else ""


def _unhosted(text: str) -> str:
    host = _host(text)
    return "".join(line.removeprefix(host) for line in text.splitlines(keepends=True))


_WRAPPERS: tuple[tuple[str, Callable[[str], bool], Callable[[str], str]], ...] = (
    ("colours", lambda head: "\x1b" in head, lambda text: _ESCAPE.sub("", text)),
    ("HTML", lambda head: _PRE.search(head) is not None, _pre),
    ("a log in JSON", lambda head: _LOGGED.match(head) is not None, _logged),
    ("JSON", _is_envelope, _enveloped),
    *(
        (name, lambda head, pattern=pattern: _most(head, pattern), _stripped(pattern))
        for name, pattern in _LINES
    ),
    ("quotes", lambda head: _most(head, _QUOTE), _stripped(_QUOTE)),
    ("fences", lambda head: any(_FENCE.match(line) for line in head.splitlines()), _fenced),
    ("indentation", lambda head: _most(head, _INDENT, share=1), _stripped(_INDENT)),
    ("line numbers", _numbered, _stripped(_NUMBER)),
    ("a host's name", lambda head: bool(_host(head)), _unhosted),
    ("banners", lambda head: _BANNER.search(head) is not None, lambda text: _BANNER.sub("", text)),
)
