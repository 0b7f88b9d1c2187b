"""Which text is a packet listing, and of which form: told by its first lines, never by its name."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from analyzer.capture.listing import fields, packet_list, tcpdump

Form = Literal["tcpdump", "packet list", "fields", "json"]
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A packet listing of a bundle."""

    form: Form
    open: Callable[[], BinaryIO]
    """Opens its bytes; raises OSError."""
    most: int
    """Bytes that are read of it, decompressed."""


def encoding(head: bytes) -> str:
    """How a text that begins like this is encoded: Windows' shells redirect in UTF-16."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")


def form(head: bytes) -> Form | None:
    """Say which listing a text is that begins like this; None for none.

    Of what precedes the first packet (a shell's prompt, "listening on ...", "...") nothing matters, but packets must be most of
    what is there: a text that quotes some is none.
    """
    text = head.decode(encoding(head), "replace")
    # The last line may not be there in full.
    lines = text.splitlines()[: None if len(head) < 4096 else -1] or [text]
    found = text.lstrip("\ufeff \t\r\n[")
    if found.startswith("{") and '"layers"' in found[:2048]:
        return "json"
    if fields.heading(next((line for line in lines if line.strip()), "")):
        return "fields"
    if packet_list.HEADING.match(next((line for line in lines if line.strip()), "")):
        return "packet list"
    for name, begins in (("tcpdump", tcpdump.BEGINS), ("packet list", packet_list.BEGINS)):
        packets = sum(begins.match(line) is not None for line in lines)
        others = sum(1 for line in _others(lines) if begins.match(line) is None)
        if packets and packets >= others:
            return name  # type: ignore[return-value]  # one of the two
    return None


def _others(lines: list[str]) -> Iterator[str]:
    """What is neither blank, nor continues a packet, nor left out ("...")."""
    for line in lines:
        if line.strip(" .`\t") and line[:1] not in "\t " and not line.startswith(("IP ", "IP6 ")):
            yield line
