"""The walk against this machine's kernel: the rules that count a packet are the rules that the walk names."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from analyzer.evidence.rules.model import Ruleset
from analyzer.evidence.rules.packet import Packet, Steps
from analyzer.evidence.rules.walk import walk
from analyzer.evidence.sources import iptables_save, nft_json, nft_text
from analyzer.lab.namespaces import Namespace
from analyzer.lab.node import V4, Node, built

pytestmark = pytest.mark.kernel

PORTS = (53, 80, 443, 5000, 8080)
SOURCES = (1024, 2000, 3000, 40000)
LOCAL = (V4.gateway, V4.node)
# The first counter tells that a packet was seen, the second that it left.
PROBES = f"""
table ip probe {{
    chain seen {{ type filter hook prerouting priority -400; iifname "cni0" ip daddr {V4.server} counter; }}
    chain left {{ type filter hook postrouting priority 400; iifname "cni0" counter; }}
}}
"""


@pytest.fixture(scope="module")
def net() -> Iterator[Node]:
    """A node whose server answers nothing, so that only the packets sent here are counted."""
    with built() as node:
        node.node.run("nft", "flush ruleset")
        node.outside.run("nft", "add table ip quiet")
        node.outside.run(
            "nft", "add chain ip quiet input { type filter hook input priority 0; policy drop; }"
        )
        yield node


class Nft:
    """Writes random rules for nft."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def text(self) -> str:
        """Write tables whose chains jump into each other."""
        lines = [
            "table ip some {",
            f"  set known {{ type inet_service; elements = {{ {self._some(PORTS)} }} }}",
        ]
        for chain in ("c", "b", "a"):
            lines += [f"  chain {chain} {{", *self._rules(3, {"a": "bc", "b": "c", "c": ""}[chain]), "  }"]
        bases = (
            ("on_raw", "filter", "prerouting", -300), ("on_early", "filter", "prerouting", -150),
            ("on_dst", "nat", "prerouting", -100), ("on_mid", "filter", "forward", -5), ("on_late", "filter", "forward", 5),
            ("on_out", "filter", "postrouting", 0), ("on_src", "nat", "postrouting", 100),
        )  # fmt: skip
        for name, kind, hook, priority in bases:
            policy = "drop" if kind == "filter" and self._dice.random() < 0.1 else "accept"
            lines += [f"  chain {name} {{", f"type {kind} hook {hook} priority {priority}; policy {policy};"]
            lines += [*self._rules(4, "abc" if kind == "filter" else "", name), "  }"]
        return "\n".join([*lines, "}"])

    def _some(self, values: tuple[object, ...]) -> str:
        return ", ".join(map(str, sorted(self._dice.sample(values, self._dice.randint(1, 3)), key=str)))

    def _rules(self, count: int, targets: str, base: str = "") -> list[str]:
        rules = []
        for _ in range(count):
            matches = [self._match(base) for _ in range(self._dice.randint(0, 2))]
            verdict = self._verdict(targets, base)
            if all(any(port in match for match in matches) for port in ("sport !=", "dport !=")):
                # nft 1.0.6 compares both ports at once then, which is something else than its listing says.
                matches.pop()
            if "dnat" in verdict:  # nft wants to know the protocol before it takes a port
                matches.append("udp dport 1-65535")
            if "udp " in " ".join([*matches, verdict]):  # and does not take two
                matches = [match for match in matches if "tcp" not in match and "l4proto" not in match]
            rules.append(" ".join([*matches, "counter", verdict]))
        return rules

    def _match(self, base: str) -> str:
        dice = self._dice
        no = dice.choice(("", "!= "))
        choices = [
            f"ip saddr {no}{dice.choice((V4.a, V4.b, '10.244.0.0/24', '10.244.0.12-10.244.0.20'))}",
            f"ip daddr {no}{dice.choice((V4.server, V4.node, '192.0.2.0/25', '{ 192.0.2.100, 10.0.0.0/8 }'))}",
            f"udp dport {no}{dice.choice((str(dice.choice(PORTS)), '50-90', f'{{ {self._some(PORTS)} }}', '@known'))}",
            f"udp sport {dice.choice(('>', '<=', '>=', '<', '!='))} {dice.choice(SOURCES)}",
            f"iifname {no}" + dice.choice(('"cni0"', '"veth*"', '"c*"', '{ "eth0", "cni0" }')),
            f"ct state {dice.choice(('new', 'invalid', 'established,related', '{ new, untracked }', '!= new'))}",
            f"ct status {dice.choice(('dnat', 'snat'))}",
            f"meta mark {dice.choice(('0x1', '!= 0x1', '& 0x3 == 0x2', '& 0x4 != 0x4'))}",
            f"meta l4proto {no}{dice.choice(('udp', 'tcp', '{ tcp, udp }'))}",
            f"fib daddr type {no}{dice.choice(('local', 'unicast'))}",
            "ip saddr . udp dport { 10.244.0.11 . 80, 10.244.0.12 . 50-500 }",
            "tcp dport 80",
        ]
        if base in ("on_mid", "late", "out", "src"):
            choices.append(f"oifname {no}" + dice.choice(('"eth0"', '"docker0"')))
        return dice.choice(choices)

    def _verdict(self, targets: str, base: str) -> str:
        dice = self._dice
        if base == "on_dst":
            return dice.choice(
                (f"dnat to {V4.server}", f"dnat to {V4.server}:{dice.choice(PORTS)}", "accept", "")
            )
        if base == "on_src":
            return dice.choice(
                ("masquerade", "masquerade fully-random", f"snat to {V4.node}", "accept", "return")
            )
        choices = [
            "accept",
            "drop",
            "return",
            "",
            "meta mark set 0x1",
            "meta mark set meta mark | 0x2",
            "meta mark set meta mark ^ 0x5",
        ]
        choices += [f"{how} {target}" for target in targets for how in ("jump", "goto")]
        if targets:
            choices.append(f"udp dport vmap {{ 53 : drop, 80-500 : jump {targets[0]}, 5000 : accept }}")
        if base == "on_raw":
            choices.append("notrack")
        return dice.choice(choices)


class Iptables:
    """Writes random rules for iptables-restore."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice

    def text(self) -> str:
        """Write the tables that know of forwarding."""
        bases = {
            "raw": ("PREROUTING",), "mangle": ("PREROUTING", "FORWARD", "POSTROUTING"),
            "nat": ("PREROUTING", "POSTROUTING"), "filter": ("FORWARD",),
        }  # fmt: skip
        lines = []
        for table, chains in bases.items():
            lines.append(f"*{table}")
            for chain in chains:
                policy = "DROP" if table == "filter" and self._dice.random() < 0.2 else "ACCEPT"
                lines.append(f":{chain} {policy} [0:0]")
            own = {} if table == "nat" else {"A": ("B", "C"), "B": ("C",), "C": ()}
            lines += [f":{chain} - [0:0]" for chain in own]
            for chain, targets in [*((chain, tuple(own)) for chain in chains), *own.items()]:
                lines += [f"-A {chain} {self._rule(table, chain, targets)}" for _ in range(4)]
            lines.append("COMMIT")
        return "\n".join(lines) + "\n"

    def _rule(self, table: str, chain: str, targets: tuple[str, ...]) -> str:
        dice = self._dice
        no = dice.choice(("", "! "))
        states = ("NEW", "INVALID", "RELATED,ESTABLISHED", "DNAT,INVALID", "UNTRACKED")
        choices = {
            f"{no}-s {dice.choice((V4.a, V4.b, '10.244.0.0/24'))}": "-s",
            f"{no}-d {dice.choice((V4.server, '192.0.2.0/25', '10.0.0.0/8'))}": "-d",
            f"-p udp -m udp {no}--dport {dice.choice(('80', '53:443', '5000:', ':100'))}": "-p",
            f"-p udp -m multiport {no}--dports 53,80,400:9000": "-p",
            f"-m conntrack {no}--ctstate {dice.choice(states)}": "ct",
            f"-m mark {no}--mark {dice.choice(('0x1', '0x2/0x3', '0x4/0x4'))}": "mark",
            f"-m addrtype {no}--dst-type LOCAL": "addrtype",
            f"-m iprange {no}--src-range 10.244.0.11-10.244.0.20": "iprange",
            "-p tcp": "-p",
        }
        if chain in ("PREROUTING", "FORWARD"):
            choices[f"{no}-i {dice.choice(('cni0', 'veth+', 'c+'))}"] = "-i"
        if chain in ("FORWARD", "POSTROUTING"):
            choices[f"{no}-o {dice.choice(('eth0', 'docker0'))}"] = "-o"
        taken = dict.fromkeys(choices[one] for one in dice.sample(list(choices), dice.randint(0, 2)))
        matches = [dice.choice([text for text, key in choices.items() if key == kind]) for kind in taken]
        return " ".join([*matches, self._target(table, chain, targets)])

    def _target(self, table: str, chain: str, targets: tuple[str, ...]) -> str:
        dice = self._dice
        if table == "nat":
            if chain == "PREROUTING":
                return dice.choice((f"-j DNAT --to-destination {V4.server}", "-j ACCEPT", ""))
            return dice.choice(
                (
                    "-j MASQUERADE",
                    "-j MASQUERADE --random-fully",
                    f"-j SNAT --to-source {V4.node}",
                    "-j RETURN",
                )
            )
        choices = ["-j ACCEPT", "-j DROP", "-j RETURN", ""]
        choices += [f"{how} {target}" for target in targets for how in ("-j", "-g")]
        if table == "mangle":
            choices += [
                "-j MARK --set-xmark 0x1/0xffffffff",
                "-j MARK --set-xmark 0x2/0x2",
                "-j MARK --set-xmark 0x5/0x0",
            ]
        if table == "raw" and chain == "PREROUTING":
            choices.append("-j CT --notrack")
        return dice.choice(choices)


def agrees(net: Node, listing: Callable[[], Ruleset], dice: random.Random, packets: int) -> int:
    """Send packets from pod a and compare what counted each with the walk; give how many were accepted."""
    accepted = 0
    net.node.run("conntrack", "-F")  # a flow that has an entry is not asked about in the nat chains again
    before, probes = listing(), counts(net.node)
    for sport in dice.sample(range(1024, 65000), packets):
        dport = dice.choice(PORTS)
        with net.a.entered():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with closing(sender):
            sender.bind((V4.a, sport))
            sender.sendto(b"x", (V4.server, dport))
        for _ in range(200):
            if counts(net.node)[0] > probes[0]:
                break
            time.sleep(0.005)
        packet = Packet(
            proto="udp", src=V4.a, dst=V4.server, sport=sport, dport=dport, iif="cni0", oif="eth0"
        )
        told = walk(before, packet, local=LOCAL)
        sure = [step.rule for step in told.steps if step.certain and step.rule]
        named = {(rule.chain, rule.number) for rule in sure if rule.packets is not None}
        for _ in range(10):
            after, now = listing(), counts(net.node)
            counted = {(rule.chain, rule.number) for rule, _ in after.since(before)}
            if counted == named:
                break
            time.sleep(0.02)  # it may still be on its way, on the other CPU
        assert counted == named, explained(packet, told, before, counted)
        assert ("accept" if now[1] > probes[1] else "drop") == told.verdict, explained(
            packet, told, before, counted
        )
        accepted += told.verdict == "accept"
        before, probes = after, now
    return accepted


def explained(packet: Packet, told: Steps, rules: Ruleset, counted: object) -> str:
    """Write down a disagreement, so that it can be understood without running it again."""
    chains = "\n".join(
        f"{chain.label} {chain.hook} {chain.priority} {chain.policy}: "
        + "; ".join(f"{rule.number} {rule.text}" for rule in chain.rules)
        for chain in rules.chains
    )
    steps = "\n".join(f"{step.hook} {step.text}" for step in told.steps)
    return f"{packet}\n{chains}\nwalk: {told.verdict}\n{steps}\ncounted: {counted}"


def counts(node: Namespace) -> tuple[int, int]:
    """Give how many packets were seen, and how many left."""
    (seen,), (left,) = (node.counted("ip", "probe", chain) for chain in ("seen", "left"))
    return seen, left


@pytest.mark.parametrize("seed", range(12))
def test_nft(net: Node, seed: int) -> None:
    """Random nftables rules, read as text and as JSON in turns."""
    dice = random.Random(seed)
    net.node.run("nft", "-f", "-", stdin=f"flush ruleset\n{PROBES}\n{Nft(dice).text()}")

    def listing() -> Ruleset:
        source, option = (nft_json, "-j") if seed % 2 else (nft_text, "-y")
        (ruleset,) = source.parse(net.node.run("nft", option, "list", "table", "ip", "some"), "nft")
        assert isinstance(ruleset, Ruleset)
        return ruleset

    agrees(net, listing, dice, 15)


@pytest.mark.parametrize("backend", ["nft", "legacy"])
@pytest.mark.parametrize("seed", range(6))
def test_iptables(net: Node, seed: int, backend: str) -> None:
    """Random rules of both kinds of iptables."""
    dice = random.Random(seed)
    net.node.run("nft", "-f", "-", stdin=f"flush ruleset\n{PROBES}")
    try:
        net.node.run(f"iptables-{backend}-restore", stdin=Iptables(dice).text())

        def listing() -> Ruleset:
            (ruleset,) = iptables_save.parse(net.node.run(f"iptables-{backend}-save", "-c"), "iptables")
            assert isinstance(ruleset, Ruleset)
            return ruleset

        agrees(net, listing, dice, 15)
    finally:
        # A policy stays where its chain is not named.
        empty = "*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n*raw\nCOMMIT\n*mangle\nCOMMIT\n*nat\nCOMMIT\n"
        net.node.run(f"iptables-{backend}-restore", stdin=empty)
