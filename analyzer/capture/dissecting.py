"""What frames are that no row is made of: the names of their layers, as scapy dissects the first of them.

scapy takes half a second to be imported and a third of a millisecond a frame. It is asked only where most frames of an
interface are such, and of a few of them.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress
from importlib import import_module
from typing import Any

from analyzer.capture.files import CaptureFile
from analyzer.capture.reader import Reader

FRAMES = 20
"""Frames that are dissected."""
BYTES = 256
"""Of each, from its beginning."""
DEPTH = 6
_KNOWN = ("IP", "IPv6", "ARP")
"""What becomes rows, or is none of what is looked for."""
_END = ("Raw", "Padding", "NoPayload")
_MODULES = (
    "layers.l2", "layers.inet", "layers.inet6", "layers.ppp", "layers.dot11", "layers.usb", "layers.can", "contrib.lldp",
    "contrib.cdp", "contrib.isis", "contrib.mpls", "contrib.slowprot",
)  # fmt: skip


def layers(file: CaptureFile) -> str:
    """Name the layers of most of the first frames that are neither IP nor ARP: `802.3 / LLC / STP`; empty if nobody can."""
    found: Counter[str] = Counter()
    with suppress(Exception):  # a hundred dissectors fail in as many ways, and nothing depends on it
        conf = _scapy()
        with suppress(StopIteration):
            reader = Reader(file.source, name=file.label)
            records = next(reader.blocks())
            for row in range(min(records.count, FRAMES)):
                at, size = int(records.start[row]), int(records.caplen[row])
                link = reader.interfaces[int(records.interface[row])].link
                if link in conf.l2types.num2layer:
                    data = bytes(records.data[at : at + min(size, BYTES)])
                    names = _names(conf.l2types.num2layer[link](data))
                    if not set(names) & set(_KNOWN):
                        found[" / ".join(names)] += 1
    return found.most_common(1)[0][0] if found else ""


def _scapy() -> Any:
    logging.getLogger("scapy").setLevel(logging.CRITICAL)  # it says what the host lacks for sending
    for name in _MODULES:
        with suppress(ImportError):
            import_module(f"scapy.{name}")
    return import_module("scapy.config").conf


def _names(packet: Any) -> list[str]:
    names: list[str] = []
    while type(packet).__name__ not in _END and len(names) < DEPTH:
        names.append(str(packet.name) if type(packet).__name__ not in _KNOWN else type(packet).__name__)
        packet = packet.payload
    return names
