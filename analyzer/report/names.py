"""Names of hosts, pods, services and namespaces, replaced by keyed aliases where their form or place tells what they are."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from analyzer.capture import naming
from analyzer.evidence.naming import Name

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
# k8s.io/apimachinery/pkg/util/rand: no vowels, none of 0, 1, 3, so that no word comes out.
_RANDOM = "[bcdfghjklmnpqrstvwxz2456789]"
_POD = re.compile(
    rf"(?<![A-Za-z0-9-])[a-z0-9][-a-z0-9]{{0,200}}-{_RANDOM}{{8,10}}-{_RANDOM}{{5}}(?![A-Za-z0-9-])"
)
_SERVICE = re.compile(
    rf"(?<![A-Za-z0-9.-])({_LABEL})\.({_LABEL})(\.(?:svc|pod)(?:\.[a-z0-9.-]+)?)(?![A-Za-z0-9-])"
)
# kube-proxy's and Calico's comments on rules: namespace/name, or namespace/name:port.
_COMMENT = re.compile(
    rf"(?P<before>(?:/\* |comment \"?)\"?!?)(?P<space>{_LABEL})/(?P<name>{_LABEL})(?![A-Za-z0-9/-])"
)
# RFC 3164 and RFC 5424 time stamps, then the host.
_LOG = re.compile(
    r"(?:(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.,]+(?:Z|[+-][\d:]+)?) "
    r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]{0,252}) kernel:"
)
KNOWN = {
    *("default", "kube-system", "kube-public", "kube-node-lease", "kubernetes", "localhost"),
    *("host", "node", "pod", "bridge", "tunnel", "uplink", "kernel"),
}
"""Names that name nobody."""


class Names:
    """The aliases that one key gives to names."""

    def __init__(self, key: bytes) -> None:
        """Take the key of the addresses' aliases."""
        self._key = key
        self._hosts: re.Pattern[str] | None = None

    def learn(
        self,
        texts: Iterable[str],
        labels: Iterable[str],
        keeps: Callable[[str], bool],
        known: Iterable[str] = (),
    ) -> None:
        """Find the hosts that log lines and the names of files tell of, to replace them wherever they stand.

        Args:
            texts: All that is to be told.
            labels: What files are called: `node7.eth0.pcap` is of `node7`.
            keeps: Says of a name that it is left alone: an address is in it, and will be replaced.
            known: Names of pods, services and nodes; a plain word may mean something else where it stands.
        """
        found = {host for text in texts for host in _LOG.findall(text)}
        found |= {node for label in labels if (node := naming.hint(label).node)}
        found |= {name for name in known if not name.isalpha()}
        hosts = {host for host in found if len(host) > 2 and host not in KNOWN and not keeps(host)}
        if hosts:
            longest_first = "|".join(map(re.escape, sorted(hosts, key=lambda host: (-len(host), host))))
            self._hosts = re.compile(rf"(?<![A-Za-z0-9-])(?:{longest_first})(?![A-Za-z0-9-])")

    def text(self, text: str) -> str:
        """Replace the names in *text*."""
        if self._hosts:
            text = self._hosts.sub(lambda match: self._alias("host", match[0]), text)
        text = _POD.sub(lambda match: self._alias("pod", match[0]), text)
        text = _SERVICE.sub(
            lambda match: f"{self._alias('name', match[1])}.{self._alias('ns', match[2])}{match[3]}", text
        )
        return _COMMENT.sub(
            lambda match: (
                f"{match['before']}{self._alias('ns', match['space'])}/{self._alias('name', match['name'])}"
            ),
            text,
        )

    def named(self, told: Name) -> Name:
        """Replace what somebody is called, whatever it looks like."""
        return replace(
            told,
            name=self._alias("host" if self._known(told.name) else told.kind, told.name),
            namespace=told.namespace and self._alias("ns", told.namespace),
            node=told.node and self._alias("host", told.node),
        )

    def _known(self, name: str) -> bool:
        return self._hosts is not None and self._hosts.fullmatch(name) is not None

    def _alias(self, kind: str, name: str) -> str:
        if name in KNOWN or re.fullmatch(rf"{kind}-[0-9a-f]{{8}}", name):
            return name
        return (
            f"{kind}-{hmac.digest(self._key, b'name ' + name.encode('utf-8', 'replace'), 'sha256')[:4].hex()}"
        )
