"""The public pages (`lostsyn explain`): of every cause, of the kinds, and of what only looks like a loss."""

from __future__ import annotations

import importlib
import inspect

from analyzer.incident import causes

KINDS = {
    "syn-vanished": """A connection's first packet vanished between two capture points.

The client retransmits it after 1 s, 3 s, 7 s (RFC 6298). A connection that loses it only once is slow by exactly that.
Other explanations for a missing SYN are excluded first: another way out, another capture's loss, an answer.""",
    "udp-vanished": """A UDP request vanished between two capture points.

Only the program that sent it can retry: a resolver usually after 5 s (resolv.conf, `timeout`).""",
    "icmp-vanished": """An echo request (ping) vanished between two capture points.""",
    "reply-vanished": """A reply seen at one capture point did not reach the next on its way back.

The request had passed. A reply here is a SYN-ACK, a UDP answer or an echo reply.""",
    "data-vanished": """Data of an established connection vanished, and only its retransmission got through, or nothing did.

Only a retransmitted segment counts: the retransmission shows that it was missed.""",
    "error-vanished": """An ICMP error about a pod's connection vanished in a gap and was not passed on to the pod.

It is matched by the packet that it quotes. The most frequent one is "fragmentation needed": without it the sender
never learns that its packets are too large.""",
    "refused": """This node refused the connection: it sent its own RST or ICMP error.

The refusal is seen inside the node and never coming in from outside.""",
    "misdelivered": """The packet went to the wrong recipient, or was translated by a wrong entry.

It is not lost: it is seen leaving with an address or port that the other side did not expect.""",
}
"""Of the kinds of incidents, those that have no file of their own."""
OTHERS = ("invalid-reset", "invalid-dropped", "unnatted-leak", "challenge-ack", "look-alikes")
"""Codes beside those of the causes; each is a module of this package."""
CODES = (*causes.CODES, *KINDS, *OTHERS)


def page(code: str) -> str:
    """The page of a code: as a rule the docstring of the file that knows about it.

    Raises:
        KeyError: No such code.
    """
    if code in KINDS:
        return KINDS[code]
    if code in OTHERS:
        module = importlib.import_module(f"analyzer.incident.{code.replace('-', '_')}")
    else:
        module = causes.module(code)
    return inspect.cleandoc(module.__doc__ or "")
