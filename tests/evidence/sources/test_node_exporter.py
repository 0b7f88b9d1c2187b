"""What Prometheus has of a node."""

from __future__ import annotations

from analyzer.evidence.counting import Counters
from analyzer.evidence.facts import CounterSnapshot, Sysctl
from analyzer.evidence.sources import node_exporter

TEXT = """# HELP node_nf_conntrack_entries Number of currently allocated flow entries for connection tracking.
# TYPE node_nf_conntrack_entries gauge
node_nf_conntrack_entries 65536
node_nf_conntrack_entries_limit 65536
node_nf_conntrack_stat_insert_failed 12
node_netstat_Udp_InCsumErrors 7
node_netstat_TcpExt_ListenDrops 1.234567e+06
node_network_receive_drop_total{device="eth0"} 5
node_network_transmit_errs_total{device="cni0"} 6
node_softnet_dropped_total{cpu="0"} 1
node_softnet_dropped_total{cpu="1"} 2
node_load1 0.5
"""


def test_scrape() -> None:
    """Sizes, conntrack's counters, and those of protocols, interfaces and queues by the kernel's names."""
    assert node_exporter.recognises(TEXT)
    facts = list(node_exporter.parse(TEXT, "a"))
    assert {"net.netfilter.nf_conntrack_count": "65536", "net.netfilter.nf_conntrack_max": "65536"} == {
        fact.name: fact.value for fact in facts if isinstance(fact, Sysctl)
    }
    assert [{"insert_failed": 12}] == [fact.totals for fact in facts if isinstance(fact, CounterSnapshot)]
    assert {
        ("protocol", ""): {"Udp.InCsumErrors": 7, "TcpExt.ListenDrops": 1_234_567}, ("softnet", ""): {"dropped": 3},
        ("interface", "eth0"): {"rx_dropped_or_missed": 5}, ("interface", "cni0"): {"tx_errors": 6},
    } == {(fact.group, fact.of): fact.values for fact in facts if isinstance(fact, Counters)}  # fmt: skip


def test_other_text() -> None:
    """Metrics of others are none."""
    assert not node_exporter.recognises(
        "kubeproxy_sync_proxy_rules_last_timestamp_seconds 1\nnode_load1 0.5\n"
    )
