"""`nft -j list ruleset`: the same as `nft list ruleset`, as JSON (libnftables-json(5))."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analyzer.capture.naming import printable
from analyzer.evidence import json_lists
from analyzer.evidence.facts import Caveat, Fact
from analyzer.evidence.rules import nft
from analyzer.evidence.rules.expressions import Elements, extension, simple
from analyzer.evidence.rules.model import NAT, Action, Chain, Match, Rule, Ruleset, shown
from analyzer.evidence.sources import RULES

PURPOSE = RULES

_BEGIN = re.compile(r'(\{)\s*"nftables"\s*:\s*\[')
_FLAGS = ("random", "fully-random", "persistent")
_ODD = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)
"""What reading JSON of another shape than the schema's ends in."""


def recognises(head: str) -> bool:
    return _BEGIN.search(head) is not None


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the ruleset of each document in the text."""
    for document in json_lists.documents(text, file, _BEGIN):
        if isinstance(document, Caveat):
            yield document
            return
        try:
            yield _ruleset([item for item in document["nftables"] if isinstance(item, dict)], file)
        except _ODD as problem:
            yield Caveat(says=f"{file}: rules not understood: {problem!r:.120}")


def _ruleset(objects: list[dict[str, Any]], file: str) -> Ruleset:
    chains: dict[tuple[str, str, str], dict[str, Any]] = {}
    rules: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    sets: dict[tuple[str, str], dict[str, Elements]] = {}
    for item in objects:
        if chain := item.get("chain"):
            chains[chain["family"], chain["table"], chain["name"]] = chain
        elif rule := item.get("rule"):
            rules.setdefault((rule["family"], rule["table"], rule["chain"]), []).append(rule)
        elif named := item.get("set") or item.get("map"):
            table = sets.setdefault((named["family"], named["table"]), {})
            table[named["name"]] = _elements(named.get("elem", []))
    return Ruleset(
        file=file,
        source="nft -j list ruleset",
        chains=tuple(
            _chain(chain, rules.get(key, []), sets.get(key[:2], {})) for key, chain in chains.items()
        ),
    )


def _chain(chain: dict[str, Any], said: list[dict[str, Any]], sets: Mapping[str, Elements]) -> Chain:
    family, table, name = (printable(str(chain[key])[:256]) for key in ("family", "table", "name"))
    device = chain.get("dev") or ()
    return Chain(
        family=family,
        table=table,
        name=name,
        legacy=False,
        kind=str(chain.get("type", "")),
        hook=str(chain.get("hook", "")),
        priority=int(chain.get("prio", 0)),
        policy="drop" if chain.get("policy") == "drop" else "accept",
        devices=(device,) if isinstance(device, str) else tuple(map(str, device)),
        rules=tuple(
            _rule(rule, f"{family} {table} {name}", number, sets) for number, rule in enumerate(said, start=1)
        ),
    )


def _rule(rule: dict[str, Any], chain: str, number: int, sets: Mapping[str, Elements]) -> Rule:
    matches: list[Match] = []
    actions: list[Action] = []
    texts: list[str] = []
    counted: dict[str, Any] = {}
    for expression in rule.get("expr", ()):
        ((kind, told),) = expression.items()
        if kind == "match":
            text, found = _match(told, sets)
            texts.append(text)
            matches += found
        elif kind == "counter":
            texts.append("counter")
            counted = told if isinstance(told, dict) else {}
        elif kind in ("limit", "ct count", "quota", "connlimit") or (kind == "xt" and _is_match(told)):
            texts.append(_short(expression))
            matches.append(Match(text=texts[-1]))
        elif kind == "vmap":
            left = [_phrase(part) for part in _parts(told["key"])]
            matches += nft.implied(" . ".join(left), left)
            actions.append(nft.choose(left, _data(told["data"], sets).choices))
            texts.append(f"{' . '.join(left)} vmap {_short(told['data'])}")
        else:
            actions.append(_action(kind, told))
            texts.append(_short(expression) if kind == "mangle" else _said(actions[-1]))
    if "comment" in rule:
        texts.append(f'comment "{rule["comment"]}"')
    return Rule(
        chain=chain,
        number=number,
        text=shown(" ".join(texts)),
        matches=nft.distinct(matches),
        actions=tuple(actions),
        handle=_count(rule.get("handle")),
        packets=_count(counted.get("packets")),
        bytes=_count(counted.get("bytes")),
    )


def _match(told: dict[str, Any], sets: Mapping[str, Elements]) -> tuple[str, list[Match]]:
    op, left, right = told["op"], told["left"], told["right"]
    values: Sequence[list[str]] = _data(right, sets).words
    if isinstance(left, dict) and "&" in left:
        field, mask = (_phrase(left["&"][0]), _joined(left["&"][1]))
        text = f"{field} & {mask} {op} {_joined(right)}"
        return text, nft.masked(text, field, mask, op, _joined(right))
    phrases = [_phrase(part) for part in _parts(left)]
    sign = "" if op in ("==", "in") else f"{op} "
    listed = ", ".join(" . ".join(value) for value in values[:20])
    text = f"{' . '.join(phrases)} {sign}{listed if len(values) == 1 else f'{{ {listed} }}'}"
    return text, nft.condition(text, phrases, op if op != "in" or phrases == ["tcp flags"] else "==", values)


def _action(kind: str, told: Any) -> Action:
    if kind in ("jump", "goto"):
        return simple(kind, str(told["target"]))
    if kind in nft.VERDICTS:
        return simple(kind)
    if kind in NAT:
        told = told or {}
        flags = told.get("flags", ())
        address, port = _joined(told.get("addr", "")), _joined(told.get("port", ""))
        return nft.translation(
            kind, address, port, [f for f in ([flags] if isinstance(flags, str) else flags) if f in _FLAGS]
        )
    if kind == "log":
        return Action(kind="log", target=str((told or {}).get("prefix", "")))
    if kind in ("reject", "queue"):
        told = told or {}
        return Action(kind=kind, target=" ".join(str(told[k]) for k in ("type", "expr") if k in told))  # type: ignore[arg-type]
    if kind == "mangle" and told["key"] == {"meta": {"key": "mark"}}:
        return nft.marked(_operands(told["value"]))
    if kind == "xt":
        name = told.get("name") if isinstance(told, dict) else None
        return (
            extension(name) if isinstance(name, str) else Action(kind="unknown", target=f"xt {_short(told)}")
        )
    return Action(kind="other", target=kind)


def _phrase(left: Any) -> str:
    """Bring a left side to the words of nft's text."""
    if not isinstance(left, dict) or len(left) != 1:
        return _short(left)
    ((kind, told),) = left.items()
    if not isinstance(told, dict):
        return _short(left)
    if kind == "payload" and "protocol" in told:
        return f"{told['protocol']} {told.get('field')}"
    if kind == "meta":
        return f"meta {told.get('key')}"
    if kind == "ct" and "dir" not in told:
        return f"ct {told.get('key')}"
    if kind == "fib" and told.get("result") == "type" and len(told.get("flags", ())) == 1:
        return f"fib {told['flags'][0]} type"
    return _short(left)


def _parts(left: Any) -> list[Any]:
    return list(left["concat"]) if isinstance(left, dict) and "concat" in left else [left]


def _data(right: Any, sets: Mapping[str, Elements]) -> Elements:
    if isinstance(right, str) and right.startswith("@"):
        return sets.get(right[1:], Elements())
    if isinstance(right, dict) and "set" in right:
        return _elements(right["set"])
    return _elements(right if isinstance(right, list) else [right])


def _elements(said: Any) -> Elements:
    elements = Elements()
    for item in said if isinstance(said, list) else [said]:
        key, verdict = item if isinstance(item, list) and len(item) == 2 else (item, None)
        if isinstance(key, dict) and "elem" in key:
            key = key["elem"]["val"]
        action = None
        if isinstance(verdict, dict) and len(verdict) == 1:
            ((kind, told),) = verdict.items()
            action = _action(kind, told)
        elements.append(([_joined(part) for part in _parts(key)], action))
    return elements


def _joined(value: Any) -> str:
    """Bring a value to the word that nft's text has for it."""
    if isinstance(value, dict) and "prefix" in value:
        return f"{value['prefix']['addr']}/{value['prefix']['len']}"
    if isinstance(value, dict) and "range" in value:
        return "-".join(str(end) for end in value["range"])
    if isinstance(value, list):
        return ",".join(str(one) for one in value)
    if isinstance(value, dict):
        return _short(value)
    return str(value)


def _operands(value: Any) -> list[str]:
    """Bring what a mark is set to to words: `["meta", "mark", "|", "16384"]`."""
    if isinstance(value, dict) and len(value) == 1:
        ((sign, told),) = value.items()
        if sign in ("|", "&", "^") and isinstance(told, list) and told[:1] == [{"meta": {"key": "mark"}}]:
            return ["meta", "mark", sign, *(str(one) for one in told[1:])]
        return ["of", _short(value)]
    return [str(value)]


def _said(action: Action) -> str:
    target = {"log": f'prefix "{action.target}"' if action.target else ""}.get(action.kind, action.target)
    name = action.target if action.kind in ("other", "unknown") else action.kind
    to = "to" if action.kind in NAT and target else ""
    words = (name, to, "" if name == target else target, ",".join(sorted(action.flags)))
    return " ".join(word for word in words if word)


def _short(value: Any) -> str:
    return shown(json.dumps(value))


def _count(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _is_match(told: Any) -> bool:
    return isinstance(told, dict) and told.get("type") != "target"
