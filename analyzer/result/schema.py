"""The columns of every table: dtype, meaning, unit, and what Wireshark, Zeek and the Elastic Common Schema call them.

`docs/tables.py` writes docs/tables.md from this, and `analyzer.result.parquet` the schema of the files.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One column of one table."""

    dtype: str
    """As pandas names it; a column of `str` holds texts or None, as objects or as pandas' own strings."""
    meaning: str
    unit: str = ""
    """Of numbers that count something; empty for names, numbers on the wire and yes or no."""
    wireshark: str = ""
    """The display filter fields of the same thing, with commas between them."""
    zeek: str = ""
    """The field of Zeek's conn.log."""
    ecs: str = ""
    """The field of the Elastic Common Schema."""


_TIME = "datetime64[ns, UTC]"

COLUMNS: dict[str, dict[str, Column]] = {
    "points": {
        "point": Column("category", "capture point", wireshark="frame.interface_name", ecs="observer.name"),
        "role": Column("category", "pod, bridge, uplink or unknown"),
        "files": Column("str", "its files in time order, separated by commas"),
        "packets": Column("int64", "frames in the tables", unit="packets"),
        "skipped": Column("int64", "frames that are not in the tables", unit="packets"),
        "first": Column(_TIME, "its first packet", unit="ns", ecs="event.start"),
        "last": Column(_TIME, "its last packet", unit="ns", ecs="event.end"),
        "dropped": Column(
            "Int64", "packets lost by the capturing program; missing if the files do not say", unit="packets"
        ),
        "clock_offset": Column("int64", "added to its times to reach the common clock", unit="ns"),
    },
    "packets": {
        "point": Column("category", "capture point", wireshark="frame.interface_name", ecs="observer.name"),
        "file": Column("category", "which file of the point"),
        "frame": Column("uint32", "frame number in that file, from 1", wireshark="frame.number"),
        "time": Column(
            _TIME,
            "when the point saw it, on the common clock",
            unit="ns",
            wireshark="frame.time",
            zeek="ts",
            ecs="@timestamp",
        ),
        "flow": Column("int32", "the point's flow: column `flow` of `flows`"),
        "src": Column("category", "source address", wireshark="ip.src, ipv6.src", ecs="source.ip"),
        "sport": Column(
            "uint16",
            "source port; the ICMP identifier or type",
            wireshark="tcp.srcport, udp.srcport",
            ecs="source.port",
        ),
        "dst": Column("category", "destination address", wireshark="ip.dst, ipv6.dst", ecs="destination.ip"),
        "dport": Column(
            "uint16",
            "destination port; the ICMP identifier or code",
            wireshark="tcp.dstport, udp.dstport",
            ecs="destination.port",
        ),
        "proto": Column(
            "uint8",
            "IP protocol number, 0 for ARP",
            wireshark="ip.proto, ipv6.nxt",
            ecs="network.iana_number",
        ),
        "reply": Column("bool", "sent by the side that did not open the flow"),
        "seq": Column("uint32", "sequence number as on the wire; of ICMP echo", wireshark="tcp.seq_raw"),
        "ack": Column("uint32", "acknowledgement number as on the wire", wireshark="tcp.ack_raw"),
        "flags": Column("uint16", "TCP flags; the ICMP code", wireshark="tcp.flags"),
        "window": Column("uint16", "window field, unscaled", wireshark="tcp.window_size_value"),
        "length": Column(
            "int32", "payload by the IP header, not by what was captured", unit="bytes", wireshark="tcp.len"
        ),
        "ip_id": Column("uint16", "IPv4 identification", wireshark="ip.id"),
        "ttl": Column("uint8", "TTL or hop limit", unit="hops", wireshark="ip.ttl, ipv6.hlim"),
        "fragment": Column("bool", "not the first fragment: it has no ports"),
        "cut": Column("bool", "the transport header was not captured whole"),
        "tunnel": Column(
            "category",
            "the tunnel that carried the packet: vxlan, geneve, ipip, gre, l2tp, gtp, erspan, or nothing",
        ),
    },
    "flows": {
        "point": Column("category", "capture point", ecs="observer.name"),
        "flow": Column("int32", "number of the flow at that point"),
        "proto": Column("uint8", "IP protocol number, 0 for ARP", ecs="network.iana_number"),
        "orig_h": Column("category", "address of the side that opened it", zeek="id.orig_h", ecs="source.ip"),
        "orig_p": Column(
            "uint16", "its port; the ICMP identifier or type", zeek="id.orig_p", ecs="source.port"
        ),
        "resp_h": Column("category", "the other side's address", zeek="id.resp_h", ecs="destination.ip"),
        "resp_p": Column(
            "uint16", "its port; the ICMP identifier or code", zeek="id.resp_p", ecs="destination.port"
        ),
        "first": Column(_TIME, "its first packet", unit="ns", zeek="ts", ecs="event.start"),
        "last": Column(_TIME, "its last packet", unit="ns", ecs="event.end"),
        "orig_pkts": Column(
            "int64", "sent by the opening side", unit="packets", zeek="orig_pkts", ecs="source.packets"
        ),
        "resp_pkts": Column(
            "int64", "sent by the other side", unit="packets", zeek="resp_pkts", ecs="destination.packets"
        ),
        "heading": Column("category", "where its requests go: out of the node, in, local, or unknown"),
        "community_id": Column(
            "str",
            "Community ID v1, seed 0; None for ARP and where ports were not captured",
            zeek="community_id",
            ecs="network.community_id",
        ),
    },
    "crossings": {
        "inner_point": Column("category", "the capture point nearer to the pod"),
        "inner_flow": Column("int32", "the flow there"),
        "outer_point": Column("category", "the capture point nearer to the uplink"),
        "outer_flow": Column("int32", "the flow there"),
        "inner_orig": Column("str", "the opening side as the inner point saw it"),
        "outer_orig": Column("str", "the same side as the outer point saw it"),
        "inner_resp": Column("str", "the other side as the inner point saw it"),
        "outer_resp": Column("str", "the other side as the outer point saw it"),
        "snat": Column("bool", "the opening side's address or port differs"),
        "dnat": Column("bool", "the other side's address or port differs"),
        "heading": Column("category", "where its opening side's packets go: out, in, or unknown"),
        "agreed": Column("str", "the fields that prove the pair"),
        "confidence": Column("category", "proven, likely, possible"),
        "inner_community_id": Column(
            "str",
            "Community ID of the flow at the inner point",
            zeek="community_id",
            ecs="network.community_id",
        ),
        "outer_community_id": Column(
            "str",
            "Community ID of the flow at the outer point; the same where NAT changed nothing",
            zeek="community_id",
            ecs="network.community_id",
        ),
    },
    "passages": {
        "time": Column(
            _TIME, "when the point saw the request", unit="ns", wireshark="frame.time", ecs="@timestamp"
        ),
        "point": Column("category", "capture point", wireshark="frame.interface_name", ecs="observer.name"),
        "file": Column("category", "which file of the point"),
        "frame": Column("uint32", "frame number in that file, from 1", wireshark="frame.number"),
        "flow": Column("int32", "its flow at that point"),
        "proto": Column(
            "uint8",
            "6 for a SYN, 17 for a UDP request",
            wireshark="ip.proto, ipv6.nxt",
            ecs="network.iana_number",
        ),
        "first": Column("bool", "no point before saw it; the sum counts every request once"),
        "fate": Column("category", "in the gap behind this point"),
        "answered": Column("bool", "an answer came before the flow's next request"),
        "reason": Column("category", "why it has that fate: see docs/reading.md"),
    },
    "findings": {
        "incident": Column("str", "the incident it belongs to"),
        "time": Column(
            _TIME,
            "the first packet that was lost or judged",
            unit="ns",
            wireshark="frame.time",
            ecs="@timestamp",
        ),
        "kind": Column("category", "what happened: see docs/design.md"),
        "cause": Column("category", "why: see `lostsyn explain`"),
        "confidence": Column("category", "proven, likely, possible"),
        "gap": Column("str", "between which points, inner first; None where there is no gap"),
        "inner": Column("str", "the flow as the innermost point saw it"),
        "outer": Column("str", "as the outermost saw it; None if it did not get there"),
        "delay_s": Column("float64", "time waited beyond a loss-free handshake", unit="s"),
        "attempts": Column("int64", "SYNs or requests of the connection", unit="packets"),
        "vanished": Column(
            "int64",
            "how many packets of it vanished: requests, replies, data segments, ICMP errors",
            unit="packets",
        ),
        "pod": Column("str", "address of the pod's side, or of the opener where neither is a pod's"),
        "pod_name": Column(
            "str", "name of the pod, container or node with this address; None if the bundle does not say"
        ),
        "namespace": Column("str", "its namespace", ecs="orchestrator.namespace"),
        "pod_node": Column("str", "the node on which it runs"),
        "dst": Column("str", "address that the opener asked for", ecs="destination.ip"),
        "service": Column("str", "`namespace/name` of the service that has the destination's address"),
        "dst_port": Column("Int64", "its port; missing where there is none", ecs="destination.port"),
        "point": Column("str", "a point that saw the connection; with `flow` the row joins `flows`"),
        "flow": Column("int64", "its flow there; -1 where none is named"),
    },
    "connections": {
        "connection": Column("int64", "its number in this table"),
        "time": Column(
            _TIME, "its first packet", unit="ns", wireshark="frame.time", zeek="ts", ecs="event.start"
        ),
        "proto": Column("uint8", "IP protocol number", wireshark="ip.proto", ecs="network.iana_number"),
        "src": Column("str", "address that opened it, at `point`", zeek="id.orig_h", ecs="source.ip"),
        "src_port": Column(
            "Int64", "its port, or the echo's identifier", zeek="id.orig_p", ecs="source.port"
        ),
        "dst": Column("str", "address that it asked for, at `point`", zeek="id.resp_h", ecs="destination.ip"),
        "dst_port": Column("Int64", "its port", zeek="id.resp_p", ecs="destination.port"),
        "direction": Column("category", "out of the node, in, local (on the node), or transit"),
        "pod": Column("str", "address of the pod's side; None where neither is known to be a pod's"),
        "pod_name": Column(
            "str", "name of the pod, container or node with this address; None if the bundle does not say"
        ),
        "namespace": Column("str", "its namespace", ecs="orchestrator.namespace"),
        "pod_node": Column("str", "the node on which it runs"),
        "service": Column("str", "`namespace/name` of the service that has the destination's address"),
        "point": Column("category", "the point that its opener's packets reach first"),
        "flow": Column("int64", "its flow there: joins `flows`"),
        "points": Column("str", "every point that saw it with the first frame there, `cni0:12 eth0:9`"),
        "outcome": Column("category", "its outcome for its opener: see docs/reading.md"),
        "refused_by": Column(
            "category", "peer, router, pod or node (this one), where the outcome is a refusal"
        ),
        "refusal": Column("str", "how, and by whom: `port unreachable by the peer`"),
        "reset_by": Column("category", "opener or responder, where the outcome is a reset"),
        "class": Column("category", "worked, or who is responsible: node, outside, or unknown"),
        "why_unknown": Column("category", "why the class is unknown"),
        "reason": Column("category", "why the packet that decides the most has its fate"),
        "gap": Column("str", "where that packet was held up, inner point first"),
        "incident": Column("str", "the incident it belongs to; None without one"),
        "cause": Column("category", "of that incident"),
        "delay_s": Column("float64", "how long a request was repeated before it was answered", unit="s"),
        "packets": Column("int64", "both directions, at `point`", unit="packets"),
        "repeated": Column("int64", "data segments that were retransmitted", unit="packets"),
        "deciding_frame": Column(
            "Int64", "frame at `point` of the packet that decided the outcome; missing for a success"
        ),
        "conn_state": Column("category", "as in Zeek", zeek="conn_state"),
        "history": Column("str", "as in Zeek, each letter once per direction", zeek="history"),
        "duration": Column("float64", "first to last packet at `point`", unit="s", zeek="duration"),
    },
}
