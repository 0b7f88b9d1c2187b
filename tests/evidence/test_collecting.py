"""What the text files of a bundle tell together."""

from __future__ import annotations

import io
import random
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.capture.files import EvidenceFile
from analyzer.capture.link import Link
from analyzer.evidence import SideEvidence, collect, collecting, links
from analyzer.evidence.events import occupancy
from analyzer.evidence.rules.walk import walk
from analyzer.evidence.sources import sources
from analyzer.evidence.stale import stale
from analyzer.evidence.witness import join
from analyzer.incident.health import signals
from tests.conftest import ROOT
from tests.evidence.rules.texts import packet

SAMPLES = Path(__file__).parent / "samples"
FIXTURES = Path(__file__).parents[2] / "fixtures"
LINKS = '[{"ifindex":2,"ifname":"cni0","address":"02:00:00:00:00:02"},{"ifindex":5,"ifname":"eth0"}]\n'
ADDRESSES = (
    '[{},{"ifindex":5,"ifname":"eth0","address":"02:00:00:00:00:05",'
    '"addr_info":[{"family":"inet","local":"192.0.2.10","prefixlen":24},{"family":"inet6","local":"2001:db8::10"}]}]\n'
)
TCPDUMP = (
    "tcpdump: listening on eth0, link-type EN10MB (Ethernet), snapshot length 96 bytes\n"
    "25 packets captured\n28 packets received by filter\n3 packets dropped by kernel\n"
)


def stat(found: int, failed: int) -> str:
    """Write what `conntrack -S` prints on two CPUs of a recent kernel."""
    tail = "drop=0 early_drop=0 error=0 search_restart=0 clash_resolve=0 chaintoolong=0 "
    return "".join(
        f"cpu={cpu:<4}\tfound={found + cpu} invalid=0 insert=0 insert_failed={failed} {tail}\n"
        for cpu in (0, 1)
    )


def collected(**texts: str | bytes) -> SideEvidence:
    """Collect from files of these names, in this order."""
    files = []
    for name, text in texts.items():
        data = text if isinstance(text, bytes) else text.encode()
        files.append(EvidenceFile(label=name, source=partial(io.BytesIO, data), size=len(data)))
    return collect(files)


def test_nothing() -> None:
    """Without files nothing is known, and nothing is wrong."""
    assert SideEvidence(interfaces={}, capture_drops={}) == collected()


def test_all_of_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies past a number of characters in all is not read, and one caveat names it; what lies before is used."""
    monkeypatch.setattr(collecting, "WHOLE", 1 << 20)
    texts = {f"stat-{number}.txt": stat(number, 0) * 3000 for number in range(1, 7)}
    evidence = collected(**texts)
    read = {snapshot.file for snapshot in evidence.counters}
    (told,) = [caveat for caveat in evidence.caveats if caveat.startswith("not used, after 1 MiB")]

    assert 1 < len(read) < 6
    assert sorted(texts)[len(read) :] == re.findall(r"stat-\d\.txt", told)


def test_everything() -> None:
    """Each file gives its part, whatever it is called."""
    evidence = collected(
        a=stat(9, 3), b=stat(5, 1), c="6.1.0-18-amd64\n", d=LINKS, e=ADDRESSES, f=TCPDUMP, g="Dear diary,\n"
    )
    assert "6.1.0-18-amd64" == evidence.kernel
    assert ["b", "a"] == [snapshot.file for snapshot in evidence.counters]
    assert 4 == evidence.counters[1].since(evidence.counters[0])["insert_failed"]
    assert {"eth0": 3} == evidence.capture_drops
    assert {
        2: Link(index=2, name="cni0", mac="02:00:00:00:00:02", addresses=(), file="d"),
        5: Link(
            index=5, name="eth0", mac="02:00:00:00:00:05", addresses=("192.0.2.10", "2001:db8::10"), file="d"
        ),
    } == evidence.interfaces
    assert ("not used, in no known format: g (text that begins 'Dear diary,')",) == evidence.caveats


def test_sources_in_one_file() -> None:
    """The output of several commands in one file is understood too."""
    kernel, date = "Linux node7 5.10.0-28-amd64 #1 SMP\n", "Fri Nov 20 10:26:05 UTC 2026\n"
    text = kernel + stat(1, 0) + date + stat(2, 0) + LINKS + TCPDUMP
    evidence = collected(all=text)
    assert "5.10.0-28-amd64" == evidence.kernel
    assert 2 == len(evidence.counters)
    assert [2, 5] == sorted(evidence.interfaces)
    assert {"eth0": 3} == evidence.capture_drops
    assert () == evidence.caveats


def test_each_format_has_one_source(sample: Callable[[str], str]) -> None:
    """Every source is found, and no two take the same text for theirs."""
    samples = {
        "conntrack_stat": stat(1, 0),
        "ip_link": LINKS,
        "proc_stat": "entries  clashres found new invalid ignore \n",
        "tcpdump": TCPDUMP,
        "uname": "6.1.0\n",
        "kernel_log": "[    1.500000] nf_conntrack: nf_conntrack: table full, dropping packet\n",
        "sysctl": "net.netfilter.nf_conntrack_max = 262144\n",
        "metrics": "kubeproxy_sync_proxy_rules_last_timestamp_seconds 1.7e+09\n",
        "ipvs_services": "Prot LocalAddress:Port Scheduler Flags\n",
        "iptables_rules": "-P FORWARD ACCEPT\n-A FORWARD -j DROP\n",
        "lsmod": "Module                  Size  Used by\nbridge                389120  0\n",
        "cluster_names": "NAME   TYPE   CLUSTER-IP   EXTERNAL-IP\n",
        "cluster_documents": "Name:   web\nNamespace:  shop\nIP:   10.96.7.7\n",
        "neigh_stat": "entries  allocs   destroys hash_grows lookups  hits     res_failed\n",
        "node_exporter": "node_nf_conntrack_entries 1\n",
        "arp": "? (10.20.0.1) at <incomplete> on eth0\n",
        "daemon_log": "[ERROR] plugin/errors: 2 a. A: read udp 10.0.0.5:41234->10.0.0.2:53: i/o timeout\n",
        "ipvs": "IPVS connection entries\npro expire state       source             virtual            destination\n",
        "pwru": "SKB                CPU PROCESS          FUNC\n",
        "retis": '{"common":{"timestamp":30415793489711},"startup":{}}\n',
        "dropwatch": "drop at: ip_error+0x94/0x1b0 (0xffffffff86c73f8a)\norigin: software\n",
        "hubble": '{"flow":{"verdict":"DROPPED","IP":{"source":"10.244.1.60"}}}\n',
        "cilium_monitor": "xx drop (Policy denied) flow 0x0 to endpoint 1, identity 2->3: 10.0.0.1:4 -> 10.0.0.2:5 tcp SYN\n",
    }
    recorded = {
        "conntrack-L.txt": "conntrack_table", "proc-net-nf_conntrack.txt": "conntrack_table", "nft.txt": "nft_text",
        "conntrack-L-extended.txt": "conntrack_table", "nft.json": "nft_json", "nft-of-iptables.txt": "nft_text",
        "iptables-nft-save-c.txt": "iptables_save", "iptables-legacy-save.txt": "iptables_save",
        "ip6tables-nft-save-c.txt": "iptables_save", "iptables-vnxL.txt": "iptables_list",
        "iptables-t-nat-nvL.txt": "iptables_list", "ip-route.txt": "ip_route", "ip-route.json": "ip_route",
        "ip-neigh-s.txt": "ip_neigh", "ip-neigh.json": "ip_neigh", "ip-address.txt": "ip_link_text",
        "ip-address-o.txt": "ip_link_text", "manifest.json": "manifest", "ip-d-link.txt": "ip_link_text", "ip-s-s-link.txt": "ip_link_text",
        "ip-br-link.txt": "ip_link_text", "ip-br-a.txt": "ip_link_text", "ip-j-d-s-link.json": "ip_link",
        "ip-route-all.txt": "ip_route", "ip-route-all.json": "ip_route", "route-n.txt": "ip_route",
        "netstat-rn.txt": "ip_route", "ip-rule.txt": "ip_rule", "ip-j-rule.json": "ip_rule", "fdb.txt": "bridge_fdb",
        "fdb.json": "bridge_fdb", "ethtool-k.txt": "ethtool_features", "ethtool-k.json": "ethtool_features",
        "ethtool-S-v0.txt": "ethtool_statistics", "ifconfig.txt": "ifconfig", "ifconfig-busybox.txt": "ifconfig",
        "netstat-s.txt": "netstat_s", "nstat.txt": "nstat", "nstat.json": "nstat", "proc-snmp.txt": "proc_snmp",
        "snmp6.txt": "proc_snmp", "proc-net-dev.txt": "proc_dev", "softnet_stat.txt": "softnet_stat",
        "ss-tanpi.txt": "sockets", "netstat-tanop.txt": "sockets", "tc.txt": "tc_qdisc", "tc.json": "tc_qdisc",
        "drops-tracefs.txt": "tracefs", "drops-perf.txt": "perf_script", "drops-perf-nostack.txt": "perf_script",
        "drops-bpftrace.txt": "bpftrace", "nft-monitor-trace.txt": "nft_trace", "iptables-trace.txt": "trace_log",
        "conntrack-E.txt": "conntrack_events", "conntrack-E-plain.txt": "conntrack_events",
        "ebtables-save-c.txt": "ebtables", "ebtables-L-Lc.txt": "ebtables",
        "conntrack-E.xml": "conntrack_events", "xtables-monitor.txt": "xtables_monitor",
    }  # fmt: skip
    assert recorded.keys() == {path.name for path in SAMPLES.iterdir()} - {"README.md"}
    assert {*samples, *recorded.values()} == {source.__name__.rpartition(".")[2] for source in sources()}  # type: ignore[attr-defined]
    pairs = [*samples.items(), *((source, sample(file)) for file, source in recorded.items())]
    for name, text in pairs:
        takers = [source.__name__.rpartition(".")[2] for source in sources() if source.recognises(text)]  # type: ignore[attr-defined]
        # What rules log stands among other lines of the kernel's log.
        assert ([name] if name != "trace_log" else ["kernel_log", name]) == takers


def test_contradicting_kernels() -> None:
    """Of two kernels neither is taken."""
    evidence = collected(a="6.1.0-18-amd64\n", b="Linux node8 5.10.0 #1 SMP\n", c="6.1.0-18-amd64\n")
    assert evidence.kernel is None
    assert (
        "the files name different kernels, so none is assumed: 6.1.0-18-amd64 (c), 5.10.0 (b)",
    ) == evidence.caveats


def test_contradicting_interfaces() -> None:
    """Of two interfaces with one index the first is kept, and it is said."""
    other = '[{"ifindex":2,"ifname":"eth0"}]'
    evidence = collected(a=LINKS, b=other)
    assert "cni0" == evidence.interfaces[2].name
    assert "b: interface 2 is eth0 (None), but cni0 (02:00:00:00:00:02) in a" in evidence.caveats[0]


def test_an_interface_that_is_told_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses are put together once, not with each part."""
    parts = [
        f'{{"ifindex":2,"ifname":"eth0","addr_info":[{{"local":"10.0.0.{number}"}}],"address":"02:00:00:00:00:02"}}'
        for number in range(100)
    ]
    made: list[int] = []

    def replaced(link: Link, **more: Any) -> Link:
        made.append(len(more.get("addresses", ())))
        return replace(link, **more)

    monkeypatch.setattr(links, "replace", replaced)
    (link,) = collected(a=f"[{','.join(parts)}]").interfaces.values()

    assert tuple(f"10.0.0.{number}" for number in range(100)) == link.addresses
    assert [100] == [count for count in made if count]


def test_many_contradicting_interfaces() -> None:
    """The first few are told, the others counted."""
    links = ",".join(f'{{"ifindex":2,"ifname":"eth{number}"}}' for number in range(1000))
    *told, more = collected(a=f"[{links}]").caveats

    assert [f"a: interface 2 is eth{number} (None)" for number in range(1, 6)] == [
        caveat.partition(",")[0] for caveat in told
    ]
    assert "interfaces: 994 more caveats like these were left out" == more


def test_many_caveats_of_one_file() -> None:
    """The first few are told, the others counted; what is understood stays."""
    *told, more = collected(a=stat(5, 3) + "cpu=0 cut\n" * 1000).caveats

    assert ["a: not understood, its snapshot was left out: 'cpu=0 cut'"] * 5 == told
    assert "a: 995 more caveats like these were left out" == more


def test_snapshots_that_do_not_belong_together() -> None:
    """Counters of which some rose and some fell are of different nodes."""
    assert (
        "some counters of conntrack -S rose and some fell" in collected(a=stat(5, 3), b=stat(9, 1)).caveats[0]
    )
    one_cpu = stat(7, 1).splitlines()[0] + "\n"
    assert "or the CPUs differ" in collected(a=stat(5, 1), b=one_cpu).caveats[0]


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=6), st.integers(0, (1 << 32) - 1), st.integers())
def test_order_of_snapshots(steps: list[int], begin: int, seed: int) -> None:
    """Snapshots come in the order of growth, also when the 32 bits of a counter run over."""
    values = [begin + sum(steps[: number + 1]) for number in range(len(steps))]
    texts = [
        (f"s{number}", f"cpu=0\tfound={value % (1 << 32)} drop=0 \n") for number, value in enumerate(values)
    ]
    random.Random(seed).shuffle(texts)
    counters = collected(**dict(texts)).counters
    ordered = [values[int(snapshot.file[1:])] for snapshot in counters]
    assert sorted(values) == ordered
    assert values[-1] - values[0] == counters[-1].since(counters[0])["found"]


def test_drops_add_up() -> None:
    """Two captures on one interface lose what both lost."""
    assert {"eth0": 6} == collected(a=TCPDUMP, b=TCPDUMP).capture_drops


def test_long_and_unreadable_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not all read is said; a file that went away too."""
    monkeypatch.setattr("analyzer.evidence.collecting.EVIDENCE", 1000)
    evidence = collected(a=stat(5, 1) + "x\n" * 1000)
    assert 1 == len(evidence.counters)
    assert ("a: only its first 1000 bytes were read",) == evidence.caveats

    def gone() -> io.BytesIO:
        raise FileNotFoundError(2, "No such file or directory")

    caveats = collect([EvidenceFile(label="a", source=gone, size=0)]).caveats
    assert ("a: cannot be read: No such file or directory",) == caveats


TEXTS = [
    stat(3, 1), LINKS, ADDRESSES, TCPDUMP, "6.1.0\n", "x",
    *(path.read_text()[:3000] for path in sorted(SAMPLES.glob("*.*")) if path.suffix != ".md"),
    "[12.500000] nf_ct_proto_6: invalid rst IN= OUT= SRC=192.0.2.2 DST=192.0.2.1 PROTO=TCP SPT=80 DPT=1 SEQ=1 ACK=2\n",
    "2026-11-20T12:26:05.5+02:00 node7 kernel: nf_conntrack: nf_conntrack: table full in netns 4026532460, dropping packet\n",
    'kubeproxy_sync_proxy_rules_last_timestamp_seconds 1.7e+09\ncoredns_dns_responses_total{rcode="SERVFAIL"} 3\n',
    "pro expire state       source             virtual            destination\n"
    "TCP 01:57  NONE   10.0.0.1:3 10.0.0.2:4 10.0.0.3:5\n",
    "SKB CPU PROCESS FUNC\n0xffff8b7f0331f800 0 ~/bin/curl:18515 10.0.0.1:4->10.0.0.2:8(tcp) kfree_skb_reason(SKB_DROP_REASON_IP_CSUM)\n",
    '{"common":{"timestamp":30415793489711},"skb-drop":{"drop_reason":"NO_SOCKET"},"packet":{"data":"AAAA"}}\n',
    "drop at: ip_error+0x9/0x1 (0xffffffff86c73f8a)\norigin: software\ntimestamp: Wed Apr 13 11:51:06 2022 1 nsec\n00 01  ..\n",
    '{"flow":{"time":"2023-08-21T12:12:18Z","verdict":"DROPPED","IP":{"source":"10.0.0.1"},"l4":{"TCP":{"source_port":4}}}}\n',
    "xx drop (Policy denied) flow 0x0 to endpoint 1, identity 2->3: 10.0.0.1:4 -> 10.0.0.2:5 tcp SYN\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(TEXTS), max_size=4), st.data())
def test_hostile_text(texts: list[str], data: st.DataObject) -> None:
    """Bytes cut and changed anywhere are a caveat at most."""
    broken = []
    for text in texts:
        letters = list(text[: data.draw(st.integers(0, len(text)))])
        for _ in range(data.draw(st.integers(0, 3))):
            if letters:
                letters[data.draw(st.integers(0, len(letters) - 1))] = data.draw(st.characters())
            if letters and data.draw(st.booleans()):
                begin = data.draw(st.integers(0, len(letters) - 1))
                del letters[begin : begin + data.draw(st.integers(0, 200))]
        broken.append("".join(letters).encode("utf-8", "replace"))
    evidence = collected(**{f"f{number}": text for number, text in enumerate(broken)})
    signals(evidence)
    join(evidence.drops, [])
    occupancy(evidence.events)
    for listing in evidence.tables:
        for ruleset in evidence.rules:
            stale(listing, ruleset)
    for ruleset in evidence.rules:
        walk(ruleset, packet())


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    """No source fails on anything."""
    text = data.decode("utf-8", "replace")
    for source in sources():
        source.recognises(text)
        list(source.parse(text, "a"))


@pytest.mark.parametrize(
    "case",
    sorted(
        path.parent.name
        for path in FIXTURES.glob("*/truth.json")
        if (path.parent / "conntrack-S-before.txt").exists()
    ),
)
def test_fixtures(case: str) -> None:
    """The evidence recorded with the fixtures is understood: order, kernel, interfaces, drops."""
    folder = FIXTURES / case
    files = [
        EvidenceFile(label=path.name, source=partial(path.open, "rb", buffering=0), size=path.stat().st_size)
        for path in sorted(folder.iterdir())
        if path.suffix in (".txt", ".json", ".log")
    ]
    evidence = collect(files)
    assert (folder / "uname.txt").read_text().strip() == evidence.kernel
    before, after = evidence.counters
    assert {"conntrack-S-before.txt", "conntrack-S-after.txt"} == {before.file, after.file}
    assert before.totals == after.totals or before.file == "conntrack-S-before.txt"
    assert {"cni0", "eth0", "veth-a", "veth-b"} <= {link.name for link in evidence.interfaces.values()}
    assert set(evidence.capture_drops) in ({"cni0", "eth0", "veth-a", "veth-b"}, {"any"})
    assert not [caveat for caveat in evidence.caveats if "in no known format" not in caveat]


def retina(sample: Callable[[str], str]) -> dict[str, str]:
    """Lay the samples out as Retina's captures do: several commands in a file, /proc copied."""
    commands = (
        "Summary:\n\n/usr/sbin/ip -d -j addr show(IP address configuration)\n\n"
        "Execute:\n\n/usr/sbin/ip -d -j addr show\n\n"
    )
    neighbours = sample("ip-neigh.json")
    return {
        "ip-resources.txt": f"{commands}{ADDRESSES}/usr/sbin/ip -d -j neighbor show\n\n{neighbours}/usr/sbin/ip rule list\n\n"
        f"0:\tfrom all lookup local\n/usr/sbin/ip route show table all\n\n{sample('ip-route.txt')}",
        "iptables-rules.txt": f"Summary:\n\nExecute:\n\n/usr/sbin/iptables-save\n\n{sample('iptables-legacy-save.txt')}"
        f"/usr/sbin/iptables -vnx -L\n\n{sample('iptables-vnxL.txt')}/usr/sbin/iptables -vnx -L -t nat\n\n"
        f"{sample('iptables-t-nat-nvL.txt')}",
        "tcpdump.log": TCPDUMP,
        "proc-net/nf_conntrack": sample("proc-net-nf_conntrack.txt"),
        "proc-net/stat/nf_conntrack": "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop\n"
        + "  ".join(["00000004"] * 11)
        + "\n",
        "proc-sys-net/netfilter/nf_conntrack_max": "262144\n",
        "proc-sys-net/netfilter/nf_conntrack_count": "6\n",
        "proc-sys-net/ipv4/ip_forward": "1\n",
    }


def test_bundle_of_retina(sample: Callable[[str], str]) -> None:
    """Retina's files are understood as they come."""
    evidence = collected(**retina(sample))
    assert () == evidence.caveats
    assert 5 in evidence.interfaces
    assert 3 == len(evidence.neighbours)
    assert ("::/0", "2001:db8::1") in {(route.dst, route.gateway) for route in evidence.routes}
    assert [6] == list(map(len, evidence.tables))
    assert {"262144", "6", "1"} == set(evidence.sysctls.values())
    assert 4 == evidence.counters[0].totals["drop"]
    (ruleset,) = evidence.rules
    assert len(ruleset.chains) == len({chain.label for chain in ruleset.chains})
    steps = walk(ruleset, packet(iif="eth8", oif="eth9", physin=""), local=["192.0.2.10"])
    assert ("drop", "ip filter FORWARD: policy drop") == (steps.verdict, steps.end and steps.end.text)


def test_bundle_of_sosreport(sample: Callable[[str], str]) -> None:
    """So are sosreport's, with other namespaces' output left out."""
    top = "sosreport-node7-2026-11-20"
    evidence = collected(**{
        f"{top}/sos_commands/conntrack/conntrack_-L_-o_extended": sample("conntrack-L-extended.txt"),
        f"{top}/sos_commands/conntrack/conntrack_-S": stat(5, 1),
        f"{top}/sos_commands/conntrack/ip_netns_exec_red_conntrack_-S": stat(900, 1),
        f"{top}/sos_commands/networking/namespaces/red/ip_netns_exec_red_iptables-save": sample("iptables-legacy-save.txt"),
        f"{top}/sos_commands/networking/ip_route_show_table_all": sample("ip-route.txt"),
        f"{top}/sos_commands/networking/ip_-s_-s_neigh_show": sample("ip-neigh-s.txt"),
        f"{top}/sos_commands/networking/ip_-d_address": sample("ip-address.txt"),
        f"{top}/sos_commands/networking/ip_-o_addr": sample("ip-address-o.txt"),
        f"{top}/sos_commands/firewall_tables/iptables_-vnxL": sample("iptables-vnxL.txt"),
        f"{top}/sos_commands/firewall_tables/iptables_-t_nat_-nvL": sample("iptables-t-nat-nvL.txt"),
        f"{top}/sos_commands/kernel/uname_-a": "Linux node7 6.1.0-18-amd64 #1 SMP\n",
        f"{top}/sos_commands/kernel/sysctl_-a": "net.netfilter.nf_conntrack_max = 262144\n",
        f"{top}/sos_commands/kernel/dmesg": "[ 1.500000] nf_conntrack: nf_conntrack: table full, dropping packet\n",
        f"{top}/proc/net/nf_conntrack": sample("proc-net-nf_conntrack.txt"),
    })  # fmt: skip
    (caveat,) = evidence.caveats
    assert caveat.startswith("not used, of other network namespaces: ")
    assert ("6.1.0-18-amd64", 1, 2) == (evidence.kernel, len(evidence.counters), len(evidence.tables))
    assert ["table-full"] == [line.about for line in evidence.log]
    assert "86:a2:c1:29:38:d6" == evidence.interfaces[2].mac
    (ruleset,) = evidence.rules
    steps = walk(ruleset, packet(25))
    assert ("reject", "REJECT 6 -- cni0 * 0.0.0.0/0 0.0.0.0/0 tcp dpt:25 reject-with tcp-reset") == (
        steps.verdict, steps.end and steps.end.rule and steps.end.rule.text,
    )  # fmt: skip


def test_outputs_far_behind_each_other(sample: Callable[[str], str]) -> None:
    """What follows a long output in the same file is found too."""
    many = ",".join(
        f'{{"ifindex":{n},"ifname":"veth{n}","address":"02:00:00:00:00:02"}}' for n in range(1, 3000)
    )
    evidence = collected(a=f"[{many}]\n{sample('ip-route.txt')}")
    assert 2999 == len(evidence.interfaces)
    assert evidence.routes


def test_listings_in_order_of_time() -> None:
    """Entries that got older tell which listing is later, whatever the files are called."""
    line = (
        "udp      17 {} src=10.1.0.2 dst=192.0.2.2 sport={} dport=53 [UNREPLIED] src=192.0.2.2 dst=192.0.2.1"
        " sport=53 dport=1 use=1\n"
    )
    texts = {
        name: "".join(line.format(left, port) for port in range(5))
        for name, left in (("a", 9), ("b", 29), ("c", 19))
    }
    assert ["b", "c", "a"] == [table.file for table in collected(**texts).tables]


def test_rules_in_order_of_time() -> None:
    """Of rules that were listed twice those count that were in force at the end; names tell which, not the alphabet."""
    chain = "table ip nat {\n\tchain pre {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t}\n}\n"
    evidence = collected(**{"after/nft.txt": chain, "before/nft.txt": chain})
    assert ["before/nft.txt", "after/nft.txt"] == [rules.file for rules in evidence.rules]


def test_settings_that_differ() -> None:
    """The number of entries changes, the highest counts; another limit is a caveat."""
    prefix = "net.netfilter.nf_conntrack_"
    evidence = collected(
        a=f"{prefix}count = 5\n{prefix}max = 100\n",
        b=f"{prefix}count = 90\n",
        c=f"{prefix}count = 7\n{prefix}max = 200\n",
    )
    assert {f"{prefix}count": "90", f"{prefix}max": "200"} == evidence.sysctls
    assert (
        f"a: {prefix}max is 100, but 200 in c; the latter is used, the files differ in time, node or namespace",
    ) == evidence.caveats


def test_files_of_a_case() -> None:
    """What describes a recorded case is no evidence, and nothing to complain about."""
    assert SideEvidence(interfaces={}, capture_drops={}) == collected(
        **{"x/case.toml": "[case]\n", "truth.json": "{}\n"}
    )


DAMAGED = {
    "ip_route": ("default via 192.0.2.1 dev eth0\n", "10.0.0.0/8 via 192.0 dev eth0\n"),
    "ip_rule": ("0:\tfrom all lookup local\n", "100:\tfrom all fwmark 0x80\n"),
    "ip_neigh": ("10.244.1.9 dev cni0  FAILED\n", "10.244.1.8 dev cni0  ref 1 used 1/61\n"),
    "bridge_fdb": ("36:11:38:80:be:a4 dev v0 master br0\n", "36:11:38:80:be dev v0 master br0\n"),
    "ip_link_text": ("2: eth0: <UP> mtu 1500 state UP\n", "3: eth1: <BROADC\n"),
    "nstat": ("#kernel\nIpInReceives  7  0.0\n", "IpInNoRoutes  \n"),
    "proc_snmp": ("Udp: NoPorts InErrors\nUdp: 1 2\n", "Tcp: ActiveOpens PassiveOpens\n"),
    "sockets": ("ESTAB 0 0 10.0.0.1:41000 10.0.0.2:443\n", "ESTAB 0 0 10.0.0.1:41001\n"),
    "ethtool_features": ("Features for v0:\nrx-checksumming: on\n", "tx-checksumming:\n"),
    "ipvs_services": ("Prot LocalAddress:Port Scheduler Flags\nTCP  10.96.0.1:443 rr\n", "TCP  node-a.example:30080 rr\n"),
    "softnet_stat": ("00003603" + " 00000000" * 10 + "\n", "000055fb 00000000 0000\n"),
    "tracefs": ("# tracer: nop\n", "<idle>-0  [001] ..s1.  594.397911: kfree_skb: skbaddr=00\n"),
    "perf_script": ("python3 1 [001] 7.688347: skb:kfree_skb: skbaddr=0xff protocol=2048 location=a+0x1\n", "python3 1 [001] 7: skb:kfree_skb: sk\n"),
    "cilium_monitor": ("xx drop (Policy denied) flow 0x0 to endpoint 1, identity 2->3: 10.0.0.1:4 -> 10.0.0.2:5 tcp SYN\n", "xx drop (Pol\n"),
    "arp": ("? (10.244.1.9) at <incomplete> on cni0\n", "? (10.244.1.8) at <incom\n"),
    "iptables_list": (
        "Chain FORWARD (policy ACCEPT)\npkts bytes target prot opt in out source destination\n1 60 DROP all -- * * 0.0.0.0/0 0.0.0.0/0\n",
        "1 60 DROP all -- * * 0.0\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("source", DAMAGED)
def test_partly_understood(source: str) -> None:
    """Whatever the format, a row that is cut or mistyped is told of, beside what was understood; a whole one is not."""
    whole, damaged = DAMAGED[source]
    before, after = collected(a=whole), collected(a=whole + damaged)
    assert [(source, 0)] == [(one.source, one.unclear) for one in before.read if one.source == source]
    assert [
        caveat
        for caveat in after.caveats
        if "not understood" in caveat and repr(damaged.strip()[:20])[1:-1] in caveat
    ]


@pytest.mark.parametrize("name", ["report.html", "report.json", "report.txt"])
def test_an_earlier_report_is_no_evidence(name: str) -> None:
    """What Lostsyn wrote itself quotes rules and settings, and none of it is read as the node's."""
    text = (ROOT / "reports/policy-drop-iptables" / name).read_bytes()
    read = collected(**{name: text})

    assert replace(SideEvidence(interfaces={}, capture_drops={}), read=read.read) == read
    assert ["a report of Lostsyn, which is no evidence"] == [one.resembles for one in read.read]
