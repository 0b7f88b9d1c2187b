"""Where a packet's way leads: by who is there, by what others took, by the routes; else nobody can tell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

from analyzer import analyze
from analyzer.flow.point import TCP, UDP
from tests.connection.reasons import asks, inbound, judged, opens, out, reasons
from tests.connection.samples import keep, unpacked
from tests.conversation import GATEWAY, UPLINK, Conversation, bystander, encapsulated, record
from tests.incident.evidence import Frames


def _gaps(folder: Path, *talks: Conversation) -> list[tuple[str, str] | None]:
    """The gaps of all incidents of these conversations."""
    return sorted(incident.gap or ("", "") for incident in judged(folder, *talks).incidents)


WAYS = {
    "veth-a cni0 | eth0": {"server": "192.0.2.100", "nat": "192.0.2.10"},
    "cali1a | eth0": {"server": "192.0.2.100", "nat": "192.0.2.10"},
    "cali1a | cali2b": {"server": "10.244.0.12"},
    "veth-a cni0 | flannel.1 eth0": {"server": "10.244.2.5"},
    "cali1a | flannel.1 eth0": {"server": "10.244.2.5"},
    "veth-a cni0 veth-b": {"server": "10.244.0.12"},
    "veth-a cni0 | docker0 veth-c": {"server": "10.245.0.9"},
}


def _exchange(way: str, number: int, at: float, proto: str, *, by_pod: bool) -> Conversation:
    """A request and its answer, of either end; each end has one port, by which it is asked."""
    ports = (20_000 + number, 80) if by_pod else (80, 20_000 + number)
    ends = {name: f"{address}:{ports[name != 'nat']}" for name, address in WAYS[way].items()}
    talk = Conversation(pod=f"10.244.0.11:{ports[0]}", **ends, way=way, proto=proto)
    seq, answer = 1_000_000 * number, 5_000_000 * number
    talk.send("S", b"" if proto == "tcp" else b"asks %d" % number, by_pod=by_pod, at=at, seq=seq)
    talk.send(
        "SA", b"" if proto == "tcp" else b"answers %d" % number, by_pod=not by_pod, seq=answer, ack=seq + 1
    )
    if proto == "tcp":
        talk.send("A", by_pod=by_pod, seq=seq + 1, ack=answer + 1)
    return talk


@pytest.mark.parametrize("reply", [False, True], ids=["request", "reply"])
@pytest.mark.parametrize("by_pod", [True, False], ids=["out", "in"])
@pytest.mark.parametrize("way", WAYS)
def test_every_gap_of_every_way(way: str, by_pod: bool, reply: bool, tmp_path: Path) -> None:
    """Wherever one packet of an exchange is lost, the gap behind the point that saw it last is named, and no other."""
    bridge = [] if "cali" in way else ["cni0"]
    around = [
        bystander(at, " ".join(["veth-z" if bridge else "cali9", *bridge, "| eth0"])) for at in (-9, 20)
    ]
    far = next(
        (one for one in ("veth-b cni0", "veth-c docker0", "cali2b") if one.partition(" ")[0] in way), ""
    )
    for n, (pod, near) in enumerate(((11, way.split()[:2]), (12, far.split())) if bridge and far else ()):
        address = "10.245.0.9" if "docker0" in near else f"10.244.0.{pod}"
        for at in (-7, 21):
            port = 30_000 + 100 * n + at
            ends = {"pod": f"{address}:{port}", "nat": f"192.0.2.10:{port}", "isn": port * 99_991}
            around.append(out(**ends, way=f"{' '.join(near)} | eth0"))
            around[-1].syn(at)
            around[-1].accept()
    points = [one for one in way.split() if one not in "|/"][:: 1 if by_pod != reply else -1]
    for n, behind in enumerate(points[1:]):
        proto = ("tcp", "udp")[n % 2]
        talks = [_exchange(way, number, at, proto, by_pod=by_pod) for number, at in ((1, -4), (2, 0), (3, 9))]
        lost = talks[1].sent[reply]
        lost.seen = lost.seen[: n + 1]
        talks[1].sent = talks[1].sent[: 1 + reply]
        folder = record(tmp_path / str(n), *talks, *around)
        if "flannel.1" in way:
            encapsulated(folder / "eth0.pcap", "10.244.2.")
        analysis = analyze(folder)
        # What a pod's own interface has for its neighbour alone may be for the node as well.
        open_ = way == "veth-a cni0 veth-b" and n == 0 and not reply

        assert [{points[n], behind}] * (not open_) == [set(one.gap or ()) for one in analysis.incidents]
        assert open_ == bool(analysis.account.unknown)


def test_in_through_dnat_where_others_to_the_port_went(tmp_path: Path) -> None:
    """A service's connections are lost on their way to its pod, since another one of it arrived there."""
    arrived = opens(inbound(), 1)
    arrived.send("SA")
    lost = opens(inbound(server="203.0.113.8:41001", server_isn=77_000), 2, 3)
    for sent in lost.sent:
        sent.lost_after("eth0")
    analysis = judged(tmp_path, arrived, lost)

    assert ["lost", "lost"] == reasons(analysis, "eth0", port=41001)
    assert [("cni0", "eth0")] == [incident.gap for incident in analysis.incidents]


def test_in_through_dnat_without_a_bridge(tmp_path: Path) -> None:
    """To the one of two pods that others to the port were led to, though more goes to the other; to any, where none were."""
    talks = []
    for n, (port, way) in enumerate([(80, "cali1a"), *[(81, "cali2b")] * 3, (80, "cali1a"), (82, "cali1a")]):
        ends = {"pod": f"10.244.0.{'11' if way == 'cali1a' else '12'}:8080", "nat": f"192.0.2.10:{port}"}
        talks.append(
            opens(
                inbound(
                    **ends, server=f"203.0.113.{n}:{41000 + n}", server_isn=n * 99_991, way=f"{way} | eth0"
                ),
                n,
            )
        )
        if n < 4:
            talks[-1].send("SA")
        else:
            talks[-1].sent[0].lost_after("eth0")
    around = [bystander(at, f"{pod} | eth0") for pod in ("cali1a", "cali2b") for at in (-5, 20)]
    chain = "type nat hook prerouting priority -100; policy accept;"
    (tmp_path / "nft.txt").write_text(
        f"table ip n {{\n\tchain c {{\n\t\t{chain}\n\t\ttcp dport 82 dnat to 10.244.0.12:8080\n\t}}\n}}\n"
    )
    analysis = analyze(record(tmp_path, *talks, *around))

    assert [["lost"], ["lost"]] == [reasons(analysis, "eth0", port=port) for port in (41004, 41005)]
    assert [("cali1a", "eth0"), ("cali2b", "eth0")] == sorted(
        one.gap or ("", "") for one in analysis.incidents
    )


def test_in_to_a_pod_without_a_bridge(tmp_path: Path) -> None:
    """What is addressed to one of two pods is lost on its way to that one; what the node itself sends is for neither."""
    talks = []
    for n, (pod, way) in enumerate([(11, "cali1a"), (12, "cali2b"), (12, "cali2b"), (12, "cali2b")]):
        ends = {
            "pod": f"10.244.0.{pod}:8080",
            "server": f"203.0.113.{n}:{41000 + n}",
            "server_isn": n * 99_991,
        }
        talks.append(opens(Conversation(**ends, way=f"{way} | eth0"), n))
        if n == 2:
            talks[-1].sent[0].lost_after("eth0")
        else:
            talks[-1].send("SA")
    own = asks(Conversation(pod="192.0.2.10:5000", server="203.0.113.9:443", way="eth0", isn=5), 1)
    around = [bystander(at, "cali1a | eth0") for at in (-5, 20)]
    analysis = analyze(record(tmp_path, own, *talks, *around))

    assert [["seen-beyond"], ["lost"]] == [reasons(analysis, "eth0", port=port) for port in (5000, 41002)]
    assert [("cali2b", "eth0")] == [incident.gap for incident in analysis.incidents]


def test_in_to_the_node_itself_is_not_lost(tmp_path: Path) -> None:
    """The near miss: nothing translates it, so it ends at the node."""
    lost = opens(inbound(nat="192.0.2.10:22", pod="10.244.0.11:22"), 2, 3)
    for sent in lost.sent:
        sent.lost_after("eth0")
    analysis = judged(tmp_path, lost)

    assert {"lost"}.isdisjoint(reasons(analysis, "eth0", port=41000))
    assert () == analysis.incidents


def test_two_pods_that_talk_to_each_other_only(tmp_path: Path) -> None:
    """The near miss: whose address is whose nobody can tell, nor whether the other pod was recording before."""
    talk = Conversation(pod="10.244.0.11:20000", server="10.244.0.12:80", way="veth-a cni0 veth-b")
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept()
    analysis = judged(tmp_path, talk)

    assert () == analysis.incidents
    assert {"not-recording": 1} == analysis.account.why_unknown


def test_a_pod_that_was_not_captured(tmp_path: Path) -> None:
    """The near miss: nobody recorded where it goes."""
    talk = Conversation(pod="10.244.0.11:20000", server="10.244.0.12:80", way="veth-a cni0 veth-b")
    talk.syn(0).lost_after("cni0")
    talk.syn(1)
    talk.accept()
    assert "lost" not in reasons(judged(tmp_path, talk, points=("veth-a", "veth-z", "cni0", "eth0")))


def _two_uplinks(folder: Path) -> None:
    """A node with two uplinks; a pod's SYN to a server of the second one's side is lost."""
    first = [bystander(at) for at in (-5, 20)]
    second = Conversation(
        pod="10.244.0.12:30000", server="192.0.2.200:80", nat="192.0.2.11:30000", way="veth-b cni0 | eth1"
    )
    second.syn(-4)
    second.accept()
    second.data(at=21)
    talk = asks(out(server="192.0.2.200:80", way="veth-a cni0 | eth1"), 0, 1, after="cni0")
    record(folder, *first, second, talk)


def test_of_two_exits_the_one_that_others_to_the_address_took(tmp_path: Path) -> None:
    """The loss is between the bridge and eth1."""
    _two_uplinks(tmp_path)
    analysis = analyze(tmp_path)

    assert ["lost", "lost"] == reasons(analysis)
    assert [("cni0", "eth1")] == [incident.gap for incident in analysis.incidents]


def test_of_two_exits_the_one_that_the_routes_name(tmp_path: Path) -> None:
    """The routes outrank what others took."""
    _two_uplinks(tmp_path)
    (tmp_path / "ip-route.json").write_text(
        '[{"dst": "192.0.2.200", "dev": "eth0", "flags": []}, {"dst": "default", "dev": "eth1", "flags": []}]'
    )

    assert [("cni0", "eth0")] == [incident.gap for incident in analyze(tmp_path).incidents]


@pytest.mark.parametrize(("device", "outer"), [("docker0", "docker0"), ("eth0", "eth0")])
def test_the_first_between_two_bridges(device: str, outer: str, tmp_path: Path) -> None:
    """Where no packet told yet whose network an address is in, the routes do."""
    (tmp_path / "ip-route.txt").write_text(
        f"default via 192.0.2.1 dev eth0\n10.244.0.0/24 dev cni0 scope link\n10.245.0.0/24 dev {device} scope link\n"
    )
    lost = asks(out(server="10.245.0.9:80", nat=None), 0, 1, after="cni0")

    assert [("cni0", outer)] == _gaps(
        tmp_path, lost, *(bystander(at, "veth-c docker0 | eth0") for at in (-4, 21))
    )


@pytest.mark.parametrize(("pod", "uplink"), [(11, "eth1"), (12, "eth0"), (13, "eth0")])
def test_of_two_exits_the_one_of_the_same_sender(pod: int, uplink: str, tmp_path: Path) -> None:
    """Policy routing may send each pod's packets another way to one address; a pod that is not known there goes with the most."""
    talks = [
        out(pod=f"10.244.0.{11 + n}:3000{n}", way=f"veth-{'ab'[n]} cni0 | eth{1 - n}", nat=f"192.0.2.{10 + n}:3000{n}", isn=n)
        for n in (0, 1)
    ]  # fmt: skip
    for talk in talks:
        talk.syn(-4)
        talk.accept()
        talk.data(at=21)
    lost = asks(out(pod=f"10.244.0.{pod}:20000"), 0, 1, after="cni0")

    assert [("cni0", uplink)] == _gaps(tmp_path, *talks, lost)


@pytest.mark.parametrize(
    ("pod", "server", "outer"),
    [
        ("10.244.0.11", "10.244.7.9", "flannel.1"),
        ("10.244.0.11", "10.245.7.9", "eth0"),
        ("10.244.0.11", "198.51.100.9", "eth0"),
        ("[2001:db8:1::11]", "[2001:db8:1::9]", "flannel.1"),
        ("[2001:db8:1::11]", "[2001:db8:1:1::9]", "eth0"),
    ],
)
def test_of_tunnel_and_uplink_the_tunnel_for_pods(pod: str, server: str, outer: str, tmp_path: Path) -> None:
    """Where nothing else tells, what is for the network of the pods goes into the tunnel, and the rest does not."""
    tunnel = Conversation(pod="10.244.0.12:30000", server="10.244.5.5:80", way="veth-b cni0 | flannel.1")
    for at in (-5, 20):
        tunnel.syn(at)
        tunnel.accept()
    lost = asks(out(pod=f"{pod}:20000", server=f"{server}:80", nat=None), 0, 1, after="cni0")
    analysis = judged(tmp_path, tunnel, lost)

    assert [("cni0", outer)] == [incident.gap for incident in analysis.incidents]


@pytest.mark.parametrize(
    ("server", "expected"), [("192.0.2.202", "way-unknown"), ("192.0.2.201", "other-way")]
)
def test_an_exit_that_was_not_captured(server: str, expected: str, tmp_path: Path) -> None:
    """Half of what leaves goes another way: what is not seen may have gone there, and did if it is for the same address."""
    others = [
        Conversation(pod=f"10.244.0.12:{port}", server="192.0.2.201:80", nat=f"192.0.2.11:{port}", isn=port)
        for port in (30000, 30001)
    ]
    for other in others:
        other.syn(0)
        other.accept()
        for sent in other.sent:
            sent.missed_at("eth0")
    silent = asks(out(server=f"{server}:80"), 1, 2, after="cni0")
    analysis = judged(tmp_path, *others, silent)

    assert ["answered-here"] == reasons(analysis, port=30000)
    assert [expected, expected] == reasons(analysis)


@pytest.mark.parametrize("lost", [True, False])
def test_a_tunnel_is_a_layer_of_its_own(lost: bool, tmp_path: Path) -> None:
    """What is seen on flannel.1 and not on eth0, wrapped, is between the two; what is on both is no loss."""
    from tests.conftest import analysed

    analysis = analysed("policy-drop-tunnel")
    roles = {point.name: point.role for point in analysis.capture_points}
    assert ("tunnel", "uplink") == (roles["flannel.1"], roles["eth0"])
    if lost:
        assert [("flannel.1", "eth0")] == [incident.gap for incident in analysis.incidents]
    else:
        assert 14 == analysis.account.worked


HOPS = "192.0.2.100 \n\tnexthop via 192.0.2.1 dev eth0 weight 1\n\tnexthop via 192.0.2.2 dev eth1 weight 1\n"


@pytest.mark.parametrize("crossed", [False, True], ids=["never", "others crossed"])
@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("", "lost"),
        ("192.0.2.100 dev eth1 scope link\n", "other-way"),
        ("192.0.2.100 dev flannel.1 scope link\n", "lost"),
        ("192.0.2.100 dev eth0.100 scope link\n", "lost"),
        ("192.0.2.100 dev cali9 scope link\n", "not-captured"),
        (HOPS, "other-way"),
        (HOPS.replace("eth1", "eth0"), "lost"),
    ],
    ids=["default", "eth1", "tunnel", "a VLAN", "a pod", "two next hops", "two of one device"],
)
def test_where_the_routes_lead(route: str, expected: str, crossed: bool, tmp_path: Path) -> None:
    """By a device that was not captured, or into the node, a packet may have gone, whoever crossed the gap before."""
    (tmp_path / "ip-route.txt").write_text(f"default via 192.0.2.1 dev eth0\n{route}")
    other = out(pod="10.244.0.12:20001", nat="192.0.2.10:20001", way="veth-b cni0 | eth0", isn=7)
    other.syn(-2)
    other.accept()
    analysis = judged(tmp_path, asks(out(), 0, 1, after="cni0"), *([other] if crossed else []))

    assert [expected] * 2 == reasons(analysis)


def test_one_way(tmp_path: Path) -> None:
    """A point that has only what comes in says nothing of what leaves; with one that left it lacks most of what did."""
    for name, more in (("blind", False), ("sees", True)):
        others = [bystander(at) for at in (-5, 1, 20)]
        talk = asks(out(), 0, after="cni0")
        for one in (*others, talk):
            for sent in one.sent:
                if sent.outward:
                    sent.missed_at("eth0")
        if more:
            others.append(bystander(2))
        own = Conversation(pod="192.0.2.10:5000", server="203.0.113.9:443", way="eth0")
        own.reply(at=2)
        record(tmp_path / name, talk, own, *others)
        assert [("capture-dropped" if more else "one-direction")] == reasons(analyze(tmp_path / name))


@pytest.mark.parametrize("seen", [False, True])
def test_one_way_in(seen: bool, tmp_path: Path) -> None:
    """The same of connections from outside: what a pod answers is not there, as little as what was acknowledged."""
    talks = [opens(inbound(server=f"203.0.113.{n}:4100{n}", server_isn=n * 1000), n) for n in range(5)]
    for talk in talks:
        talk.send("SA").missed_at("eth0")
        if talk is not talks[2]:
            talk.send("A", by_pod=False)
    answer = talks[-1].data()
    if not seen:
        answer.missed_at("eth0")
    analysis = analyze(record(tmp_path, *talks))

    assert ["capture-dropped" if seen else "one-direction"] == reasons(analysis, port=41002, replies=True)
    assert ["answered"] == reasons(analysis, port=41001, replies=True)


@pytest.mark.parametrize(("lost", "expected"), [(True, ["lost"]), (False, [])])
def test_a_reply_goes_back_to_a_device_of_several_addresses(
    lost: bool, expected: list[str], tmp_path: Path
) -> None:
    """Of two containers behind one veth no address tells what is for that veth; the request, which came from there, does."""
    talks = [
        out(pod=f"10.244.0.{11 + n % 2}:{20000 + n}", nat=f"192.0.2.10:{20000 + n}", proto="udp", server="192.0.2.100:53")
        for n in range(6)
    ]  # fmt: skip
    for n, talk in enumerate(talks):
        talk.data(b"asks %d" % n, n)
        talk.reply(b"answers %d" % n)
    if lost:
        talks[4].sent[1].lost_after("cni0")
    analysis = judged(tmp_path, *talks)

    assert expected == [
        code for code in reasons(analysis, port=53, protocol=UDP, replies=True) if code == "lost"
    ]


ROUTES = """default via 192.0.2.1 dev eth0
10.244.0.11 dev cali1a scope link
10.244.0.12 dev cali2b scope link
"""


@pytest.mark.parametrize("inward", [True, False])
def test_a_pod_whose_device_was_not_captured(inward: bool, tmp_path: Path) -> None:
    """The routes send it to a device of a pod: what became of it there nobody knows, and it is not lost outside."""
    (tmp_path / "ip-route.txt").write_text(ROUTES)
    way = "cali2b | eth0" if inward else "cali1a | cali2b"
    client = "198.51.100.7:40000" if inward else "10.244.0.11:40000"
    talk = (
        Conversation(pod="10.244.0.12:80", server=client, way=way)
        if inward
        else Conversation(pod=client, server="10.244.0.12:80", way=way)
    )
    for at in (0, 1, 3):
        talk.send("S", by_pod=not inward, at=at, seq=77)
    folder = record(
        tmp_path, talk, *(bystander(at, "cali1a | eth0") for at in (-5, 9)), points=("cali1a", "eth0")
    )
    account = analyze(folder).account

    assert (0, 0, 1) == (account.node, account.outside, account.unknown)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (lambda _, *ports: 443 in ports, "filtered"),
        (lambda proto, *ports: proto == 17 or 443 in ports, "filtered"),
        (lambda proto, *ports: proto == 17 or 81 not in ports, "lost"),
    ],
    ids=["port 443", "udp or port 443", "a real loss"],
)
def test_a_filter_on_the_uplink(wanted: Callable[..., bool], expected: str, tmp_path: Path) -> None:
    """What was answered past a filter shows that there is one, and it may hide what else of no service known there was not."""
    keep(unpacked("filter", tmp_path) / "eth0.pcap", wanted)
    analysis = analyze(tmp_path)

    assert {expected} == {one for one in reasons(analysis, port=81) if one != "not-recording"}
    assert (expected == "lost") == bool(analysis.incidents)


def test_an_uplink_without_a_filter(tmp_path: Path) -> None:
    """The near miss: nothing is hidden, and what nobody answered left the node."""
    analysis = analyze(unpacked("filter", tmp_path))

    assert {"seen-beyond"} == {*reasons(analysis, port=81)}
    assert (0, 2) == (analysis.account.unknown, analysis.account.outside)


@pytest.mark.parametrize(("proto", "expected"), [("tcp", "way-unknown"), ("udp", "capture-dropped")])
def test_others_of_the_service_crossed(proto: str, expected: str, tmp_path: Path) -> None:
    """A whole connection that was answered past the gap shows a second way; a question and its answer the capture missed."""
    port = {"tcp": "80", "udp": "53"}[proto]
    talks = [
        out(pod=f"10.244.0.12:3000{n}", server=f"192.0.2.100:{port}", nat=f"192.0.2.10:3000{n}", proto=proto, isn=n * 100_000)
        for n in (1, 2)
    ]  # fmt: skip
    for talk in talks:
        if proto == "tcp":
            talk.syn(0)
            talk.accept()
            continue
        talk.data(b"asks %d" % talk.isn, 0)
        talk.reply()
    for sent in talks[0].sent:
        sent.missed_at("eth0")
    silent = asks(out(server=f"192.0.2.100:{port}", proto=proto), 1, 2, after="cni0")
    analysis = judged(tmp_path, *talks, silent)

    assert [expected, expected] == reasons(analysis, protocol={"tcp": TCP, "udp": UDP}[proto])


def test_another_way_that_other_protocols_show(tmp_path: Path) -> None:
    """A server that answers TCP past the uplink gets UDP there as well."""
    other = Conversation(pod="10.244.0.12:30000", server="192.0.2.201:80", nat="192.0.2.11:30000")
    other.syn(0)
    other.accept()
    for sent in other.sent:
        sent.missed_at("eth0")
    silent = asks(out(server="192.0.2.201:514", proto="udp"), 1, 2, after="cni0")

    assert ["other-way"] * 2 == reasons(judged(tmp_path, other, silent), protocol=UDP)


@pytest.mark.parametrize(
    ("esp", "crossed", "route", "expected"),
    [
        (False, False, "", "undecoded"),
        (False, False, "10.244.5.0/24 dev wg0 scope link\n", "undecoded"),
        (False, False, "10.244.5.0/24 via 192.0.2.9 dev eth0\n", "lost"),
        (False, True, "", "lost"),
        (True, False, "10.244.5.0/24 via 192.0.2.9 dev eth0\n", "undecoded"),
        (True, True, "", "lost"),
    ],
    ids=[
        "nothing tells",
        "routed into it",
        "routed past it",
        "others left openly",
        "IPsec asks no route",
        "openly all the same",
    ],
)
def test_a_tunnel_whose_device_was_not_captured(
    esp: bool, crossed: bool, route: str, expected: str, tmp_path: Path
) -> None:
    """What never left openly may be in the packets of a tunnel that nobody can read."""
    tunnel: Conversation | Frames
    if esp:
        outer = (
            Ether(src=UPLINK, dst=GATEWAY) / IP(src="192.0.2.10", dst="198.51.100.9", proto=50) / bytes(60)
        )
        tunnel = Frames([("eth0", at, outer) for at in (-4, 3)])
    else:
        tunnel = Conversation(pod="192.0.2.10:51820", server="198.51.100.9:51820", proto="udp", way="eth0")
        for at in (-4, 3):
            tunnel.data(b"\x04\0\0\0" + bytes(60), at)
            tunnel.reply(80)
    talks = [asks(out(server="10.244.5.5:80"), 0, 1, after="cni0")]
    if crossed:
        talks.append(out(pod="10.244.0.12:30000", server="10.244.5.5:80", nat="192.0.2.10:30000"))
        talks[-1].syn(-2)
        talks[-1].accept()
    if route:
        (tmp_path / "ip-route.txt").write_text(f"default via 192.0.2.1 dev eth0\n{route}")

    assert [expected] * 2 == reasons(judged(tmp_path, tunnel, *talks))


@pytest.mark.parametrize("rules", [True, False])
def test_what_is_in_a_tunnel_left_by_the_tunnel(rules: bool, tmp_path: Path) -> None:
    """A real GRE tunnel: others to the address are on eth0 as well, encapsulated; the loss is before gre1, and so is its rule."""
    unpacked("gre", tmp_path)
    if not rules:
        (tmp_path / "nft-ruleset.txt").unlink()
    (incident,) = analyze(tmp_path).incidents

    assert ("cni0", "gre1") == incident.gap
    assert ("policy-drop" if rules else "unknown") == incident.cause


@pytest.mark.parametrize("crossed", [False, True], ids=["nothing of it crossed", "some did"])
def test_a_pod_all_of_whose_packets_leave_elsewhere(crossed: bool, tmp_path: Path) -> None:
    """Others of the service crossed; of this pod, which was answered, nothing did: a rule may send it elsewhere."""
    pod = "10.244.0.12"
    answered = out(pod=f"{pod}:30000", server="192.0.2.201:443", isn=500_000)
    for talk in (answered, other := out(server="192.0.2.201:80", isn=900_000)):
        talk.syn(0)
        talk.accept()
    for sent in answered.sent:
        sent.missed_at("eth0")
    more = [out(pod=f"{pod}:30002", server="192.0.2.100:22", nat="192.0.2.10:30002")] if crossed else []
    for talk in more:
        talk.syn(-1)
        talk.accept()
    silent = asks(out(pod=f"{pod}:30001", server="192.0.2.201:80"), 1, 2, after="cni0")
    analysis = judged(tmp_path, answered, other, silent, *more)

    assert ["lost" if crossed else "way-unknown"] * 2 == reasons(analysis, port=30001)
