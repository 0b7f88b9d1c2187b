"""Analyses to render: a race with retries and partners, a late ACK, a quiet bundle, and odd ones."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from analyzer.api import Analysis
from analyzer.connection.model import Account, Fate, Passage, Sighting
from analyzer.incident.model import (
    Attempt,
    CapturePoint,
    Counts,
    Evidence,
    Exclusion,
    Finding,
    Incident,
    Reconciled,
    Remedy,
    WindowPoint,
)

START = int(datetime(2026, 11, 20, 10, 58, 16, tzinfo=UTC).timestamp()) * 10**9 + 123_456_789
"""Of the captures, in nanoseconds since the epoch."""
US, MS, S = 10**3, 10**6, 10**9
SERVER = "192.0.2.100:80"
NODE = "192.0.2.10"


def point(
    name: str, role: str, packets: int, first: int = START, last: int = START + 9 * S, **other: object
) -> CapturePoint:
    """Return a capture point with one file of its own name."""
    given: dict[str, object] = {
        "files": (f"{name}.pcap",),
        "skipped": {},
        "dropped": 0,
        "clock_offset": 0,
        **other,
    }
    return CapturePoint(name=name, role=role, packets=packets, first=first, last=last, **given)  # type: ignore[arg-type]


POINTS = (
    point("veth1a2b", "pod", 2_410, skipped={"not IP: ARP": 6}),
    point("veth3c4d", "pod", 2_398, START + 40 * MS),
    point("cni0", "bridge", 4_808, START - 120 * MS, START + 9 * S + 200 * MS, skipped={"not IP: ARP": 14}),
    point(
        "eth0",
        "uplink",
        4_877,
        START - 110 * MS,
        START + 9 * S + 240 * MS,
        skipped={"not IP: ARP": 9, "LLDP": 1},
    ),
)


def seen(where: str, frame: int, time: int, src: str, dst: str) -> Sighting:
    """Return a sighting in the file that bears the point's name."""
    return Sighting(point=where, file=f"{where}.pcap", frame=frame, time=time, src=src, dst=dst)


def raced(
    number: int, time: int, pod: str, partner: str, retries: tuple[int, ...], outer_port: int
) -> Finding:
    """Return a connection that lost a port race against *partner* until the last of *retries* passed."""
    port = 20_000 + number
    veth, other = ("veth1a2b", "veth3c4d") if pod.endswith("11") else ("veth3c4d", "veth1a2b")
    inner, rival, mine = f"{pod}:{port}", f"{partner}:{port}", f"{NODE}:{outer_port}"
    frame = 12 + 40 * number
    passages = [
        Passage(
            sightings=(
                seen(other, frame, time - 9 * US, rival, SERVER),
                seen("cni0", 2 * frame, time - 5 * US, rival, SERVER),
                seen("eth0", 2 * frame + 3, time + 14 * US, f"{NODE}:{port}", SERVER),
            ),
            outward=True,
            label="SYN",
            fate=Fate.PASSED,
            role="partner",
            note=f"took outer port {port}",
        )
    ]
    attempts = []
    for attempt, after in enumerate((0, *retries), 1):
        at = time + after
        lost = attempt <= len(retries)
        way = [
            seen(veth, frame + 5 * attempt, at, inner, SERVER),
            seen("cni0", 2 * frame + 9 * attempt, at + 4 * US, inner, SERVER),
        ]
        if not lost:
            way.append(seen("eth0", 2 * frame + 9 * attempt + 4, at + 21 * US, mine, SERVER))
        passages.append(
            Passage(
                sightings=tuple(way),
                outward=True,
                label="SYN",
                fate=Fate.VANISHED if lost else Fate.PASSED,
                gap=("cni0", "eth0") if lost else None,
                role="attempt",
                note=f"attempt {attempt}",
            )
        )
        attempts.append(Attempt(time=at, fate=passages[-1].fate, packets=tuple(way)))
    answer = time + retries[-1] + 412 * US
    passages.append(
        Passage(
            sightings=(
                seen("eth0", 2 * frame + 40, answer, SERVER, mine),
                seen("cni0", 2 * frame + 36, answer + 13 * US, SERVER, inner),
                seen(veth, frame + 30, answer + 16 * US, SERVER, inner),
            ),
            outward=False,
            label="SYN-ACK",
            fate=Fate.PASSED,
            role="reply",
            note="answers the last attempt",
        )
    )
    return Finding(
        kind="syn-vanished",
        cause="snat-port-race",
        confidence="proven",
        gap=("cni0", "eth0"),
        time=time,
        inner=f"{inner} > {SERVER}/tcp",
        outer=f"{mine} > {SERVER}/tcp",
        delay_s=retries[-1] / S,
        attempts=tuple(attempts),
        passages=tuple(passages),
        omitted=6,
        facts={
            "partner": f"{rival} > {SERVER}/tcp",
            "outer_port_taken": port,
            "microseconds_apart": 5.0,
            "attempts_vanished": len(retries),
        },
        evidence=(
            Evidence(
                says=f"The partner's SYN left with outer port {port} 14 µs after the lost one.",
                source=f"eth0.pcap frame {2 * frame + 3}",
            ),
        ),
    )


RACE = Incident(
    id="syn-vanished-1",
    kind="syn-vanished",
    cause="snat-port-race",
    confidence="proven",
    gap=("cni0", "eth0"),
    first=START + 310 * MS,
    last=START + 4 * S,
    summary="Three connections from two pods to 192.0.2.100:80 waited up to 2.1 seconds, because the node "
    "gave two of them the same outer port at the same instant and dropped the later SYN.",
    findings=(
        raced(0, START + 310 * MS, "10.244.0.11", "10.244.0.12", (1_024_012 * US,), 20_000 + 17_408),
        raced(7, START + 1_930 * MS, "10.244.0.12", "10.244.0.11", (1_031_847 * US, 2_079_803 * US), 31_207),
        raced(19, START + 4 * S, "10.244.0.11", "10.244.0.12", (1_019_422 * US,), 48_811),
    ),
    evidence=(
        Evidence(
            says="insert_failed and drop both rose by 4: exactly the number of lost SYNs.",
            source="conntrack -S, before and after",
        ),
        Evidence(says="The MASQUERADE rule does not randomise ports.", source="iptables-save line 41"),
        Evidence(
            says="Every lost SYN had a partner to the same destination within 100 µs.",
            source="cni0.pcap, eth0.pcap",
        ),
    ),
    excluded=(
        Exclusion(
            cause="snat-port-exhaustion",
            because="Every connection passed on a later attempt, and 3 of 64,512 outer ports were in use.",
        ),
        Exclusion(
            cause="conntrack-table-full",
            because="insert_failed rose with drop; a full table raises drop alone.",
        ),
        Exclusion(cause="policy-drop", because="597 other connections to the same destination passed."),
    ),
    remedies=(
        Remedy(
            do="Randomise SNAT's source ports",
            command="iptables -t nat -R POSTROUTING 1 -s 10.244.0.0/16 \\\n"
            "    ! -o cni0 -j MASQUERADE --random-fully",
            effect="Two flows rarely draw the same port: losses fall from percents to about none.",
            risk="Reduces the race, does not abolish it. Outer ports are no longer those of the pods.",
        ),
        Remedy(
            do="Give the SNAT pool more addresses",
            command="",
            effect="Fewer flows compete for one address and port.",
            risk="Firewalls outside must know the new addresses.",
        ),
    ),
)


# libnetwork issue 1090, the ACKs around the late one: microseconds, frame on the host, frame in the container
# (None: absent there), acknowledged byte.
_ACKS = (
    (0, 117_893, 348_997, 10_069_055),
    (99, 117_895, 348_999, 10_149_475),
    (201, 117_898, None, 10_110_467),
    (777, 117_900, 349_002, 10_160_447),
    (828, 117_901, 349_003, 10_194_987),
    (874, 117_903, 349_005, 10_204_983),
    (979, 117_904, 349_006, 10_214_711),
    (1_033, 117_905, 349_007, 10_227_563),
    (1_189, 117_906, 349_008, 10_256_123),
    (1_201, 117_907, 349_010, 10_320_383),
    (1_315, 117_910, 349_012, 10_322_531),
)
# The client's data: microseconds, frame on the host, frame in the container, sequence number, its end.
_DATA = (
    (4, 117_894, 348_998, 10_194_987, 10_214_711),
    (103, 117_896, 349_000, 10_214_711, 10_278_971),
    (134, 117_897, 349_001, 10_278_971, 10_322_531),
    (834, 117_902, 349_004, 10_322_531, 10_343_231),
    (1_207, 117_908, 349_009, 10_343_231, 10_407_491),
)
CLIENT, TRANSLATED, PEER = "10.251.0.1:56284", "10.205.13.199:56284", "192.168.0.100:80"
WINDOW = 173_056


def _late_ack() -> Incident:
    start = START + 2 * S
    passages, window = [], []
    for after, frame, container, ack in _ACKS:
        at = start + after * US
        lost = container is None
        upper = max((end for time, *_, end in _DATA if time < after), default=10_194_987)
        way = [seen("eth0", frame, at, PEER, TRANSLATED)]
        if not lost:
            way.append(seen("veth9f01", container, at + 11 * US, PEER, CLIENT))
        passages.append(
            Passage(
                sightings=tuple(way),
                outward=False,
                label=f"ACK {ack}",
                fate=Fate.VANISHED if lost else Fate.PASSED,
                gap=("veth9f01", "eth0") if lost else None,
                role="offender" if lost else "context",
                note="39008 bytes under the lower bound" if lost else "",
            )
        )
        window.append(
            WindowPoint(
                time=at,
                point="eth0",
                frame=frame,
                reply=True,
                flags="A",
                seq=26,
                end=26,
                ack=ack,
                window=WINDOW,
                verdict="invalid" if lost else "accept",
                test="ack-under-lower-bound" if lost else "",
                bound=upper - WINDOW,
                upper=upper,
                short_by=upper - WINDOW - ack if lost else 0,
            )
        )
    for after, frame, container, seq, end in _DATA:
        at = start + after * US
        way = [
            seen("veth9f01", container, at, CLIENT, PEER),
            seen("eth0", frame, at + 9 * US, TRANSLATED, PEER),
        ]
        passages.append(
            Passage(
                sightings=tuple(way),
                outward=True,
                label=f"{end - seq} bytes",
                fate=Fate.PASSED,
                role="context",
            )
        )
        window.append(
            WindowPoint(
                time=at,
                point="veth9f01",
                frame=container,
                reply=False,
                flags="A",
                seq=seq,
                end=end,
                ack=26,
                window=43_008,
                verdict="accept",
            )
        )
    reset = start + 235 * US
    passages.append(
        Passage(
            sightings=(seen("eth0", 117_899, reset, TRANSLATED, PEER),),
            outward=True,
            label="RST 10110467",
            fate=Fate.PASSED,
            role="host-reset",
            note="made by the host 34 µs after the late ACK",
        )
    )
    window.append(
        WindowPoint(
            time=reset,
            point="eth0",
            frame=117_899,
            reply=False,
            flags="R",
            seq=10_110_467,
            end=10_110_467,
            ack=0,
            window=0,
            verdict="invalid",
        )
    )
    for number in range(3):
        at = start + (2_036 + 12 * number) * US
        way = [
            seen("eth0", 117_912 + number, at, PEER, TRANSLATED),
            seen("veth9f01", 349_014 + number, at + 14 * US, PEER, CLIENT),
        ]
        passages.append(
            Passage(
                sightings=tuple(way),
                outward=False,
                label="RST",
                fate=Fate.PASSED,
                role="reply",
                note="the server gives up",
            )
        )
        window.append(
            WindowPoint(
                time=at,
                point="eth0",
                frame=117_912 + number,
                reply=True,
                flags="R",
                seq=26,
                end=26,
                ack=0,
                window=0,
                verdict="accept",
            )
        )
    passages.sort(key=lambda passage: passage.sightings[0].time)
    finding = Finding(
        kind="invalid-reset",
        cause="ack-under-lower-bound",
        confidence="proven",
        gap=("veth9f01", "eth0"),
        time=start + 201 * US,
        inner=f"{CLIENT} > {PEER}/tcp",
        outer=f"{TRANSLATED} > {PEER}/tcp",
        delay_s=None,
        passages=tuple(passages),
        omitted=349_000,
        window=tuple(sorted(window, key=lambda row: row.time)),
        facts={
            "ack": 10_110_467,
            "upper_bound": 10_322_531,
            "lower_bound": 10_149_475,
            "short_by": 39_008,
            "server_window": WINDOW,
            "kernel_generation": "up to 6.0",
            "reset_after": "34 µs",
        },
    )
    return Incident(
        id="invalid-reset-1",
        kind="invalid-reset",
        cause="ack-under-lower-bound",
        confidence="proven",
        gap=("veth9f01", "eth0"),
        first=finding.time,
        last=finding.time,
        summary="An upload from 10.251.0.1 to 192.168.0.100:80 broke off, because one ACK of the server "
        "arrived late: the node took it for a foreign packet and reset the connection behind the "
        "container's back.",
        findings=(finding,),
        evidence=(
            Evidence(
                says="The RST's sequence number is the late ACK's acknowledgement number.",
                source="eth0.pcap frame 117899",
            ),
            Evidence(
                says="Neither the ACK nor the RST is in the container's capture.", source="veth9f01.pcap"
            ),
        ),
        excluded=(
            Exclusion(
                cause="a RST of the server",
                because="Its source is the node's own address, and no capture further in saw it.",
            ),
        ),
        remedies=(
            Remedy(
                do="Let conntrack accept ACKs outside the window",
                command="sysctl -w net.netfilter.nf_conntrack_tcp_be_liberal=1",
                effect="No window verdict any more: the late ACK is translated and delivered.",
                risk="Node-wide; a stray packet can keep an entry alive.",
            ),
            Remedy(
                do="Drop INVALID packets before the host answers them",
                command="iptables -I INPUT -m conntrack --ctstate INVALID -j DROP",
                effect="The host makes no RST; the late ACK is lost and the next one takes its place.",
                risk="Breaks asymmetric routing.",
            ),
        ),
    )


LATE_ACK = _late_ack()


def mapping(number: int) -> dict[str, object]:
    """Return one NAT mapping."""
    port = 20_000 + number
    return {
        "proto": "tcp",
        "gap": ["cni0", "eth0"],
        "kind": "snat",
        "inner": f"10.244.0.{11 + number % 2}:{port} > {SERVER}",
        "outer": f"{NODE}:{port} > {SERVER}",
        "first": START + number * MS,
        "last": START + number * MS + 830 * MS,
        "packets": 10 + number % 3,
        "confidence": "proven",
        "agreed": ["isn", "options", "timestamps"],
    }


def race() -> Analysis:
    """Return the race alone."""
    return Analysis(
        bundle="node7-2026-11-20.tar.zst",
        kernel="6.18.44",
        capture_points=POINTS,
        counts=Counts(connections=600, syn_attempts=604, syn_vanished=4, syn_unanswered=0, udp_requests=12),
        account=Account(connections=612, worked=608, node=4, outcomes={"ok": 608, "delayed": 4}),
        incidents=(RACE,),
        reconciliation=(
            Reconciled(counter="insert_failed", delta=4, explained=4, note="4 of 4 explained by lost SYNs"),
            Reconciled(counter="drop", delta=4, explained=4, note="4 of 4 explained by lost SYNs"),
        ),
        caveats=("eth0.pcap: the last record, at byte 913,408, is cut short; 4,877 packets were read.",),
        mappings=tuple(mapping(number) for number in range(24)),
    )


def late_ack() -> Analysis:
    """Return the late ACK alone, two captures with different time bases."""
    return Analysis(
        bundle="late-ack-seed",
        kernel=None,
        capture_points=(
            point("veth9f01", "pod", 20, START + 2 * S, START + 2 * S + 3 * MS, dropped=None),
            point(
                "eth0",
                "uplink",
                22,
                START + 2 * S,
                START + 2 * S + 3 * MS,
                dropped=None,
                clock_offset=907_610_220_000,
            ),
        ),
        counts=Counts(connections=1, invalid_packets=1, host_resets=1),
        account=Account(connections=1, node=1, outcomes={"reset": 1}),
        incidents=(LATE_ACK,),
        reconciliation=(),
        caveats=(
            "The captures have different time bases: eth0 was moved by 907.610 s, the median of "
            "17 matched packets.",
            "The captures begin mid-connection: window scales are taken from the listing.",
        ),
        mappings=(
            {
                "proto": "tcp",
                "gap": ["veth9f01", "eth0"],
                "kind": "snat",
                "inner": f"{CLIENT} > {PEER}",
                "outer": f"{TRANSLATED} > {PEER}",
                "first": START + 2 * S,
                "last": START + 2 * S + 2 * MS,
                "packets": 19,
                "confidence": "proven",
                "agreed": ["seq", "ack", "timestamps"],
            },
        ),
    )


def both() -> Analysis:
    """Return one bundle with both incidents."""
    quiet, late = race(), late_ack()
    return Analysis(
        bundle=quiet.bundle,
        kernel="5.10.0-32-amd64",
        capture_points=(late.capture_points[0], *quiet.capture_points),
        counts=Counts(
            connections=601,
            syn_attempts=604,
            syn_vanished=4,
            syn_unanswered=2,
            udp_requests=12,
            invalid_packets=1,
            host_resets=1,
        ),
        account=Account(
            connections=613,
            worked=605,
            node=5,
            outside=2,
            unknown=1,
            why_unknown={"not-recording": 1},
            outcomes={"ok": 605, "delayed": 4, "reset": 1, "timed-out": 3},
            outcomes_outside={"timed-out": 2},
        ),
        incidents=(RACE, LATE_ACK),
        reconciliation=quiet.reconciliation,
        caveats=quiet.caveats + late.caveats,
        mappings=late.mappings + quiet.mappings,
    )


def clean() -> Analysis:
    """Return a bundle in which nothing vanished, though the far end left two SYNs unanswered."""
    return Analysis(
        bundle="clean",
        kernel="6.18.44",
        capture_points=POINTS,
        counts=Counts(connections=412, syn_attempts=414, syn_unanswered=2, udp_requests=96),
        account=Account(
            connections=508,
            worked=506,
            outside=2,
            outcomes={"ok": 506, "timed-out": 2},
            outcomes_outside={"timed-out": 2},
        ),
        incidents=(),
        reconciliation=(),
        caveats=(),
        mappings=tuple(mapping(number) for number in range(3)),
    )


def empty() -> Analysis:
    """Return what an analysis of nothing looks like."""
    return Analysis(
        bundle="",
        kernel=None,
        capture_points=(),
        counts=Counts(),
        account=Account(),
        incidents=(),
        reconciliation=(),
        caveats=(),
    )


def many(number: int) -> Analysis:
    """Return an incident with *number* findings and as many NAT mappings."""
    findings = tuple(
        raced(
            at % 40_000, START + at * 9 * MS, "10.244.0.11", "10.244.0.12", (1_000_000 * US + at,), 1024 + at
        )
        for at in range(number)
    )
    base = race()
    return Analysis(
        bundle="large",
        kernel="6.18.44",
        capture_points=base.capture_points,
        counts=Counts(connections=40 * number, syn_attempts=41 * number, syn_vanished=number),
        account=Account(
            connections=40 * number,
            worked=39 * number,
            node=number,
            outcomes={"ok": 39 * number, "delayed": number},
        ),
        incidents=(dataclasses.replace(RACE, findings=findings, last=findings[-1].time),),
        reconciliation=base.reconciliation,
        caveats=base.caveats,
        mappings=tuple(mapping(at) for at in range(number)),
    )
