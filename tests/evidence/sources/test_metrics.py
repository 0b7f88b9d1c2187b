"""kube-proxy's and CoreDNS's metrics."""

from __future__ import annotations

from analyzer.evidence.facts import CoreDns, Fact, KubeProxy
from analyzer.evidence.sources import metrics

PROXY = """# HELP kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds [STABLE] The last time a sync was queued
# TYPE kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds gauge
kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds 1.7951706615470302e+09
# HELP kubeproxy_sync_proxy_rules_last_timestamp_seconds [STABLE] The last time proxy rules were successfully synced
# TYPE kubeproxy_sync_proxy_rules_last_timestamp_seconds gauge
kubeproxy_sync_proxy_rules_last_timestamp_seconds 1.7951703615470302e+09
"""
DNS = """# TYPE coredns_dns_responses_total counter
coredns_dns_responses_total{plugin="",rcode="NOERROR",server="dns://:53",view="",zone="."} 158
coredns_dns_responses_total{plugin="",rcode="SERVFAIL",server="dns://:53",view="",zone="."} 3
coredns_dns_responses_total{plugin="loadbalance",rcode="SERVFAIL",server="dns://:5353",view="",zone="."} 4
coredns_dns_response_size_bytes_bucket{proto="tcp",server="dns://:53",zone="dropped",le="0"} 0
"""


def facts(text: str) -> list[Fact]:
    """Parse a text that is recognised."""
    assert metrics.recognises(text)
    return list(metrics.parse(text, "a"))


def test_kube_proxy() -> None:
    """Both times are read; IPv4 and IPv6 apart give the older one."""
    expected = KubeProxy(last_sync=1795170361.5470302, last_queued=1795170661.5470302, scraped=None, file="a")
    assert [expected] == facts(PROXY)
    name = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
    (found,) = facts(
        f'{name}{{ip_family="IPv4"}} 500 1795170365123\n{name}{{ip_family="IPv6"}} 400 1795170365123\n'
    )
    assert KubeProxy(last_sync=400, last_queued=None, scraped=1795170365.123, file="a") == found


def test_never_synced() -> None:
    """Zero says that it did not happen yet; what is no number is none."""
    name = "kubeproxy_sync_proxy_rules_last_timestamp_seconds"
    assert [KubeProxy(last_sync=None, last_queued=None, scraped=None, file="a")] == facts(f"{name} 0\n")
    for value in ("NaN", "e", "1e999", "-"):
        assert [] == facts(f"{name} {value}\n")


def test_coredns() -> None:
    """Responses are summed by code; releases before 1.7.0 have another name."""
    expected = [CoreDns(responses={"NOERROR": 158, "SERVFAIL": 7}, file="a")]
    assert expected == facts(DNS)
    assert expected == facts(DNS.replace("responses_total", "response_rcode_count_total"))


def test_cut_and_other_text() -> None:
    """A cut sample is none; other programs' metrics are not taken."""
    assert [] == facts(PROXY[: PROXY.index(" 1.795")])
    assert [] == facts("# HELP kubeproxy_network_programming_duration_seconds In\n")
    assert not metrics.recognises("# HELP etcd_server_has_leader Whether\n")
