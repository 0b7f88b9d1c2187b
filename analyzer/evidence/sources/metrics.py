"""kube-proxy's and CoreDNS's metrics, as Prometheus scrapes them: `name{label="value"} 12 [time]`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from analyzer.evidence.facts import CoreDns, Fact, KubeProxy, begins

PURPOSE = "kube-proxy's and CoreDNS' own counters"

_SYNC = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
_QUEUED = "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds"
# The second is its name before CoreDNS 1.7.0.
_RESPONSES = ("coredns_dns_responses_total", "coredns_dns_response_rcode_count_total")
_SAMPLE = re.compile(
    rf"^({_SYNC}|{_QUEUED}|{'|'.join(_RESPONSES)})(\{{[^\n]{{0,2000}}\}})? ([-+.\deE]{{1,30}}|NaN)(?: (\d{{10,14}}))?\s*$",
    re.MULTILINE,
)
_RCODE = re.compile(r'\brcode="(\w{1,30})"')


def recognises(head: str) -> bool:
    """Say whether one of the two has a metric there; those that are used may come later."""
    return begins(head, r"(?:# (?:HELP|TYPE) )?(?:kubeproxy|coredns)_\w+[ {]")


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield one scrape of each that the text tells of."""
    seconds: dict[str, float] = {}
    scraped: float | None = None
    responses: dict[str, int] = {}
    for name, labels, number, stamp in _SAMPLE.findall(text):
        try:
            value = float(number)
        except ValueError:
            continue
        if not math.isfinite(value):
            continue
        if stamp:
            scraped = int(stamp) / (1000 if len(stamp) > 11 else 1)
        if name in _RESPONSES:
            rcode = _RCODE.search(labels)
            if rcode:
                responses[rcode[1]] = responses.get(rcode[1], 0) + int(value)
        else:
            # Where IPv4 and IPv6 have a sample each, the older one is the one to worry about.
            seconds[name] = min(value, seconds.get(name, value))
    if seconds:
        # kube-proxy sets a time when it first happens.
        sync, queued = seconds.get(_SYNC) or None, seconds.get(_QUEUED) or None
        yield KubeProxy(last_sync=sync, last_queued=queued, scraped=scraped, file=file)
    if responses:
        yield CoreDns(responses=responses, file=file)
