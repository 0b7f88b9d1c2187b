"""The public pages (`lostsyn explain`): of every cause, of the kinds, and of what only looks like a loss."""

from __future__ import annotations

import importlib
import inspect

from analyzer.incident import causes

KINDS = {
    "syn-vanished": """A connection's first packet went into a gap between two capture points and never came out.

The client waits and sends it again after 1 s, 3 s, 7 s (RFC 6298): a connection that is lost this way only once is slow by
just that. What else can be behind a missing SYN is excluded first: another way out, another capture's loss, an answer.""",
    "udp-vanished": """A UDP request went into a gap between two capture points and never came out.

Nobody repeats it but the program that sent it: a resolver after 5 s, as a rule (resolv.conf, `timeout`).""",
    "icmp-vanished": """An echo request (ping) went into a gap between two capture points and never came out.""",
    "reply-vanished": """A reply that one capture point saw did not reach the next one on its way back.

The request had passed. A SYN-ACK, a UDP answer or an echo reply is a reply in this sense.""",
    "data-vanished": """Data of an established connection went into a gap, and what was sent again came out, or nothing did.

Only a segment that its sender repeated counts: that it was repeated says that it was missed.""",
    "error-vanished": """An ICMP error about a connection of a pod went into a gap and was not passed on to the pod.

It is recognised by the packet that it quotes. The most frequent one is "fragmentation needed": without it the sender
never learns that its packets are too large.""",
    "refused": """This node refused the connection: it answered with a RST or an ICMP error of its own.

The refusal is seen inside the node and was never seen coming in from outside.""",
    "misdelivered": """The packet was handed to somebody else than it was meant for, or translated by a wrong entry.

It is not lost: it is seen to leave, with an address or a port that the other side did not expect.""",
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
