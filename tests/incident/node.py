"""What a node says of itself in text files, and bundles of its outages, for the causes that rest on that."""

from __future__ import annotations

from pathlib import Path

from analyzer import Analysis, analyze
from tests.conversation import BRIDGE, UPLINK, Conversation, record

LINKS = f"""2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc fq_codel state UP group default qlen 1000
    link/ether {UPLINK} brd ff:ff:ff:ff:ff:ff
    inet 192.0.2.10/24 brd 192.0.2.255 scope global eth0
4: cni0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group default qlen 1000
    link/ether {BRIDGE} brd ff:ff:ff:ff:ff:ff
    inet 10.244.0.1/24 scope global cni0
"""


def told(folder: Path, **files: str) -> Path:
    """Write side evidence, one text file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def risen(folder: Path, name: str, rise: int) -> None:
    """Write one of nstat's counters from before and after."""
    for when, value in (("before", 7), ("after", 7 + rise)):
        told(
            folder,
            **{f"nstat-{when}": f"#kernel\n{name} {value} 0.0\nIpInReceives {900 + (when == 'after')} 0.0\n"},
        )


def known(pod: str = "10.244.0.11", at: float = -3) -> Conversation:
    """A whole connection of the pod to elsewhere: it shows whose address is inside."""
    talk = Conversation(
        pod=f"{pod}:30000", server="198.51.100.77:443", nat="192.0.2.10:30000", isn=77_000_000
    )
    talk.syn(at)
    talk.accept()
    return talk


def outage(folder: Path, *talks: Conversation) -> Analysis:
    """Nothing of the pods passes eth0; the node's own traffic shows that it was recording."""
    told(folder, **{"ip-addr": LINKS})
    own = [
        Conversation(pod=f"192.0.2.10:{5000 + at}", server="198.51.100.99:443", way="eth0", isn=at + 9)
        for at in (1, 2)
    ]
    for talk, at in zip(own, (-5, 40), strict=True):
        talk.syn(at)
        talk.accept()
    return analyze(record(folder, *talks, *own))
