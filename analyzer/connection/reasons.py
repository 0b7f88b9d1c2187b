"""Why a packet that was followed has its fate: one code each, kept in a column and shown on demand."""

from __future__ import annotations

from typing import NamedTuple

from analyzer.connection.model import Fate


class Reason(NamedTuple):
    """One reason."""

    code: str
    fate: Fate
    says: str
    """Completes "because ..."."""


REASONS = (
    Reason("seen-beyond", Fate.PASSED, "the next point saw it, or there is none"),
    Reason("own-address", Fate.NOT_ROUTED_HERE, "it is addressed to the node itself"),
    Reason(
        "bridged",
        Fate.NOT_ROUTED_HERE,
        "its frame is addressed to a neighbour on the bridge, not to the node",
    ),
    Reason("turned", Fate.NOT_ROUTED_HERE, "it came back translated, towards an endpoint on this node"),
    Reason(
        "refused", Fate.NOT_ROUTED_HERE, "an ICMP error quotes it, so somebody received it and refused it"
    ),
    Reason("refused-here", Fate.NOT_ROUTED_HERE, "this node itself refused it"),
    Reason("rejected", Fate.NOT_ROUTED_HERE, "a rule on the node certainly rejects it"),
    Reason("answered-beyond", Fate.PASSED, "its answer came through a router, so it left this node"),
    Reason("answered-here", Fate.NOT_ROUTED_HERE, "its answer did not pass the next point either"),
    Reason(
        "other-way",
        Fate.NOT_ROUTED_HERE,
        "routes or other traffic show that its destination is reached another way",
    ),
    Reason("answered", Fate.CAPTURE_LOSS, "it was answered, so it was delivered: the next point missed it"),
    Reason("not-recording", Fate.UNDECIDABLE, "nothing shows that the next point was recording then"),
    Reason("not-captured", Fate.UNDECIDABLE, "the next point on its path was not captured"),
    Reason("one-direction", Fate.UNDECIDABLE, "the next point recorded the other direction only"),
    Reason(
        "capture-dropped",
        Fate.UNDECIDABLE,
        "the capture of the next point lacks packets, and nothing else indicates a loss",
    ),
    Reason("undecoded", Fate.UNDECIDABLE, "frames of the next point could not be decoded"),
    Reason(
        "filtered",
        Fate.UNDECIDABLE,
        "the next point may have been recorded with a filter: nothing at all of it is there",
    ),
    Reason(
        "error-unread",
        Fate.UNDECIDABLE,
        "an ICMP error whose quote the capture does not hold may have refused it",
    ),
    Reason("ambiguous", Fate.UNDECIDABLE, "several flows beyond fit equally well"),
    Reason("way-unknown", Fate.UNDECIDABLE, "it may have passed a point that was not captured"),
    Reason(
        "lost",
        Fate.VANISHED,
        "the next point was recording, did not see it, and nothing shows that it was delivered",
    ),
    Reason(
        "counted",
        Fate.VANISHED,
        "the kernel's drop counters account for every packet that was not seen again",
    ),
    Reason("ruled", Fate.VANISHED, "a rule on the node certainly drops it, and nobody answered it"),
    Reason("recorded-drop", Fate.VANISHED, "the kernel recorded that it dropped this packet"),
    Reason(
        "waited",
        Fate.PASSED,
        "the next point saw it so late that it had been repeated by then: it waited between the points",
    ),
)
CODES = {reason.code: number for number, reason in enumerate(REASONS)}
FATES = tuple(Fate)
FATE_OF = tuple(FATES.index(reason.fate) for reason in REASONS)
"""Per reason the index of its fate."""
