"""Listings are told from what lies beside them."""

from __future__ import annotations

import pytest

from analyzer.capture.listing.recognising import encoding, form
from tests.conftest import CASES

DUMP = "11:48:39.575820 IP 10.0.0.1.5 > 10.0.0.2.6: Flags [S], seq 5, win 64240, length 0\n"
LIST = "    4 0.205498894   192.0.2.10 → 192.0.2.100  TCP 74 20000 → 80 [SYN] Seq=0 Win=64240 Len=0\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DUMP, "tcpdump"),
        ("tcpdump: listening on eth0, link-type EN10MB\n" + DUMP * 2, "tcpdump"),
        ("...\n" + LIST + "...\n", "packet list"),
        ("```\n" + LIST + "```\n", "packet list"),
        ('"No.","Time","Source","Destination","Protocol","Length","Info"\n', "packet list"),
        (
            "No.     Time           Source                Destination           Protocol Length Info\n",
            "packet list",
        ),
        ("frame.number\tip.src\tip.dst\n1\t10.0.0.1\t10.0.0.2\n", "fields"),
        ('[\n  {\n    "_index": "packets",\n    "_source": {\n      "layers": {', "json"),
        ('{"index":{"_index":"packets"}}\n{"timestamp":"1","layers":{}}', "json"),
    ],
)
@pytest.mark.parametrize("encoded", ["utf-8", "utf-8-sig", "utf-16"])
def test_listings(text: str, expected: str, encoded: str) -> None:
    """Also as Windows writes them."""
    head = text.encode(encoded)

    assert expected == form(head)
    assert text == head.decode(encoding(head))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "6.18.44\n",
        "tcpdump: listening on eth0, link-type EN10MB\n10 packets captured\n0 packets dropped by kernel\n",
        "Each of these lines is prose about a packet.\nSo is this one.\nAnd this is what it was:\n" + DUMP,
        "11:48:39.575820 conntrack: table full, dropping packet\n",
        '{"kind": "other", "values": [1, 2]}',
        "net.netfilter.nf_conntrack_max = 262144\n",
    ],
)
def test_near_misses(text: str) -> None:
    """Logs, settings, JSON of another kind, and prose that quotes a packet."""
    assert form(text.encode()) is None


def test_side_evidence_of_the_fixtures_is_none() -> None:
    """Whatever the fixtures hold beside their captures."""
    texts = [
        path
        for case in CASES.values()
        for path in case.folder.rglob("*")
        if path.is_file() and ".pcap" not in path.name and path not in case.listings
    ]

    assert [] == [path for path in texts if form(path.read_bytes()[:4096])]
