"""Rules that may have dropped a packet, where the listing or the log leaves it open."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from analyzer import analyze
from tests.conftest import FIXTURES
from tests.incident.evidence import connection, findings, judged, vanishing
from tests.incident.node import told

HEAD = " pkts bytes target     prot opt in     out     source               destination\n"
LISTED = (
    "$ sudo iptables -vnL FORWARD\nChain FORWARD (policy DROP {} packets, 480 bytes)\n"
    + HEAD
    + "   52  7592 DOCKER-USER  0    --  *      *       0.0.0.0/0            0.0.0.0/0\n"
    "   40  6872 ACCEPT     0    --  *      *       0.0.0.0/0            0.0.0.0/0            ctstate RELATED,ESTABLISHED\n"
)


@pytest.mark.parametrize(
    ("more", "count", "expected"),
    [
        ("", 8, ("policy-drop", "likely")), ("", 0, ("policy-drop", "possible")),
        ("    1    60 ACCEPT     0    --  cni0   *       0.0.0.0/0            0.0.0.0/0\n", 8, ("unknown", "likely")),
    ],
)  # fmt: skip
def test_a_chain_that_was_not_listed(
    tmp_path: Path, more: str, count: int, expected: tuple[str, str]
) -> None:
    """One chain was asked for: what it ends in is named, with what it counted and the chain that may have decided before."""
    told(tmp_path, rules=LISTED.format(count) + more)
    (finding,) = findings(judged(tmp_path, vanishing(connection(server="192.0.2.100:8080"), 0, 1, 3)))

    assert expected == (finding.cause, finding.confidence)
    named = any("unless DOCKER-USER lets it pass" in one.says for one in finding.evidence)
    assert named == (expected[0] == "policy-drop")
    assert ("it counted 8 packets" in str(finding.facts.get("rule"))) == (expected[1] == "likely" and named)


def test_a_whole_listing_decides(tmp_path: Path) -> None:
    """With the chain listed too nothing is open: proven."""
    others = "    4   240 ACCEPT     6    --  *      eth0    0.0.0.0/0            0.0.0.0/0            tcp dpt:!8080\n"
    told(tmp_path, rules=f"{LISTED.format(8)}{others}\nChain DOCKER-USER (1 references)\n{HEAD}")
    (finding,) = findings(judged(tmp_path, vanishing(connection(server="192.0.2.100:8080"), 0, 1, 3)))

    assert ("policy-drop", "proven") == (finding.cause, finding.confidence)
    assert "ip filter FORWARD: policy drop (it counted 8 packets)" == finding.facts["rule"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"10\.96\.0\.99", "(it counted 10 packets); the chains that lead to it are not all listed"),
        ("KUBE-SERVICES", "unless the rest of"),
        (r"10\.96\.0\.80", None),
    ],
)
def test_a_grepped_save(tmp_path: Path, pattern: str, expected: str | None) -> None:
    """The rule that refused is named though the chains that lead to it were not listed; another service's rule is not."""
    ignored = shutil.ignore_patterns("case.toml", "iptables-save.txt")
    shutil.copytree(FIXTURES / "policy-reject", tmp_path / "b", ignore=ignored)
    saved = (FIXTURES / "policy-reject" / "iptables-save.txt").read_text().splitlines(keepends=True)
    (tmp_path / "b" / "grepped.txt").write_text("".join(line for line in saved if re.search(pattern, line)))
    refused = next(one for one in analyze(tmp_path / "b").incidents if one.kind == "refused")

    assert ("policy-reject", "likely") == (refused.cause, refused.confidence)
    named = [one.says for one in refused.evidence if one.says.startswith("the packet matches ip ")]
    assert (expected is not None) == bool(named)
    assert all(
        "KUBE-SERVICES: -A KUBE-SERVICES -d 10.96.0.99/32" in says and str(expected) in says for says in named
    )


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("[2:120] -A CUSTOM -d 192.0.2.100/32 -p tcp -m tcp --dport 8080 -j DROP", ("policy-drop", "likely")),
        ("-A CUSTOM -d 192.0.2.100/32 -p tcp -m tcp --dport 8080 -j DROP", ("policy-drop", "possible")),
        ("[2:120] -A CUSTOM -d 192.0.2.101/32 -p tcp -m tcp --dport 8080 -j DROP", ("unknown", "likely")),
        ("[2:120] -A CUSTOM -p tcp -m tcp --dport 8080 -j DROP", ("unknown", "likely")),
    ],
)  # fmt: skip
def test_a_rule_alone(tmp_path: Path, rule: str, expected: tuple[str, str]) -> None:
    """A rule for the packet's own address may have dropped it; one that names no address may belong to anything."""
    told(tmp_path, rules=f"{rule}\n")
    (finding,) = findings(judged(tmp_path, vanishing(connection(server="192.0.2.100:8080"), 0, 1, 3)))

    assert expected == (finding.cause, finding.confidence)


LIMITED = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n[{}] -A FORWARD {} -j DROP\nCOMMIT\n"
BEYOND = "-p tcp -m tcp --dport 8080 -m connlimit --connlimit-above 20 --connlimit-mask 24 --connlimit-saddr"


@pytest.mark.parametrize(
    ("count", "rule", "expected"),
    [
        ("3:180", BEYOND, ("policy-drop", "likely")),
        ("44:2640", BEYOND, ("policy-drop", "possible")),
        ("2:120", BEYOND, ("unknown", "likely")),
        ("3:180", BEYOND.replace("8080", "9090"), ("unknown", "likely")),
    ],
    ids=["as many", "more", "fewer", "of another port"],
)
def test_a_limit_counts(tmp_path: Path, count: str, rule: str, expected: tuple[str, str]) -> None:
    """Whether a limit was exceeded no packet shows: what the rule counted speaks for it, or against it."""
    told(tmp_path, rules=LIMITED.format(count, rule))
    (finding,) = findings(judged(tmp_path, vanishing(connection(server="192.0.2.100:8080"), 0, 1, 3)))

    assert expected == (finding.cause, finding.confidence)


def test_ufw_allows_it_again(tmp_path: Path) -> None:
    """A line with ufw's prefix names the packet: its own command lets it pass, and not a network policy."""
    line = (
        "Nov 14 22:13:20 host kernel: [UFW BLOCK] IN=cni0 OUT=eth0 PHYSIN=veth-a SRC=10.244.0.11 DST=192.0.2.100 LEN=60 "
        "TOS=0x00 PREC=0x00 TTL=63 ID=1 DF PROTO=TCP SPT=20000 DPT=8080 WINDOW=64240 RES=0x00 SYN URGP=0\n"
    )
    told(tmp_path, journal=line)
    (finding,) = findings(judged(tmp_path, vanishing(connection(server="192.0.2.100:8080"), 0, 1, 3)))

    assert (
        "ufw route allow proto tcp from 10.244.0.11 to 192.0.2.100 port 8080" == finding.remedies[0].command
    )


MARKED = """*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-MARK-DROP - [0:0]
:KUBE-XLB-A - [0:0]
-A PREROUTING -p tcp -m tcp --dport {} -j KUBE-XLB-A
-A KUBE-XLB-A -m comment --comment "shop/web has no local endpoints" -j KUBE-MARK-DROP
-A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD {}
COMMIT
"""


def test_who_had_it_marked(tmp_path: Path) -> None:
    """A rule drops whatever is marked: the one to look at is the rule that had this packet marked."""
    told(tmp_path, rules=MARKED.format(8080, "-m mark --mark 0x8000/0x8000 -j DROP"))
    (finding,) = findings(judged(tmp_path, vanishing(connection(server="192.0.2.100:8080"), 0, 1, 3)))

    assert ("policy-drop", "proven") == (finding.cause, finding.confidence)
    assert "marked for it by ip nat KUBE-XLB-A" in finding.facts["rule"]
    assert "iptables -t nat -nvL KUBE-XLB-A" == finding.remedies[0].command


@pytest.mark.parametrize(
    ("port", "rule"),
    [(8080, "-p tcp -m tcp --dport 8080 -j DROP"), (9090, "-m mark ! --mark 0x8000/0x8000 -j DROP")],
)
def test_not_for_its_mark(tmp_path: Path, port: int, rule: str) -> None:
    """The rule drops it for its port, or because nothing marked it."""
    told(tmp_path, rules=MARKED.format(port, rule))
    (finding,) = findings(judged(tmp_path, vanishing(connection(server="192.0.2.100:8080"), 0, 1, 3)))

    assert "marked for it" not in (finding.facts.get("rule") or "")
