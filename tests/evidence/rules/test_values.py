"""What rules compare packets with."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.evidence.rules import values
from analyzer.evidence.rules.model import Bits, Span


@given(st.ip_addresses(v=4), st.integers(0, 32), st.ip_addresses(v=4))
def test_prefixes(address: ipaddress.IPv4Address, length: int, other: ipaddress.IPv4Address) -> None:
    """A prefix holds the addresses that the library says it holds."""
    span = values.element("src", f"{address}/{length}")
    number = values.address(str(other))
    assert isinstance(span, Span)
    assert number is not None
    network = ipaddress.ip_network(f"{address}/{length}", strict=False)
    assert (other in network) == (span.low <= number <= span.high)


def test_families_do_not_mix() -> None:
    """The prefix of everything of one family holds nothing of the other."""
    everything, six = values.element("dst", "0.0.0.0/0"), values.address("2001:db8::1")
    assert isinstance(everything, Span)
    assert six is not None
    assert not everything.low <= six <= everything.high


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("dport", "80", Span(80, 80)), ("dport", "8000-8100", Span(8000, 8100)), ("dport", "70000", None),
        ("sport", "ssh", None), ("mark", "0x4000/0x4000", Bits(0x4000, 0x4000)), ("mark", "1", Bits(1, 0xFFFFFFFF)),
        ("mark", "0x100000000", None), ("proto", "6", "tcp"), ("proto", "ipv6-icmp", "icmpv6"),
        ("iif", "veth*", "veth*"), ("iif", "17", None), ("state", "NEW", "new"), ("state", "0x8", None),
        ("icmp", "8", "echo-request"), ("icmpv6", "135", "nd-neighbor-solicit"), ("family", "ip6", "ipv6"),
        ("src", "10.0.0.300", None), ("src", "10.0.0.1-x", None), ("dsttype", "LOCAL", "local"),
    ],
)  # fmt: skip
def test_elements(field: str, text: str, expected: object) -> None:
    """Values are read as the field needs them; what is not understood is none."""
    assert expected == values.element(field, text)


def test_flags() -> None:
    """TCP flags come in iptables' and in nft's way."""
    assert 2 == values.flags("SYN")
    assert 0b10111 == values.flags("fin | syn | rst | ack")
    assert 0 == values.flags("NONE")
    assert values.flags("xmas") is None
    assert values.flags("") is None


@given(
    st.sampled_from(["src", "dport", "mark", "proto", "iif", "state", "icmp", "dsttype"]),
    st.text(max_size=30),
)
def test_any_text(field: str, text: str) -> None:
    """Nothing is too strange to be read as nothing."""
    values.element(field, text)
    values.flags(text)
