"""One packet as a listing tells it, and what a listing does not tell."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from datetime import UTC, datetime

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
NO_MAC = bytes(6)
FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, ".": 16, "U": 32, "E": 64, "W": 128, "e": 256}
"""TCP flags as tcpdump writes them; `e` is AE, once NS (print-tcp.c)."""

SERVICES = {
    "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "bootps": 67, "bootpc": 68, "http": 80, "kerberos": 88,
    "pop3": 110, "ntp": 123, "imap2": 143, "snmp": 161, "bgp": 179, "ldap": 389, "https": 443, "microsoft-ds": 445,
    "ldaps": 636, "domain-s": 853, "imaps": 993, "pop3s": 995, "ms-sql-s": 1433, "nfs": 2049, "mysql": 3306,
    "ms-wbt-server": 3389, "mdns": 5353, "postgresql": 5432, "amqp": 5672, "redis": 6379, "http-alt": 8080,
}  # fmt: skip
"""Ports by the names that are printed without `-n`; which a system knows differs, so only those are here that are the same."""


@dataclass(slots=True, kw_only=True)
class Listed:
    """A packet; None is what the listing does not say."""

    number: int
    """The packet's number where the listing has one, else the line's."""
    time: int
    """ns."""
    src: str
    dst: str
    proto: int
    """Of IP; 0 for ARP."""
    interface: str | None = None
    """Where the listing is of several."""
    mac_src: bytes = NO_MAC
    mac_dst: bytes = NO_MAC
    sport: int = 0
    dport: int = 0
    flags: int = 0
    """Of TCP; the operation of ARP."""
    seq: int | None = None
    ack: int | None = None
    window: int | None = None
    """As in the header, not scaled."""
    options: bytes | None = None
    """TCP's."""
    length: int = 0
    """Bytes behind the transport header."""
    ttl: int | None = None
    ip_id: int | None = None
    total: int | None = None
    """Bytes of the IP packet, its header among them."""
    fragment: int = 0
    """Offset in units of 8 bytes."""
    icmp: tuple[int, int] = (0, 0)
    """Type and code."""
    word: int = 0
    """The second 32 bits of an ICMP header: identifier and sequence number."""
    payload: bytes | None = None
    """The first bytes behind the transport header, as far as they are known."""


@dataclass(slots=True)
class Notes:
    """What was noticed while a listing was read."""

    packets: int = 0
    strange: int = 0
    """Lines that were not understood."""
    first_strange: int = 0
    portless: int = 0
    """Lines of packets whose ports the listing does not tell."""
    inferred: int = 0
    """TCP packets told by what they carry: their numbers follow from the packets around."""
    relative: bool = False
    """Whether sequence numbers count from an unknown one."""
    dateless: bool = False
    """Whether times are times of day."""
    dropped: int | None = None
    """What the listing says that the kernel dropped."""
    lacks: set[str] = field(default_factory=set)
    """Columns that are unknown: `ip_id`, `ttl`, `window`, `options`, `payload`; `bare_seq` where it is the number of segments
    without data, `length` where it is that of some UDP datagrams."""

    def not_understood(self, line: int) -> None:
        """Count a line."""
        self.strange += 1
        self.first_strange = self.first_strange or line


def port(text: str) -> int | None:
    """A port by its number, or by a name that is the same everywhere."""
    if text.isdecimal() and text.isascii():
        number = int(text) if len(text) < 6 else 65536
        return number if number < 65536 else None
    return SERVICES.get(text)


def nanoseconds(seconds: str, fraction: str) -> int:
    """Time from its digits before and behind the point."""
    return int(seconds) * 10**9 + int(fraction[:9].ljust(9, "0"))


def since_midnight(clock: str, fraction: str) -> int:
    """Time of day, `10:26:05` and the digits behind the point, as ns."""
    hours, minutes, seconds = map(int, clock.split(":"))
    return nanoseconds(str(hours * 3600 + minutes * 60 + seconds), fraction)


def midnight(date: str) -> int:
    """The beginning of a day, `2026-11-20`, as ns since the epoch.

    Raises:
        ValueError: There is no such day.
    """
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()) * 10**9


def split(text: str, separator: str) -> list[str]:
    """The values of a line, in quotes or not; none of a line that cannot be one."""
    try:
        return next(csv.reader([text], delimiter=separator), [])
    except csv.Error:
        return []


def mac(text: str) -> bytes:
    """A link-layer address; zeros for what is none."""
    try:
        found = bytes.fromhex(text.replace(":", "").replace("-", ""))
    except ValueError:
        return NO_MAC
    return found if len(found) == 6 else NO_MAC
