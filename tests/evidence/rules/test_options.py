"""Rules as iptables writes them."""

from __future__ import annotations

import pytest

from analyzer.evidence.rules.model import Action, Bits, Span
from analyzer.evidence.rules.options import parse_options, parse_rule, words


def test_words() -> None:
    """Comments keep what looks like options; quotes and backslashes go."""
    said = words(r'-m comment --comment "it\'s \"quoted\" -j DROP" -j ACCEPT')
    assert ["-m", "comment", "--comment", 'it\'s "quoted" -j DROP', "-j", "ACCEPT"] == said
    matches, actions = parse_options(said, ())
    assert ([], [Action(kind="accept")]) == (matches, actions)
    assert ["a", "b"] == words('a "b')


@pytest.mark.parametrize(
    ("rule", "fields", "among", "negated"),
    [
        ("! -o docker0", ("oif",), (("docker0",),), True),
        ("-i veth+", ("iif",), (("veth*",),), False),
        ("-s ! 10.0.0.1", ("src",), ((Span(0xFFFF0A000001, 0xFFFF0A000001),),), True),
        ("-p tcp", ("proto",), (("tcp",),), False),
        ("-m tcp --dport 8000:", ("dport",), ((Span(8000, 65535),),), False),
        ("-m multiport ! --sports 1,5:7", ("sport",), ((Span(1, 1),), (Span(5, 7),)), True),
        ("-m conntrack --ctstate RELATED,DNAT", ("state",), (("related",), ("dnat",)), False),
        ("-m state --state NEW", ("state",), (("new",),), False),
        ("-m mark ! --mark 0x4000/0x4000", ("mark",), ((Bits(0x4000, 0x4000),),), True),
        ("-m tcp --tcp-flags FIN,SYN,RST,ACK SYN", ("tcpflags",), ((Bits(2, 23),),), False),
        ("-m tcp ! --syn", ("tcpflags",), ((Bits(2, 23),),), True),
        ("-m icmp --icmp-type 8", ("icmp",), (("echo-request",),), False),
        ("-m physdev --physdev-in veth-a", ("physin",), (("veth-a",),), False),
        ("-m addrtype --dst-type LOCAL", ("dsttype",), (("local",),), False),
    ],
)  # fmt: skip
def test_matches(rule: str, fields: object, among: object, negated: bool) -> None:
    """Each option sets one condition."""
    (match,), actions = parse_options(words(f"{rule} -j DROP"), ())
    assert (fields, among, negated) == (match.fields, match.among, match.negated)
    assert [Action(kind="drop")] == actions


@pytest.mark.parametrize(
    "rule",
    [
        "-m limit --limit 5/min", "-m statistic --mode random --probability 0.5", "-m set --match-set blocked src",
        "-m connmark --mark 0x1", "-m socket", "-m rpfilter --invert", "-m tcp --tcp-option 5", "-f",
        "-m addrtype --dst-type LOCAL --limit-iface-in", "-m icmp --icmp-type any", "-m multiport --ports 80",
        "-m conntrack --ctorigdst 10.0.0.1", "-s 10.0.0.500", "-m owner --uid-owner 0",
    ],
)  # fmt: skip
def test_not_understood(rule: str) -> None:
    """What is not understood remains as a condition that nobody can tell, with its text."""
    matches, _ = parse_options(words(f"{rule} -j DROP"), ())
    (unknown,) = [match for match in matches if not match.fields]
    assert rule.split()[-1] in unknown.text


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("-j ACCEPT", Action(kind="accept")),
        ("-j RETURN", Action(kind="return")),
        ("-g KUBE", Action(kind="goto", target="KUBE")),
        ("-j KUBE", Action(kind="jump", target="KUBE")),
        ("-j REJECT --reject-with tcp-reset", Action(kind="reject", target="tcp-reset")),
        ("-j MASQUERADE", Action(kind="masquerade")),
        ("-j MASQUERADE --random", Action(kind="masquerade", flags=frozenset({"random"}))),
        ("-j MASQUERADE --to-ports 1024-2000 --random-fully",
         Action(kind="masquerade", target=":1024-2000", flags=frozenset({"fully-random"}))),
        ("-j SNAT --to-source 192.0.2.1 --persistent",
         Action(kind="snat", target="192.0.2.1", flags=frozenset({"persistent"}))),
        ("-j DNAT --to-destination 172.17.0.2:5000", Action(kind="dnat", target="172.17.0.2:5000")),
        ("-j REDIRECT --to-ports 5002", Action(kind="redirect", target=":5002")),
        ("-j MARK --set-xmark 0x4000/0x4000", Action(kind="mark", mark=Bits(0x4000, 0x4000))),
        ("-j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff", Action(kind="mark")),
        ("-j CONNMARK --save-mark", Action(kind="other", target="CONNMARK --save-mark")),
        ("-j CT --notrack", Action(kind="notrack")),
        ("-j NOTRACK", Action(kind="notrack")),
        ('-j LOG --log-prefix "drop: "', Action(kind="log", target="drop: ")),
        ("-j NFQUEUE --queue-num 3", Action(kind="queue", target="3")),
        ("-j TCPMSS --clamp-mss-to-pmtu", Action(kind="other", target="TCPMSS --clamp-mss-to-pmtu")),
        ("-j SYNPROXY --mss 1460", Action(kind="unknown", target="SYNPROXY --mss 1460")),
    ],
)  # fmt: skip
def test_actions(rule: str, expected: Action) -> None:
    """Targets become actions; one that may decide in a way of its own is unknown."""
    assert ([], [expected]) == parse_options(words(rule), {"KUBE"})


@pytest.mark.parametrize(
    "rule",
    [
        '-d 10.96.0.1/32 -p tcp -m comment --comment "a/b:http cluster IP" -m tcp --dport 443 -j KUBE',
        '-m comment --comment "-j DROP" -m statistic --mode random --probability 0.5 -j KUBE',
        '-m comment --comment "it \\" -j DROP" -j ACCEPT',
        '-m comment --comment "a" -j LOG --log-prefix "-m comment --comment x: "',
        '-p tcp -j LOG --log-prefix "x -m comment --comment "y" "',
        "-p udp -m comment --comment plain -m udp --dport 53 -j DNAT --to-destination 10.0.0.1:53",
        '-s 10.0.0.1/32 -m comment --comment "a" -g KUBE',
        "-p tcp --jump ACCEPT",
        '-m comment --comment "a" -p tcp -j',
        '-p tcp -m comment --comment "counts"',
        "! -s 10.244.0.0/16 -j MASQUERADE --random-fully",
    ],
)
def test_the_short_way_is_the_long_way(rule: str) -> None:
    """A rule that is split at its target has the conditions and the action that its words have, one by one."""
    assert parse_options(words(rule), {"KUBE"}) == parse_rule(rule, {"KUBE"})


def test_a_word_of_nothing() -> None:
    """A listing whose columns shifted, or an empty pair of quotes, gives a word without letters: no option, no error."""
    matches, actions = parse_options(["", "-p", "tcp", "", "!", "", "-j", "DROP", ""], ())

    assert (1, 1) == (len(matches), len(actions))
