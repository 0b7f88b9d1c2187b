"""What is around an output comes off, and the output stays as it is."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from analyzer.evidence import SideEvidence
from analyzer.evidence.unwrapping import (
    digest,
    resembles,
    undecided,
    unwrap,
    without_commands,
    wrappers,
)
from tests.evidence.test_collecting import collected

if TYPE_CHECKING:
    from collections.abc import Callable

ROUTES = "default via 192.0.2.1 dev eth0 \n10.244.0.0/24 dev cni0 proto kernel scope link src 10.244.0.1 \n"
SYSCTL = "net.ipv4.ip_forward = 0\nnet.ipv4.conf.all.rp_filter = 1\n"
TEXT = SYSCTL + ROUTES


def lines(prefix: str) -> str:
    """Put something before each line."""
    return "".join(f"{prefix}{line}\n" for line in TEXT.splitlines())


WRAPPED = {
    "as it is": TEXT,
    "a terminal's prompts": f"root@node7:~# sysctl -a | grep forward\n{SYSCTL}root@node7:~# sudo ip route\n{ROUTES}root@node7:~# ",
    "a kubectl exec banner": f'Defaulted container "a" out of: a, b\n{TEXT}command terminated with exit code 1\n',
    "a kubectl debug banner": "Creating debugging pod node-debugger-x with container debugger on node n.\n"
    f"If you don't see a command prompt, try pressing enter.\n{TEXT}",
    "an editor's line numbers": "".join(f"{n:>4} {line}\n" for n, line in enumerate(TEXT.splitlines(), 7)),
    "cat -n": "".join(f"{n:>6}\t{line}\n" for n, line in enumerate(TEXT.splitlines(), 1)),
    "grep -n": "".join(f"{3 * n + 1}:{line}\n" for n, line in enumerate(TEXT.splitlines())),
    "pdsh's name of the host": lines("node-a.example: "),
    "colours": TEXT.replace("eth0", "\x1b[36meth0\x1b[0m").replace("forward", "\x1b[01;31m\x1b[Kforward\x1b[m\x1b[K"),
    "line ends of Windows": TEXT.replace("\n", "\r\n"),
    "Markdown's fence": f"Here it is:\n\n```console\n{TEXT}```\nThanks!\n",
    "Markdown's quote": lines("> "),
    "Markdown's indentation": lines("    "),
    "kubectl logs --prefix": lines("[pod/diag-x7v2p/diag] "),
    "a container's log file": lines("2026-03-10T09:00:00.123456789Z stdout F "),
    "docker compose logs": lines("diag-1  | "),
    "the journal": lines("Mar 10 09:00:00 node7 node-diag[4711]: "),
    "HTML": f"<html><body><h1>Node</h1><pre class='x'>{html.escape(TEXT).replace('eth0', '<b>eth0</b>')}</pre></body></html>",
    "docker's JSON log": "".join(json.dumps({"log": line, "stream": "stdout"}) + "\n" for line in TEXT.splitlines(True)),
    "the journal in JSON": "".join(json.dumps({"MESSAGE": line}) + "\n" for line in TEXT.splitlines()),
    "ansible's JSON": json.dumps({"plays": [{"tasks": [{"hosts": {"node7": {"rc": 0, "stdout": TEXT, "stdout_lines": [1]}}}]}]}),
    "ansible's lines": json.dumps({"stdout_lines": TEXT.splitlines()}),
    "ansible ad hoc": f"node7 | CHANGED | rc=0 >>\n{TEXT}",
    "ansible ad hoc in JSON": f"node7 | SUCCESS => {json.dumps({'changed': True, 'stdout': TEXT}, indent=4)}\n",
    "AWS SSM": json.dumps({"CommandId": "x", "Status": "Success", "StandardOutputContent": TEXT, "StandardErrorContent": ""}, indent=4),
    "Azure run-command": json.dumps({"value": [{"code": "x", "message": f"Enable succeeded: \n[stdout]\n{TEXT}\n[stderr]\n"}]}),
    "AKS command invoke": json.dumps({"exitCode": 0, "id": "x", "logs": TEXT, "provisioningState": "Succeeded"}),
    "a quote around a fence": "".join(f"> {line}\n" for line in f"```\n{TEXT}```".splitlines()),
}  # fmt: skip


def told(text: str | bytes) -> SideEvidence:
    """Collect from one file."""
    return collected(a=text)


@pytest.mark.parametrize("text", WRAPPED.values(), ids=WRAPPED.keys())
def test_wrappers(text: str) -> None:
    """Whatever is around it, the same is told."""
    evidence = told(text)
    assert {"net.ipv4.ip_forward": "0", "net.ipv4.conf.all.rp_filter": "1"} == evidence.sysctls
    assert [("0.0.0.0/0", "192.0.2.1", "eth0"), ("10.244.0.0/24", None, "cni0")] == [
        (route.dst, route.gateway, route.dev) for route in evidence.routes
    ]
    assert () == evidence.caveats


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_encodings(encoding: str) -> None:
    """PowerShell's `>` writes UTF-16, Notepad a mark in front."""
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    assert "0" == told((mark + TEXT).encode(encoding)).sysctls["net.ipv4.ip_forward"]


def test_release_below_a_prompt() -> None:
    """A release that is all of the output is one, with the command above it."""
    assert "6.1.0-18-amd64" == told("[root@node7 ~]# uname -r\n6.1.0-18-amd64\n").kernel


def test_kernel_lines_in_the_journal() -> None:
    """The journal's JSON keeps the time of the kernel's lines."""
    entry = {
        "_TRANSPORT": "kernel",
        "__REALTIME_TIMESTAMP": "1773133200500112",
        "MESSAGE": "neighbour: arp_cache: neighbor table overflow!",
    }
    (line,) = told(json.dumps(entry) + "\n").log
    assert ("neighbour-overflow", 1773133200500112000, True) == (line.about, line.time, line.zoned)


def test_output_that_is_json() -> None:
    """JSON of a tool is no envelope, whatever words it has."""
    links = '[{"ifindex":2,"ifname":"eth0","message":"x","linkinfo":{"info_kind":"veth"}}]'
    assert () == wrappers(links)
    assert links == unwrap(links, ("JSON",))
    assert [2] == list(told(links).interfaces)


def test_damaged_envelope() -> None:
    """An envelope that is cut gives what was whole before."""
    text = f"{json.dumps({'stdout': TEXT})}\n{json.dumps({'stdout': TEXT})[:-5]}"
    assert "0" == told(text).sysctls["net.ipv4.ip_forward"]
    assert '{"stdout": "x' == unwrap('{"stdout": "x', ("JSON",))


def test_lines_with_prompts_are_left_out() -> None:
    """What was asked for is no output."""
    text = "[root@n ~]# nft list ruleset\ntable x\n$ uname -r\nubuntu@nuc:~$ sudo iptables -S\n# \n"
    assert "table x\n" == without_commands(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "nothing in it"), ("bash: conntrack: command not found\n", "an error of the tool: 'bash: conntrack: command not found'"),
        ("<html><p>x</p></html>", "HTML or XML without <pre>"), ('{"a": 1, "b": {"c": 2}}', "JSON with a, b, c"), ("[1]", "JSON"),
        ("#!/bin/sh\nls\n", "a script"), ("apiVersion: v1\nkind: Pod\n", "YAML"),
        ("Mar 10 09:00:00 node7 kubelet[1]: x\n", "a log that is not the kernel's"),
        ("a,b,c\n1,2,3\n4,5,6\n", "CSV"), ("Dear diary\n", "text that begins 'Dear diary'"),
    ],
)  # fmt: skip
def test_what_it_resembles(text: str, expected: str) -> None:
    """A file that nobody knows is described."""
    assert expected == resembles(text)


def test_what_was_read() -> None:
    """Each source that found its format in a file is noted, with how much it told."""
    evidence = collected(a=f"```\n{TEXT}```\n", b="Dear diary\n")
    assert [("a", "ip_route", 2, ("fences",)), ("a", "sysctl", 2, ("fences",)), ("b", "", 0, ())] == [
        (one.file, one.source, one.facts, one.wrapped) for one in evidence.read
    ]
    assert ("not used, in no known format: b (text that begins 'Dear diary')",) == evidence.caveats


def test_digest() -> None:
    """Of a long listing the beginning is kept, and whatever comes behind it."""
    table = "tcp      6 1 ESTABLISHED src=10.0.0.1\n" * 10_000
    short = digest(f"{table}# a\n*nat\n:INPUT ACCEPT\n{table}last\n")
    assert "*nat\n:INPUT ACCEPT\n" in short
    assert short.endswith("last\n")
    assert short.count("tcp") < 50
    assert len(digest("".join(f"{number:06}{'x' * 90}\n" for number in range(10_000)))) < 300_000


SAMPLES = [
    text if text.endswith("\n") else text + "\n"
    for path in sorted(Path(__file__).with_name("samples").iterdir())
    if path.name != "README.md" and (text := path.read_bytes().decode("utf-8", "ignore"))
]
AROUND = {
    "a terminal's prompts": lambda text: f"root@node7:~# sudo something -x\n{text}root@node7:~# ",
    "line ends of Windows": lambda text: text.replace("\n", "\r\n"),
    "a question around a fence": lambda text: f"Here it is:\n\n```console\n{text}```\nThanks!\n",
    "Markdown's quote": lambda text: "".join(f"> {line}\n" for line in text.splitlines()),
    "the journal": lambda text: "".join(
        f"Mar 10 09:00:00 node7 node-diag[4711]: {line}\n" for line in text.splitlines()
    ),
    "ansible ad hoc in JSON": lambda text: f"node7 | SUCCESS => {json.dumps({'stdout': text}, indent=4)}\n",
    "UTF-16": lambda text: text.encode("utf-16"),
}


@pytest.fixture(scope="module")
def bare() -> list[SideEvidence]:
    """What each sample tells as it is."""
    return [told(text) for text in SAMPLES]


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND.keys())
def test_every_sample_in_wrappers(bare: list[SideEvidence], around: Callable[[str], str | bytes]) -> None:
    """Whatever the tool, what is around its output changes nothing."""

    def read(evidence: SideEvidence) -> list[tuple[str, int]]:
        return [(one.source, one.facts) for one in evidence.read]

    assert [read(one) for one in bare] == [read(told(around(text))) for text in SAMPLES]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Total: 1374\nTCP:   253 (estab 301, closed 2)\n", "`ss -s`"), ("CONTAINER ID   IMAGE   COMMAND   CREATED\n", "`docker ps`"),
        ("br_netfilter           28672  0\n", "a part of `lsmod`"), ("@[\n    kfree_skb_reason+1\n]: 17\n", "counts of a bpftrace program"),
        ("192.0.2.1 from 10.244.1.7 via 192.0.2.1 dev eth0 \n    cache iif cni0 \n", "the answer of `ip route get`"),
        ("TCP IN 10.0.1.17:432 -> 10.0.2.31:80 expires=12\n", "Cilium's connection tracking"), ("Dear diary\n", ""),
        ("[ {  } ]\n", "an empty list"), ("[1]\n", ""),
    ],
)  # fmt: skip
def test_known_and_of_no_use(text: str, expected: str) -> None:
    """An output in which nothing can be used says what would tell more, and is not called unknown."""
    assert undecided(text).startswith(expected)
    (caveat,) = told(text).caveats
    assert caveat.startswith(
        "not used, since it decides nothing" if expected else "not used, in no known format"
    )


def test_rows_that_begin_with_numbers() -> None:
    """Numbers that belong to the output stay: interfaces, rules, chains, what is cut out of the middle."""
    for text in ("1: lo: <LOOPBACK>\n2: eth0: <UP>\n3: cni0: <UP>\n", "0:\tfrom all lookup local\n32766:\tfrom all lookup main\n",
                 "3 DROP x\n1 DROP y\n2 DROP z\n4 ACCEPT q\n"):  # fmt: skip
        assert "line numbers" not in wrappers(text)
    assert () == wrappers("Ip: Forwarding\nIp: 1\nTcp: x\n")
