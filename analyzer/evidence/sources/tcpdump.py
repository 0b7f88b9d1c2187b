"""What tcpdump and dumpcap say when they end: how many packets they captured, and how many they lost.

"dropped by interface" is not counted. libpcap reads it from the device's own error counters, so those
packets reached neither the capture nor the network stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.evidence.facts import CaptureDrops, Fact

PURPOSE = "packets that the capturing program lost"

_SAID = re.compile(
    r"\blistening on (?P<begun>[^\s,]{1,64}), link-type"
    r"|(?P<captured>\d{1,20}) packets? captured"
    r"|(?P<lost>\d{1,20}) packets? dropped by kernel"
    r"|Packets received/dropped on interface '(?P<of>[^'\n]{1,64})': \d+/(?P<dumpcap>\d{1,20})"
)


def recognises(head: str) -> bool:
    # Nothing of it begins with a letter that only it has: most text is seen to hold none of these in no time.
    return any(word in head for word in ("listening on ", " dropped ", "/dropped ")) and bool(
        _SAID.search(head)
    )


def parse(text: str, file: str) -> Iterator[Fact]:
    """Yield the losses; where several captures ran at once no line says whose, and the file is named."""
    running: list[str] = []
    captured = 0
    for said in _SAID.finditer(text):
        if said["begun"]:
            running.append(said["begun"])
        elif said["captured"]:
            captured = int(said["captured"])
        elif said["of"]:
            # An interface with a description is told as `Loopback: lo`.
            yield CaptureDrops(point=said["of"].rpartition(": ")[2], dropped=int(said["dumpcap"]))
        else:
            point = running[0] if len(running) == 1 else file
            if len(running) == 1:
                running.clear()
            yield CaptureDrops(point=point, dropped=int(said["lost"]), captured=captured)
            captured = 0
