"""`kubectl describe pod|service|node` and `kubectl get ... -o yaml`: whose addresses are.

`cluster_names` reads columns and JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from analyzer.evidence.facts import Fact, limited, sections
from analyzer.evidence.naming import Name
from analyzer.evidence.sources import NAMES
from analyzer.evidence.sources.cluster_names import MOST, named

PURPOSE = NAMES

_DESCRIBED = re.compile(r"^Name: {2,}(\S{1,253}) *$", re.MULTILINE)
_FIELD = re.compile(
    r"^(Namespace|Node|IPs?|External IPs?|LoadBalancer Ingress|Type|Addresses|TargetPort): {1,}(\S[^\n]{0,500})$|^(Addresses):$",
    re.MULTILINE,
)
_NODES = re.compile(r"^ {2,}(?:InternalIP|ExternalIP): +(\S{1,64})", re.MULTILINE)
_BEGIN = re.compile(r"^(?:- )?apiVersion: v1\b[^\n]*$", re.MULTILINE)
_KIND = re.compile(r"^ *kind: (Pod|Service|Node)$", re.MULTILINE)
_KEY = re.compile(
    r"^ *(?:- )?(podIP|clusterIP|ip|nodeName|hostNetwork|address|type): ['\"]?([^\s'\"]{1,253})"
    r"|^ *- ['\"]?([\da-f.:]{7,45})['\"]?$",
    re.MULTILINE,
)
_LONGEST = 1 << 16
"""Characters of one object that are looked at."""


def recognises(head: str) -> bool:
    described = _DESCRIBED.search(head) is not None and _FIELD.search(head) is not None
    return described or (_BEGIN.search(head) is not None and _KIND.search(head) is not None)


@limited("names", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    for pattern, read in ((_DESCRIBED, _described), (_BEGIN, _yaml)):
        for begin, rest in sections(text, pattern):
            yield from read((begin[0] + rest)[:_LONGEST], file)


def _described(text: str, file: str) -> Iterator[Name]:
    told: dict[str, str] = {}
    for key, value, bare in _FIELD.findall(text):
        told.setdefault(key or bare, value.strip())
    name, namespace = text.partition(":")[2].split()[0], told.get("Namespace", "")
    if "Addresses" in told:
        for address in _NODES.findall(text):
            yield from named("node", address, name, "", file)
        return
    node, _, host = told.get("Node", "").partition("/")
    for key in ("IP", "IPs", "External IP", "External IPs", "LoadBalancer Ingress"):
        for address in re.split(r"[, ]+", told.get(key, "")):
            if address != host:  # a pod of the host's network
                yield from named(
                    "pod" if host else "service", address, name, namespace, file, node=node if host else ""
                )


def _yaml(text: str, file: str) -> Iterator[Name]:
    kind = _KIND.search(text)
    told = re.search(r"^( *)metadata:\n((?:\1 +[^\n]*\n?)+)", text, re.MULTILINE)
    if not kind or not told:
        return
    name, namespace = (
        found[1]
        if (found := re.search(rf"^{told[1]}  {key}: ['\"]?([^\s'\"]+)", told[2], re.MULTILINE))
        else ""
        for key in ("name", "namespace")
    )
    keys = _KEY.findall(text)
    values = {key: value for key, value, _ in keys if key}
    if kind[1] == "Node":
        for (key, address, _), (of, what, _) in pairwise(keys):
            if (key, of) == ("address", "type") and what in ("InternalIP", "ExternalIP"):
                yield from named("node", address, name, "", file)
    elif kind[1] == "Service":
        for key, address, item in keys:
            if item or key in ("clusterIP", "ip"):
                yield from named("service", item or address, name, namespace, file)
    elif values.get("hostNetwork") != "true":
        for key, address, _ in keys:
            if key in ("podIP", "ip"):
                yield from named("pod", address, name, namespace, file, node=values.get("nodeName", ""))
