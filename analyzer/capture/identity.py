"""What the interfaces of a group of files are called: every name once, whatever files and interfaces are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np

from analyzer.capture import naming
from analyzer.capture.columns import Flows
from analyzer.capture.cooked import NAMELESS
from analyzer.capture.files import CaptureFile
from analyzer.capture.interfaces import Interfaces
from analyzer.capture.layout import SLL2_IFACE
from analyzer.capture.link import Link

UNNAMED = "interface "
"""What interfaces of `-i any` are called of which nobody knows but the number, which follows."""
_MAC = re.compile(r"(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}")


class Named(Protocol):
    """A point whose name and role may still change."""

    name: str
    role: str | None
    files: tuple[CaptureFile, ...]
    flows: Flows


def hints(
    used: Iterable[int], ifaces: Interfaces, file: naming.Hint, interfaces: Mapping[int, Link]
) -> dict[int, naming.Hint]:
    """Say of each interface what names say: the user's word, the interface's name, the interface table, the file's name.

    Args:
        used: Numbers of those that are points.
        ifaces: Which interfaces they are.
        file: What the file's name says, or the user.
        interfaces: The node's interface table by number, for `tcpdump -i any`.
    """
    used = sorted(used)
    numbered = {iface: cooked(iface, interfaces) for iface in used if iface >= SLL2_IFACE}
    found = {iface: naming.Hint(point=name, role=naming.role_of(name)) for iface, name in numbered.items()}
    plain = [iface for iface in used if iface < SLL2_IFACE]
    # Inside a pod there is neither a veth's outer end nor a bridge: a file of theirs was recorded on the node.
    on_node = any(naming.role_of(name or "") in ("pod", "bridge") for name in ifaces.names)
    in_pod = file.role == "pod" and not on_node
    inside = {
        iface for iface in plain if in_pod and naming.role_of(ifaces.interfaces[iface].name or "") == "uplink"
    }
    # With one interface, the file is that interface.
    alone = len(plain) < 2 and (file.explicit or not plain or ifaces.interfaces[plain[0]].own)
    if alone and (file.explicit or file.role != "pod" or not on_node):
        return found | dict.fromkeys(plain, file)
    for iface in plain:
        interface = ifaces.interfaces[iface]
        name = interface.name and naming.printable(interface.name)
        if {iface} == inside and not file.explicit:
            found[iface] = file
        elif file.explicit or iface in inside:
            role = "pod" if iface in inside else naming.role_of(name or "")
            found[iface] = naming.Hint(point=f"{file.point}/{name or interface.position + 1}", role=role)
        elif name:
            found[iface] = naming.Hint(point=name, role=naming.role_of(name))
        elif interface.position or _nameless(ifaces, plain) > 1:
            behind = f" ({interface.position + 1})" if interface.position else ""
            found[iface] = naming.Hint(point=f"{file.point}{behind}", role=None)
        else:
            found[iface] = file
    return found


def cooked(iface: int, interfaces: Mapping[int, Link]) -> str:
    """Name an interface of `tcpdump -i any`."""
    link = interfaces.get(iface - SLL2_IFACE)
    if iface - SLL2_IFACE >= NAMELESS:
        return f"any ({iface - SLL2_IFACE - NAMELESS})"
    return naming.printable(link.name) if link else f"{UNNAMED}{iface - SLL2_IFACE}"


def merge_cooked(flows: Flows, interfaces: Mapping[int, Link]) -> None:
    """Give one number to the interfaces of `-i any` that share a name: a pod's veth was made anew, and got another number."""
    if not len(flows.iface) or flows.iface.max() < SLL2_IFACE:
        return
    ifaces = [iface for iface in np.unique(flows.iface).tolist() if iface >= SLL2_IFACE]
    place: dict[str | int, int] = {}
    to = np.empty(len(ifaces), flows.iface.dtype)
    for number, iface in enumerate(ifaces):
        link = interfaces.get(iface - SLL2_IFACE)
        to[number] = place.setdefault(link.name if link else iface, iface)
    if (to != ifaces).any():
        mine = flows.iface >= SLL2_IFACE
        flows.iface[mine] = to[np.searchsorted(ifaces, flows.iface[mine])]


def distinguish(points: Sequence[Named], interfaces: Iterable[Link]) -> None:
    """Give points that claim one name (eth0 of the pod and of the node) what else is in their file's path, or a number.

    That two have it makes the name no sign of a role; what else is in the path may be one. The node's own is recognised by
    its interface's address, which no frame of the pod's bears, and keeps the name.
    """
    macs = {
        link.name: int(link.mac.replace(":", ""), 16)
        for link in interfaces
        if link.mac and _MAC.fullmatch(link.mac)
    }
    claims: dict[str, list[Named]] = {}
    for point in points:
        claims.setdefault(point.name, []).append(point)
    taken = set(claims)
    shared: list[Named] = []
    for name, several in claims.items():
        if len(several) == 1:
            continue
        own = [point for point in several if name in macs and _bears(point.flows, macs[name])]
        if len(own) == 1:
            several.remove(own[0])
        else:
            taken.discard(name)
        shared += several
    for point in shared:
        roles = (naming.role_of(part) for part in reversed(_path(point, "series")) if part != point.name)
        point.role = next((role for role in roles if role in naming.ROLES), None)
    for form in ("series", "stem", "file"):
        wanted = {id(point): "/".join(_path(point, form)) for point in shared}
        times = Counter(wanted.values())
        left = {key for key, name in wanted.items() if times[name] > 1 or name in taken}
        for point in shared:
            if id(point) not in left:
                point.name = wanted[id(point)]
                taken.add(point.name)
        shared = [point for point in shared if id(point) in left]
    numbers: Counter[str] = Counter()
    for point in shared:
        name = point.name = "/".join(_path(point, "stem"))
        while point.name in taken:
            numbers[name] += 1
            point.name = f"{name} ({numbers[name] + 1})"
        taken.add(point.name)


def _bears(flows: Flows, mac: int) -> bool:
    """Whether any frame came from that address, or went to it."""
    return bool((flows.mac_src == mac).any() or (flows.mac_dst == mac).any())


def _path(point: Named, form: str) -> list[str]:
    """The folders, the file and the point's name, as far as they are not told by each other.

    Args:
        point: Whose first file's path it is.
        form: How much of the file's name is kept: `series`, without number and date; `stem`, with these; `file`, all.
    """
    *folders, file = point.files[0].label.split("/")
    stem = file if form == "file" else naming.stem(file, rotation=form == "stem")
    parts = [part for part in folders if part != point.name]
    if point.name in stem:
        return [*parts, stem]
    return [*parts, stem, point.name] if stem else [*parts, point.name]


def _nameless(ifaces: Interfaces, used: Iterable[int]) -> int:
    return sum(ifaces.interfaces[iface].name is None for iface in used)
