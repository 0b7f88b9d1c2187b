"""`kubectl get pods|services|nodes|endpoints`, as text (`-o wide`) and as JSON, and `inspect` of containers: whose addresses are.

`docker inspect`, `docker network inspect`, `podman inspect` and `crictl inspectp` name containers and pods.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Any, Literal

from analyzer.capture.naming import printable
from analyzer.evidence import json_lists
from analyzer.evidence.facts import Caveat, Fact, limited
from analyzer.evidence.naming import Name
from analyzer.evidence.sources import NAMES

PURPOSE = NAMES

_Kind = Literal["pod", "service", "node", "container"]
MOST = 50_000
"""Names kept of one file."""
_HEAD = re.compile(
    r"^(?:NAMESPACE +)?NAME +(?:READY +STATUS +RESTARTS +AGE +IP +NODE|TYPE +CLUSTER-IP +"
    r"|STATUS +ROLES +AGE +VERSION +INTERNAL-IP|ENDPOINTS +AGE|ADDRESSTYPE +PORTS +ENDPOINTS).*$", re.MULTILINE
)  # fmt: skip
_POD = re.compile(
    r"^(?:(?P<namespace>[a-z\d][a-z\d-]{0,62}) +)?(?P<name>[a-z\d][a-z\d.-]{0,252}) +\d{1,4}/\d{1,4} +[A-Z]\w{2,30} +\d{1,6}"
    r"(?: \([^()\n]{1,30}\))? +[\dhmsdy]{2,12} +(?P<ip>[\da-f.:]{3,45}) +(?P<node>\S{1,253})(?: +\S{1,100}){0,2} *$",
    re.MULTILINE,
)
"""A pod's row of `-o wide`; what `grep` and `--no-headers` leave has no head."""
_COLUMN = re.compile(r"\S+(?: \S+)*")
_OBJECT = re.compile(
    r'"kind"\s*:\s*"(?:\w*List|Pod|Service|Node|Endpoints|EndpointSlice)"|"NetworkSettings"\s*:|"IPv4Address"\s*:'
    r'|"network"\s*:\s*\{\s*"additionalIps"'
)
_DOCUMENT = re.compile(r"^\s*([\[{])", re.MULTILINE)
_ODD = (TypeError, ValueError, LookupError, AttributeError, RecursionError)


def recognises(head: str) -> bool:
    return (
        _HEAD.search(head) is not None
        or _POD.search(head) is not None
        or (_DOCUMENT.search(head) is not None and _OBJECT.search(head) is not None)
    )


@limited("names", lambda: MOST)
def parse(text: str, file: str) -> Iterator[Fact]:
    yield from _listed(text, file)
    yield from _documents(text, file)


def _listed(text: str, file: str) -> Iterator[Name]:
    columns: dict[str, tuple[int, int | None]] = {}
    for line in text.splitlines():
        if _HEAD.match(line):
            heads = [(said[0], said.start()) for said in _COLUMN.finditer(line)]
            # Heads of one blank apart are two columns: `IP   NODE`, but `NOMINATED NODE` is one.
            ends = [start for _, start in heads[1:]] + [None]
            columns = {name: (start, end) for (name, start), end in zip(heads, ends, strict=True)}
        elif not line.strip():
            columns = {}
        elif columns:
            yield from _row({name: line[a:b].strip() for name, (a, b) in columns.items()}, file)
        elif (pod := _POD.match(line)) and line[:1] not in "{[":
            yield from named("pod", pod["ip"], pod["name"], pod["namespace"] or "", file, node=pod["node"])


def _row(cells: dict[str, str], file: str) -> Iterator[Name]:
    name, namespace = cells.get("NAME", ""), cells.get("NAMESPACE", "")
    if cells.get("STATUS") in ("Completed", "Succeeded", "Failed", "Evicted", "Error"):
        return
    if "IP" in cells:
        yield from named("pod", cells["IP"], name, namespace, file, node=cells.get("NODE", ""))
    owner: _Kind = "node" if "INTERNAL-IP" in cells else "service"
    for column in ("CLUSTER-IP", "INTERNAL-IP", "EXTERNAL-IP"):
        for address in cells.get(column, "").split(","):
            yield from named(owner, address, name, namespace, file)


def _documents(text: str, file: str) -> Iterator[Name | Caveat]:
    if not _OBJECT.search(text, 0, 1 << 16):
        return
    for document in json_lists.documents(text, file, _DOCUMENT):
        if isinstance(document, Caveat):
            yield document
            return
        items, of = document, ""
        if isinstance(document, dict):
            items, of = document.get("items", [document]), str(document.get("kind", ""))
        for item in items if isinstance(items, list) else ():
            try:
                yield from _object(item, of, file)
            except _ODD:
                yield Caveat(says=f"{file}: an object that was not understood: {str(item)[:80]!r}")


def _object(item: dict[str, Any], of: str, file: str) -> Iterator[Name]:
    kind = item.get("kind") or of.removesuffix("List")
    told = item.get("metadata") or {}
    name, namespace = str(told.get("name", "")), str(told.get("namespace", ""))
    spec, status = item.get("spec") or {}, item.get("status") or {}
    if kind == "Pod":
        if status.get("phase") in ("Succeeded", "Failed"):
            return
        addresses = [status.get("podIP"), *(one.get("ip") for one in status.get("podIPs") or ())]
        if spec.get("hostNetwork"):
            return
        for address in addresses:
            yield from named("pod", address, name, namespace, file, node=str(spec.get("nodeName", "")))
    elif kind == "Service":
        ingress = (status.get("loadBalancer") or {}).get("ingress") or ()
        own = [spec.get("clusterIP"), *(spec.get("clusterIPs") or ()), *(spec.get("externalIPs") or ())]
        for address in (*own, *(one.get("ip") for one in ingress)):
            yield from named("service", address, name, namespace, file)
    elif kind == "Node":
        for address in status.get("addresses") or ():
            if address.get("type") in ("InternalIP", "ExternalIP"):
                yield from named("node", address.get("address"), name, "", file)
    elif kind in ("Endpoints", "EndpointSlice"):
        yield from _endpoints(item, namespace, file)
    elif "network" in status:  # crictl inspectp
        network, about = status["network"], status.get("metadata") or {}
        for address in (network.get("ip"), *(one.get("ip") for one in network.get("additionalIps") or ())):
            yield from named(
                "pod", address, str(about.get("name", "")), str(about.get("namespace", "")), file
            )
    else:
        yield from _container(item, file)


def _endpoints(item: dict[str, Any], namespace: str, file: str) -> Iterator[Name]:
    parts = [address for subset in item.get("subsets") or () for address in subset.get("addresses") or ()]
    for part in (*parts, *(item.get("endpoints") or ())):
        target = part.get("targetRef") or {}
        if target.get("kind") == "Pod":
            for address in (part.get("ip"), *(part.get("addresses") or ())):
                name, node = str(target.get("name", "")), str(part.get("nodeName", ""))
                yield from named(
                    "pod", address, name, str(target.get("namespace", namespace)), file, node=node
                )


def _container(item: dict[str, Any], file: str) -> Iterator[Name]:
    settings = item.get("NetworkSettings") or {}
    name = str(item.get("Name", "")).lstrip("/")
    networks = list((settings.get("Networks") or {}).values())
    for network in (settings, *networks):
        for key in ("IPAddress", "GlobalIPv6Address"):
            yield from named("container", (network or {}).get(key), name, "", file)
    # docker network inspect
    listed = item.get("Containers")
    for one in listed.values() if isinstance(listed, dict) else ():
        for key in ("IPv4Address", "IPv6Address"):
            yield from named(
                "container", str(one.get(key, "")).partition("/")[0], str(one.get("Name", "")), "", file
            )


def named(
    kind: _Kind, address: object, name: str, namespace: str, file: str, *, node: str = ""
) -> Iterator[Name]:
    """Yield the name, if the address is one: a headless service has `None`."""
    if not isinstance(address, str) or not name:
        return
    try:
        told = ipaddress.ip_address(address)
    except ValueError:
        return
    yield Name(
        address=str(told),
        kind=kind,
        name=printable(name[:253]),
        namespace=printable(namespace[:63]),
        node=printable(node[:253]) if node != "<none>" else "",
        file=file,
    )
