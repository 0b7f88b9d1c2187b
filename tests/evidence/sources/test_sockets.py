"""The node's sockets."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.evidence.facts import Socket
from analyzer.evidence.sources import sockets


def listed(text: str) -> list[Socket]:
    """Parse a text that is recognised."""
    assert sockets.recognises(text)
    return [fact for fact in sockets.parse(text, "a") if isinstance(fact, Socket)]


def test_both_tools(sample: Callable[[str], str]) -> None:
    """Ss and netstat tell the same."""
    ss, netstat = listed(sample("ss-tanpi.txt")), listed(sample("netstat-tanop.txt"))
    for one, other in zip(ss, netstat, strict=True):
        assert (one.proto, one.state, one.local, one.peer, one.received) == (
            other.proto, other.state, other.local, other.peer, other.received,
        )  # fmt: skip
    assert ["LISTEN", "ESTAB", "ESTAB"] == [one.state for one in ss]
    assert 100 == ss[2].received


def test_states() -> None:
    """States are called as ss calls them, with a timer behind them or without."""
    ss = (
        "Netid State    Recv-Q Send-Q Local Address:Port  Peer Address:Port\n"
        "tcp   SYN-SENT 0      1      10.0.0.1:40000      192.0.2.7:443 timer:(on,3.1sec,2)\n"
        "udp   UNCONN   0      0      [2001:db8::1]%eth0:546 [::]:*\n"
    )
    netstat = (
        "Proto Recv-Q Send-Q Local Address           Foreign Address         State       Timer\n"
        "tcp        0      1 10.0.0.1:40000          192.0.2.7:443           SYN_SENT    on (3.10/2/0)\n"
        "udp6       0      0 :::53                   :::*\n"
    )
    for text in (ss, netstat):
        assert ["SYN-SENT", "UNCONN"] == [socket.state for socket in listed(text)]


def test_other_text() -> None:
    """Without its queues it is nothing."""
    assert not sockets.recognises("tcp LISTEN somewhere 0.0.0.0:1 0.0.0.0:*\n")


def test_without_the_head() -> None:
    """`ss -H`, and what `grep` leaves, are sockets too."""
    text = (
        'tcp   LISTEN 0      128          0.0.0.0:8080      0.0.0.0:*    users:(("java",pid=1234,fd=5))\n'
        "ESTAB  0      0         10.244.1.7:41000   10.96.0.1:443  \n"
        "tcp        0      0 127.0.0.1:10248         0.0.0.0:*               LISTEN      911/kubelet\n"
    )
    for line in text.splitlines(keepends=True):
        assert sockets.recognises(line)
    assert ["0.0.0.0:8080", "10.244.1.7:41000", "127.0.0.1:10248"] == [
        said.local for said in sockets.parse(text, "a") if isinstance(said, Socket)
    ]
