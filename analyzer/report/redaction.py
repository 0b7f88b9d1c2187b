"""Addresses replaced by aliases, wherever an analysis, a text or a frame has them.

Renderers compute nothing, so what is redacted in the model is redacted in every output, display filters included.
"""

from __future__ import annotations

import dataclasses
import hmac
import ipaddress
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, TypeVar, cast

import numpy as np

from analyzer.evidence.naming import Name
from analyzer.report import headers
from analyzer.report.aliases import Aliases
from analyzer.report.names import Names
from analyzer.result.analysis import Result

T = TypeVar("T")
GUESSED = 1 << 16
"""A shorter file may hold nothing unknown but a few addresses: who guesses them can tell by the hash."""

# Where a MAC address ends: not before another group of its kind, as an IPv6 address has.
_END = r"(?![0-9A-Za-z])(?!:(?:[0-9A-Fa-f]{1,4}(?![0-9A-Za-z])|:))"
_MAC = (
    r"(?<![0-9A-Za-z])(?:"
    # Nine and more are none of IPv6; asked apart, so that a long row is gone through once.
    r"(?P<pairs>[0-9A-Fa-f]{2}(?P<sep>[:_-])(?:(?:[0-9A-Fa-f]{2}(?P=sep)){7,}[0-9A-Fa-f]{2}(?![0-9A-Za-z])"
    r"|(?:[0-9A-Fa-f]{2}(?P=sep)){4,6}[0-9A-Fa-f]{2}" + _END + "))|"
    r"(?P<short>[0-9A-Fa-f]{1,2}(?::[0-9A-Fa-f]{1,2}){5})" + _END + "|"
    r"(?P<quads>[0-9A-Fa-f]{4}(?P<dot>[.:-])[0-9A-Fa-f]{4}(?P=dot)[0-9A-Fa-f]{4})(?!(?P=dot)[0-9A-Fa-f])"
    + _END
    + "|"
    # Alone, and behind letters as in enx02005e102030: not a number, nor a date.
    r"(?P<whole>(?:0x|[0-9A-Za-z]*[g-zG-Z])?(?!\d{12}(?![0-9A-Za-z]))[0-9A-Fa-f]{12}|[a-z]{2}x\d{12}"
    r"|(?!\d{6}-\d{6}(?![0-9A-Za-z]))[0-9A-Fa-f]{6}-[0-9A-Fa-f]{6})(?![0-9A-Za-z]))"
)
_TOKEN = re.compile(
    _MAC + r"|(?P<v6>(?<![0-9A-Za-z])(?=[0-9A-Fa-f]*:[0-9A-Fa-f]*:)"
    r"(?:[0-9A-Fa-f:]*:\d{1,3}(?:\.\d{1,3}){3}(?!\d)|[0-9A-Fa-f:]+))"
    r"(?:/(?P<length6>\d{1,3}))?"
    r"|(?P<v4>(?<!\d)(?<!\d\.)\d{1,3}(?:\.\d{1,3}){3}(?!\d))(?:/(?P<length4>\d{1,2}(?![\d.])|\d{1,3}(?:\.\d{1,3}){3}))?"
    r"|(?P<dashed>(?<![\d])(?<!\d-)\d{1,3}(?:-\d{1,3}){3}(?!-?\d))"
)
_ONLY_MAC = re.compile(_MAC)


def redact(analysis: Result, key: bytes) -> Result:
    """Return *analysis* with every address replaced, and without the columns behind it.

    Args:
        analysis: What is to be told to others.
        key: The same key gives the same aliases.
    """
    redaction = Redaction(key)
    redaction.learn(analysis)
    told = redaction.value(dataclasses.replace(analysis, scene=None, **_made_from(analysis)))
    return dataclasses.replace(told, caveats=(redaction.caveat, *told.caveats))


def _made_from(analysis: Result) -> dict[str, Any]:
    """The command line without names of files, and no hash that a guess at an address could be held against."""
    words = analysis.command.split(" ")
    kept = [word.partition("=")[0] if word.startswith("-") else "..." for word in words[2:]]
    return {
        "command": " ".join([*words[:2], *kept]),
        "inputs": tuple(
            dataclasses.replace(one, sha256=None if one.size < GUESSED else one.sha256)
            for one in analysis.inputs
        ),
    }


class Redaction:
    """Replaces addresses by the aliases that one key gives them."""

    def __init__(self, key: bytes) -> None:
        self._aliases = Aliases(key)
        self._names = Names(key)
        self.caveat = (
            f"addresses are aliases that keep prefixes (key {hmac.digest(key, b'name', 'sha256')[:4].hex()}): "
            "one address has one alias wherever this key was used."
        )

    def learn(self, analysis: Result) -> None:
        """Find what hosts *analysis* tells of, to replace their names as well."""
        labels = [label for point in analysis.capture_points for label in point.files]
        bare = dataclasses.replace(analysis, scene=None)
        told = analysis.scene.evidence.names.values() if analysis.scene else ()
        known = {part for one in told for part in (one.name, one.namespace, one.node)}
        self._names.learn(_texts(bare), labels, lambda name: _TOKEN.search(name) is not None, known)

    def value(self, value: T) -> T:
        """Replace the addresses in all texts of *value*: of dataclasses, dicts and sequences, at any depth.

        Raises:
            TypeError: Something is in it that is none of these and no number: it might tell.
        """
        found: object = value
        if isinstance(value, str):
            found = value if isinstance(value, Enum) else self.text(value)
        elif isinstance(value, dict):
            found = {self.value(name): self.value(part) for name, part in value.items()}
        elif isinstance(value, tuple) and hasattr(value, "_make"):
            found = value._make(self.value(part) for part in value)
        elif isinstance(value, list | tuple | set | frozenset):
            found = type(value)(self.value(part) for part in value)
        elif isinstance(value, Name):
            found = dataclasses.replace(self._names.named(value), address=self.text(value.address))
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            parts = {part.name: self.value(getattr(value, part.name)) for part in dataclasses.fields(value)}
            found = dataclasses.replace(value, **parts)
        elif not isinstance(value, int | float | np.number | np.bool_ | None):
            raise TypeError(f"cannot tell what a {type(value).__name__} holds, so it cannot be redacted")
        return cast("T", found)

    def text(self, text: str) -> str:
        """Replace the addresses in *text*: IPv4, IPv6, MAC; networks stay networks. And names, see `analyzer.report.names`."""
        return _TOKEN.sub(self._token, self._names.text(text))

    def frame(self, data: bytes, link: int) -> bytes:
        """Replace the addresses in the headers of a frame; what follows them is left out.

        Checksums of IPv4 headers are made right; those of transport headers are 0, since the old ones, which cover the
        addresses, would give them away. Options that may hold addresses become padding.
        """
        found = headers.read(data, link)
        out = bytearray(data[: found.end])
        for places, size, alias in (
            (found.macs, 6, self._aliases.mac),
            (found.v4, 4, self._aliases.v4),
            (found.v6, 16, self._aliases.v6),
        ):
            for at in places:
                out[at : at + size] = alias(int.from_bytes(data[at : at + size], "big")).to_bytes(size, "big")
        for begin, end, filler in found.options:
            out[begin:end] = bytes([filler]) * (end - begin)
        for begin, end in found.blank:
            end = min(end, len(out))
            out[begin:end] = bytes(max(end - begin, 0))
        for at in found.checksums:
            out[at : at + 2] = bytes(2)
        for begin, end in found.ipv4:
            out[begin + 10 : begin + 12] = bytes(2)
            out[begin + 10 : begin + 12] = _checksum(out[begin:end])
        return bytes(out)

    def _token(self, match: re.Match[str]) -> str:
        if match["pairs"] and match["sep"] == ":" and match["pairs"].count(":") == 7:
            return self._v6(match["pairs"], None)  # eight groups are an IPv6 address, though each is short
        if not (match["v6"] or match["v4"] or match["dashed"]):
            return self._macs(match)
        if match["v6"]:
            return self._v6(match["v6"], match["length6"])
        if match["dashed"]:
            return self._v4(match["dashed"].replace("-", "."), None).replace(".", "-")
        return self._v4(match["v4"], match["length4"])

    def _macs(self, match: re.Match[str]) -> str:
        """Replace one MAC address, or several in a row as netfilter's LOG prints them: destination, source, EtherType."""
        if match["pairs"]:
            pairs = match["pairs"].split(match["sep"])
            # What is left over of six are the EtherType behind, and in a name what stands before.
            first = 0 if match["sep"] == ":" else len(pairs) % 6
            for at in range(first, len(pairs) - 5, 6):
                pairs[at : at + 6] = re.findall("..", self._mac("".join(pairs[at : at + 6])))
            return match["sep"].join(pairs)
        if match["short"]:
            digits = self._mac("".join(part.zfill(2) for part in match["short"].split(":")))
            return ":".join(part.lstrip("0") or "0" for part in re.findall("..", digits))
        if match["quads"]:
            return match["dot"].join(re.findall("....", self._mac(match["quads"].replace(match["dot"], ""))))
        whole = match["whole"]
        if "-" in whole:
            return "-".join(re.findall("." * 6, self._mac(whole.replace("-", ""))))
        return whole[:-12] + self._mac(whole[-12:])

    def _mac(self, digits: str) -> str:
        return f"{self._aliases.mac(int(digits, 16)):012x}"

    def _v4(self, text: str, length: str | None) -> str:
        parts = [int(part) for part in text.split(".")]
        behind = "" if length is None else f"/{length}"
        if max(parts) > 255:
            return text + behind
        address = ipaddress.IPv4Address(bytes(parts))
        alias = self._aliases.v4(int(address))
        return str(ipaddress.IPv4Address(alias & _mask(f"{address}{behind}"))) + behind

    def _v6(self, text: str, length: str | None) -> str:
        """Replace an IPv6 address: the longest one that *text* ends in, but for colons of the sentence."""
        behind = "" if length is None else f"/{length}"
        for end in (len(text), len(text.rstrip(":"))):
            least = max(end - 45, 0)  # no address is longer
            begins = [0] if not least else []
            for begin in [*begins, *(at.end() for at in re.finditer(":", text[least:end]))]:
                begin += least
                try:
                    address = ipaddress.IPv6Address(text[begin:end])
                except ValueError:
                    continue
                alias = self._aliases.v6(int(address)) & _mask(f"{address}{behind}")
                return f"{text[:begin]}{ipaddress.IPv6Address(alias)}{text[end:]}{behind}"
        if _ONLY_MAC.search(text):
            return _ONLY_MAC.sub(self._macs, text) + behind
        head, colon, tail = text.rpartition(":")
        return head + colon + (self.text(tail + behind) if "." in tail else tail + behind)


def _texts(value: object) -> Iterator[str]:
    """Yield all texts of dataclasses, dicts and sequences, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _texts(name)
            yield from _texts(part)
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from _texts(part)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from _texts(getattr(value, field.name))


def _mask(network: str) -> int:
    """Return the bits that remain of an alias: those of the network where *network* is one, else all."""
    try:
        return int(ipaddress.ip_network(network).netmask)
    except ValueError:  # an interface's address with its prefix length, or no prefix length at all
        return -1


def _checksum(header: bytes | bytearray) -> bytes:
    """Return the checksum of an IPv4 header whose own is 0, RFC 1071."""
    total = sum(int.from_bytes(header[at : at + 2], "big") for at in range(0, len(header), 2))
    total = (total & 0xFFFF) + (total >> 16)
    return (~((total & 0xFFFF) + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
