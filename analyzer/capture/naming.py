"""From the name of a file, or of a pcapng interface, to the capture point and its role.

File names follow `<node>.<point>[.<n>].pcap[ng][.gz|.zst|.xz]`, and what common tools make of them: rotation
by tcpdump (`eth0.pcap12`, `eth0.pcap.1`) and dumpcap (`eth0_00001_20261120105816.pcapng`), dates
(`eth0-2026-11-20_10:58:16.pcap`), words around the interface (`tcpdump-eth0.pcap`, `veth1a2b_host.pcap`).

Order of trust for the point's name: what the user said; pcapng's if_name; an interface's name in the file's
name, then in those of its folders; the file's whole stem. A number after the point is the rotation's, so a
VLAN interface captured to `eth0.100.pcap` needs `--point`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

Role = Literal["pod", "bridge", "tunnel", "uplink", "any"]
ROLES = ("pod", "bridge", "tunnel", "uplink")
"""Those that a point can be given."""

# First match wins: lxcbr0 is a bridge, lxc4f2a a pod's (Cilium).
_ROLES: tuple[tuple[Role | None, str], ...] = (
    ("any", r"any"),
    (
        "bridge",
        r"cni\d+|cbr\d+|docker\d+|docker_gwbridge|podman\d+|nerdctl\d+|(?:virbr|lxdbr|lxcbr|vmbr|ovsbr|incusbr)\d+"
        r"|br-[0-9a-z]+(?:-[0-9a-z]+)*|br\d+|kube-bridge|weave|bridge|cilium_host",
    ),
    # Overlay devices: packets to other nodes pass them, between bridge and uplink.
    (
        "tunnel",
        r"flannel\.\d+|flannel-v6\.\d+|flannel-wg|vxlan\.calico|vxlan-v6\.calico|cilium_vxlan|cilium_geneve|cilium_wg\d+"
        r"|vxlan\d+|geneve\d+|genev_sys_\d+|antrea-tun\d+|tunl\d+|ipip\d+|gre\d+|ip6tnl\d+|sit\d+|wg\d+|wireguard\.cali",
    ),
    (None, r"kube-ipvs\d+|ifb\d+|lo"),
    # AWS's CNI and GKE's name the host's end by 11 hex digits of a hash.
    (
        "pod",
        r"veth(?:-[0-9a-z]+|[0-9a-z]*)|cali[0-9a-z]+|lxc[0-9a-z_]+|tap[0-9a-z]+|vnet\d+|azv[0-9a-f]+"
        r"|(?:eni|gke)[0-9a-f]{11}",
    ),
    (
        "uplink",
        r"eth\d+|en[ospx][0-9a-z]+|em\d+|p\d+p\d+|bond\d+|team\d+|wlan\d+|wl[opx][0-9a-z]+|ib\d+|ibp[0-9a-z]+|uplink",
    ),
)
_INTERFACE = re.compile(r"(?<![A-Za-z0-9])(?:" + "|".join(p for _, p in _ROLES) + r")(?![A-Za-z0-9])")
_POD_WORD = re.compile(r"(?<![a-z])(?:container|pod)(?![a-z])")

_COMPRESSED = re.compile(r"\.(?:gz|zst|xz)$", re.IGNORECASE)
_SUFFIX = r"\.(?:pcapng|pcap|ntar|cap|dmp|dump|txt|text|log|out|json|csv|tsv)"
_CAPTURE = re.compile(_SUFFIX + r"(?:[._-]?\d+)?$", re.IGNORECASE)
_EXTENSION = re.compile(_SUFFIX + r"$", re.IGNORECASE)
_DATE = r"(?:19|20)\d\d-?\d\d-?\d\d"
_CLOCK = r"\d\d[:.-]?\d\d(?:[:.-]?\d\d)?(?:[.,]\d+)?(?:Z|UTC|[+-]\d\d:?\d\d)?"
_ROTATION = re.compile(rf"[._-](?:{_DATE}(?:[T_. -]?{_CLOCK})?|\d+)$")

_NAMELESS = re.compile(r"-?$|Unknown/not available|file:|pipe:|fd:", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What names alone say of a capture point."""

    point: str
    """Its name."""
    role: Role | None
    """None: what the traffic shows decides."""
    node: str | None = None
    """`node7` of `node7.eth0.pcap`."""
    explicit: bool = False
    """Whether the user said the name."""


@lru_cache(maxsize=4096)
def role_of(name: str) -> Role | None:
    """Give the role of an interface by its name."""
    for role, pattern in _ROLES:
        if re.fullmatch(pattern, name):
            return role
    if _POD_WORD.search(name.lower()):
        return "pod"
    return "uplink" if name.lower() in ("host", "node") else None


def printable(name: str) -> str:
    """Replace what would play tricks on a terminal: names come from files."""
    return name if name.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in name)


def hint(label: str, explicit: str | None = None) -> Hint:
    """Name the point of a file.

    Args:
        label: The file's path within the bundle, with `/`.
        explicit: What the user calls the point.
    """
    *folders, name = label.split("/")
    found = _from_stem(stem(name))
    if found is None:
        found = next((inner for folder in reversed(folders) if (inner := _from_stem(folder))), None)
    if found is None:
        alone = stem(name) or name
        found = Hint(point=alone, role=role_of(alone))
    if explicit is not None:
        role = role_of(explicit)
        return replace(found, point=printable(explicit), role=role or found.role, explicit=True)
    return found


def refine(named: Hint, if_name: str | None) -> Hint:
    """Prefer pcapng's interface name over the file's.

    Not where the file says pod and the interface is called like an uplink: `container.pcapng`, recorded
    inside the pod's own network namespace, has if_name `eth0` just as the node's uplink has.
    """
    if named.explicit or if_name is None or nameless(if_name):
        return named
    role = role_of(if_name)
    if named.role == "pod" and role == "uplink":
        return named
    return replace(named, point=printable(if_name), role=role)


def nameless(if_name: str) -> bool:
    """Say whether what a file calls an interface is no name of one."""
    return _NAMELESS.match(if_name) is not None


def series(label: str) -> tuple[str, str]:
    """Give what the files of one rotated capture have in common: the folder, and the name but for number and date."""
    folder, _, name = label.rpartition("/")
    return folder, stem(name)


def owner(label: str) -> tuple[str, str]:
    """Give what of a file's path may be the node's, and the interface's name: `a/node1-` and `eth0`."""
    folder, _, name = label.rpartition("/")
    bare, interface = stem(name), hint(name).point
    prefix = re.sub(r"[._-]+$", "", bare.removesuffix(interface)) if bare.endswith(interface) else ""
    return "/".join(part for part in (folder, prefix) if part), interface


def stem(name: str, *, rotation: bool = False) -> str:
    """Take compression and extension off a file's name, and number and date unless *rotation* is to stay."""
    while _COMPRESSED.search(name):
        name = _COMPRESSED.sub("", name)
    if rotation:
        return _EXTENSION.sub("", name)
    name = _CAPTURE.sub("", name)
    while (shorter := _ROTATION.sub("", name)) != name and not _overlay(name):
        name = shorter
    return name


def _overlay(name: str) -> bool:
    """Tell `flannel.1`, whose number is no rotation's."""
    return re.search(r"flannel(?:-v6)?\.\d+$", name) is not None


def _from_stem(stem: str) -> Hint | None:
    """Find an interface's name in a stem; the last one, as `<node>` comes first."""
    matches = list(_INTERFACE.finditer(stem))
    if not matches:
        return None
    last = matches[-1]
    point, role = last.group(), role_of(last.group())
    if role == "uplink" and _POD_WORD.search(stem.lower()):
        return Hint(point=stem, role="pod")
    before = stem[: last.start()]
    return Hint(
        point=point, role=role, node=before[:-1] if before.endswith(".") and len(before) > 1 else None
    )
