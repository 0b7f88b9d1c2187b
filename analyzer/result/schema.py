"""The columns of every table: dtype, meaning, unit, and what Wireshark, Zeek and the Elastic Common Schema call them.

`docs/tables.py` writes docs/tables.md from this, and `analyzer.result.parquet` the schema of the files.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
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
        "point": Column(
            dtype="category", meaning="capture point", wireshark="frame.interface_name", ecs="observer.name"
        ),
        "role": Column(dtype="category", meaning="pod, bridge, uplink or unknown"),
        "files": Column(dtype="str", meaning="its files in time order, separated by commas"),
        "packets": Column(dtype="int64", meaning="frames in the tables", unit="packets"),
        "skipped": Column(dtype="int64", meaning="frames that are not in the tables", unit="packets"),
        "first": Column(dtype=_TIME, meaning="its first packet", unit="ns", ecs="event.start"),
        "last": Column(dtype=_TIME, meaning="its last packet", unit="ns", ecs="event.end"),
        "dropped": Column(
            dtype="Int64",
            meaning="packets lost by the capturing program; missing if the files do not say",
            unit="packets",
        ),
        "clock_offset": Column(
            dtype="int64", meaning="added to its times to reach the common clock", unit="ns"
        ),
    },
    "packets": {
        "point": Column(
            dtype="category", meaning="capture point", wireshark="frame.interface_name", ecs="observer.name"
        ),
        "file": Column(dtype="category", meaning="which file of the point"),
        "frame": Column(
            dtype="uint32", meaning="frame number in that file, from 1", wireshark="frame.number"
        ),
        "time": Column(
            dtype=_TIME,
            meaning="when the point saw it, on the common clock",
            unit="ns",
            wireshark="frame.time",
            zeek="ts",
            ecs="@timestamp",
        ),
        "flow": Column(dtype="int32", meaning="the point's flow: column `flow` of `flows`"),
        "src": Column(
            dtype="category", meaning="source address", wireshark="ip.src, ipv6.src", ecs="source.ip"
        ),
        "sport": Column(
            dtype="uint16",
            meaning="source port; the ICMP identifier or type",
            wireshark="tcp.srcport, udp.srcport",
            ecs="source.port",
        ),
        "dst": Column(
            dtype="category",
            meaning="destination address",
            wireshark="ip.dst, ipv6.dst",
            ecs="destination.ip",
        ),
        "dport": Column(
            dtype="uint16",
            meaning="destination port; the ICMP identifier or code",
            wireshark="tcp.dstport, udp.dstport",
            ecs="destination.port",
        ),
        "proto": Column(
            dtype="uint8",
            meaning="IP protocol number, 0 for ARP",
            wireshark="ip.proto, ipv6.nxt",
            ecs="network.iana_number",
        ),
        "reply": Column(dtype="bool", meaning="sent by the side that did not open the flow"),
        "seq": Column(
            dtype="uint32", meaning="sequence number as on the wire; of ICMP echo", wireshark="tcp.seq_raw"
        ),
        "ack": Column(
            dtype="uint32", meaning="acknowledgement number as on the wire", wireshark="tcp.ack_raw"
        ),
        "flags": Column(dtype="uint16", meaning="TCP flags; the ICMP code", wireshark="tcp.flags"),
        "window": Column(dtype="uint16", meaning="window field, unscaled", wireshark="tcp.window_size_value"),
        "length": Column(
            dtype="int32",
            meaning="payload by the IP header, not by what was captured",
            unit="bytes",
            wireshark="tcp.len",
        ),
        "ip_id": Column(dtype="uint16", meaning="IPv4 identification", wireshark="ip.id"),
        "ttl": Column(dtype="uint8", meaning="TTL or hop limit", unit="hops", wireshark="ip.ttl, ipv6.hlim"),
        "fragment": Column(dtype="bool", meaning="not the first fragment: it has no ports"),
        "cut": Column(dtype="bool", meaning="the transport header was not captured whole"),
        "tunnel": Column(
            dtype="category",
            meaning="the tunnel that carried the packet: vxlan, geneve, ipip, gre, l2tp, gtp, erspan, or nothing",
        ),
    },
    "flows": {
        "point": Column(dtype="category", meaning="capture point", ecs="observer.name"),
        "flow": Column(dtype="int32", meaning="number of the flow at that point"),
        "proto": Column(dtype="uint8", meaning="IP protocol number, 0 for ARP", ecs="network.iana_number"),
        "orig_h": Column(
            dtype="category",
            meaning="address of the side that opened it",
            zeek="id.orig_h",
            ecs="source.ip",
        ),
        "orig_p": Column(
            dtype="uint16",
            meaning="its port; the ICMP identifier or type",
            zeek="id.orig_p",
            ecs="source.port",
        ),
        "resp_h": Column(
            dtype="category",
            meaning="the other side's address",
            zeek="id.resp_h",
            ecs="destination.ip",
        ),
        "resp_p": Column(
            dtype="uint16",
            meaning="its port; the ICMP identifier or code",
            zeek="id.resp_p",
            ecs="destination.port",
        ),
        "first": Column(dtype=_TIME, meaning="its first packet", unit="ns", zeek="ts", ecs="event.start"),
        "last": Column(dtype=_TIME, meaning="its last packet", unit="ns", ecs="event.end"),
        "orig_pkts": Column(
            dtype="int64",
            meaning="sent by the opening side",
            unit="packets",
            zeek="orig_pkts",
            ecs="source.packets",
        ),
        "resp_pkts": Column(
            dtype="int64",
            meaning="sent by the other side",
            unit="packets",
            zeek="resp_pkts",
            ecs="destination.packets",
        ),
        "heading": Column(
            dtype="category",
            meaning="where its requests go: out of the node, in, local, or unknown",
        ),
        "community_id": Column(
            dtype="str",
            meaning="Community ID v1, seed 0; None for ARP and where ports were not captured",
            zeek="community_id",
            ecs="network.community_id",
        ),
    },
    "crossings": {
        "inner_point": Column(dtype="category", meaning="the capture point nearer to the pod"),
        "inner_flow": Column(dtype="int32", meaning="the flow there"),
        "outer_point": Column(dtype="category", meaning="the capture point nearer to the uplink"),
        "outer_flow": Column(dtype="int32", meaning="the flow there"),
        "inner_orig": Column(dtype="str", meaning="the opening side as the inner point saw it"),
        "outer_orig": Column(dtype="str", meaning="the same side as the outer point saw it"),
        "inner_resp": Column(dtype="str", meaning="the other side as the inner point saw it"),
        "outer_resp": Column(dtype="str", meaning="the other side as the outer point saw it"),
        "snat": Column(dtype="bool", meaning="the opening side's address or port differs"),
        "dnat": Column(dtype="bool", meaning="the other side's address or port differs"),
        "heading": Column(
            dtype="category", meaning="where its opening side's packets go: out, in, or unknown"
        ),
        "agreed": Column(dtype="str", meaning="the fields that prove the pair"),
        "confidence": Column(dtype="category", meaning="proven, likely, possible"),
        "inner_community_id": Column(
            dtype="str",
            meaning="Community ID of the flow at the inner point",
            zeek="community_id",
            ecs="network.community_id",
        ),
        "outer_community_id": Column(
            dtype="str",
            meaning="Community ID of the flow at the outer point; the same where NAT changed nothing",
            zeek="community_id",
            ecs="network.community_id",
        ),
    },
    "passages": {
        "time": Column(
            dtype=_TIME,
            meaning="when the point saw the request",
            unit="ns",
            wireshark="frame.time",
            ecs="@timestamp",
        ),
        "point": Column(
            dtype="category", meaning="capture point", wireshark="frame.interface_name", ecs="observer.name"
        ),
        "file": Column(dtype="category", meaning="which file of the point"),
        "frame": Column(
            dtype="uint32", meaning="frame number in that file, from 1", wireshark="frame.number"
        ),
        "flow": Column(dtype="int32", meaning="its flow at that point"),
        "proto": Column(
            dtype="uint8",
            meaning="6 for a SYN, 17 for a UDP request",
            wireshark="ip.proto, ipv6.nxt",
            ecs="network.iana_number",
        ),
        "first": Column(dtype="bool", meaning="no point before saw it; the sum counts every request once"),
        "fate": Column(dtype="category", meaning="in the gap behind this point"),
        "answered": Column(dtype="bool", meaning="an answer came before the flow's next request"),
        "reason": Column(dtype="category", meaning="why it has that fate: see docs/reading.md"),
    },
    "findings": {
        "incident": Column(dtype="str", meaning="the incident it belongs to"),
        "time": Column(
            dtype=_TIME,
            meaning="the first packet that was lost or judged",
            unit="ns",
            wireshark="frame.time",
            ecs="@timestamp",
        ),
        "kind": Column(dtype="category", meaning="what happened: see docs/design.md"),
        "cause": Column(dtype="category", meaning="why: see `lostsyn explain`"),
        "confidence": Column(dtype="category", meaning="proven, likely, possible"),
        "gap": Column(dtype="str", meaning="between which points, inner first; None where there is no gap"),
        "inner": Column(dtype="str", meaning="the flow as the innermost point saw it"),
        "outer": Column(dtype="str", meaning="as the outermost saw it; None if it did not get there"),
        "delay_s": Column(dtype="float64", meaning="time waited beyond a loss-free handshake", unit="s"),
        "attempts": Column(dtype="int64", meaning="SYNs or requests of the connection", unit="packets"),
        "vanished": Column(
            dtype="int64",
            meaning="how many packets of it vanished: requests, replies, data segments, ICMP errors",
            unit="packets",
        ),
        "pod": Column(
            dtype="str", meaning="address of the pod's side, or of the opener where neither is a pod's"
        ),
        "pod_name": Column(
            dtype="str",
            meaning="name of the pod, container or node with this address; None if the bundle does not say",
        ),
        "namespace": Column(dtype="str", meaning="its namespace", ecs="orchestrator.namespace"),
        "pod_node": Column(dtype="str", meaning="the node on which it runs"),
        "dst": Column(dtype="str", meaning="address that the opener asked for", ecs="destination.ip"),
        "service": Column(
            dtype="str", meaning="`namespace/name` of the service that has the destination's address"
        ),
        "dst_port": Column(
            dtype="Int64", meaning="its port; missing where there is none", ecs="destination.port"
        ),
        "point": Column(
            dtype="str", meaning="a point that saw the connection; with `flow` the row joins `flows`"
        ),
        "flow": Column(dtype="int64", meaning="its flow there; -1 where none is named"),
    },
    "connections": {
        "connection": Column(dtype="int64", meaning="its number in this table"),
        "time": Column(
            dtype=_TIME,
            meaning="its first packet",
            unit="ns",
            wireshark="frame.time",
            zeek="ts",
            ecs="event.start",
        ),
        "proto": Column(
            dtype="uint8", meaning="IP protocol number", wireshark="ip.proto", ecs="network.iana_number"
        ),
        "src": Column(
            dtype="str", meaning="address that opened it, at `point`", zeek="id.orig_h", ecs="source.ip"
        ),
        "src_port": Column(
            dtype="Int64", meaning="its port, or the echo's identifier", zeek="id.orig_p", ecs="source.port"
        ),
        "dst": Column(
            dtype="str",
            meaning="address that it asked for, at `point`",
            zeek="id.resp_h",
            ecs="destination.ip",
        ),
        "dst_port": Column(dtype="Int64", meaning="its port", zeek="id.resp_p", ecs="destination.port"),
        "direction": Column(dtype="category", meaning="out of the node, in, local (on the node), or transit"),
        "pod": Column(
            dtype="str", meaning="address of the pod's side; None where neither is known to be a pod's"
        ),
        "pod_name": Column(
            dtype="str",
            meaning="name of the pod, container or node with this address; None if the bundle does not say",
        ),
        "namespace": Column(dtype="str", meaning="its namespace", ecs="orchestrator.namespace"),
        "pod_node": Column(dtype="str", meaning="the node on which it runs"),
        "service": Column(
            dtype="str", meaning="`namespace/name` of the service that has the destination's address"
        ),
        "point": Column(dtype="category", meaning="the point that its opener's packets reach first"),
        "flow": Column(dtype="int64", meaning="its flow there: joins `flows`"),
        "points": Column(
            dtype="str", meaning="every point that saw it with the first frame there, `cni0:12 eth0:9`"
        ),
        "outcome": Column(dtype="category", meaning="its outcome for its opener: see docs/reading.md"),
        "refused_by": Column(
            dtype="category", meaning="peer, router, pod or node (this one), where the outcome is a refusal"
        ),
        "refusal": Column(dtype="str", meaning="how, and by whom: `port unreachable by the peer`"),
        "reset_by": Column(dtype="category", meaning="opener or responder, where the outcome is a reset"),
        "class": Column(dtype="category", meaning="worked, or who is responsible: node, outside, or unknown"),
        "why_unknown": Column(dtype="category", meaning="why the class is unknown"),
        "reason": Column(dtype="category", meaning="why the packet that decides the most has its fate"),
        "gap": Column(dtype="str", meaning="where that packet was held up, inner point first"),
        "incident": Column(dtype="str", meaning="the incident it belongs to; None without one"),
        "cause": Column(dtype="category", meaning="of that incident"),
        "delay_s": Column(
            dtype="float64", meaning="how long a request was repeated before it was answered", unit="s"
        ),
        "packets": Column(dtype="int64", meaning="both directions, at `point`", unit="packets"),
        "repeated": Column(dtype="int64", meaning="data segments that were retransmitted", unit="packets"),
        "deciding_frame": Column(
            dtype="Int64",
            meaning="frame at `point` of the packet that decided the outcome; missing for a success",
        ),
        "conn_state": Column(dtype="category", meaning="as in Zeek", zeek="conn_state"),
        "history": Column(dtype="str", meaning="as in Zeek, each letter once per direction", zeek="history"),
        "duration": Column(
            dtype="float64", meaning="first to last packet at `point`", unit="s", zeek="duration"
        ),
    },
}
