"""Whose frames a file has: the link-layer addresses that nearly all of them came from or went to."""

from __future__ import annotations

import numpy as np

from analyzer.capture.files import CaptureFile
from analyzer.capture.reader import Records
from analyzer.compute.thresholds import MOSTLY_OWN
from analyzer.errors import UnusableInput

_ETHERNET = 1
"""LINKTYPE_ETHERNET."""
_MOST = 2000
"""Frames that are looked at."""


def station(capture: CaptureFile) -> frozenset[bytes]:
    """Look at a file's first frames.

    Returns: The node's own address, and the other one where all frames were exchanged with that; none where the file has no
        Ethernet frames or cannot be read.
    """
    reader = capture.open()
    try:
        first = next((block for block in reader.blocks() if block.count), None)
    except UnusableInput:  # gone by now: decoding says so
        return frozenset()
    if first is None or any(interface.link != _ETHERNET for interface in reader.interfaces):
        return frozenset()
    return _shared(first)


def _shared(block: Records) -> frozenset[bytes]:
    rows = np.flatnonzero(block.caplen[:_MOST] >= 12)
    data = np.frombuffer(block.data, np.uint8)
    both = data[block.start[rows, None] + np.arange(12)].reshape(-1, 2, 6)
    alone = both[both[:, 0, 0] & 1 == 0]  # not those for a group
    counts: dict[bytes, int] = {}
    for target, source in alone.tolist():
        for end in {bytes(target), bytes(source)}:
            counts[end] = counts.get(end, 0) + 1
    return frozenset(end for end, count in counts.items() if count >= MOSTLY_OWN * len(alone))
