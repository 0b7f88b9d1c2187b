"""Rulesets in few words, for tests."""

from __future__ import annotations

from analyzer.evidence.rules.model import Ruleset
from analyzer.evidence.rules.packet import Packet
from analyzer.evidence.sources import iptables_save, nft_text


def nft(body: str, *, family: str = "ip") -> Ruleset:
    """Read one nftables table; chains and rules as nft lists them."""
    (ruleset,) = nft_text.parse(f"table {family} t {{\n{body}\n}}\n", "nft.txt")
    assert isinstance(ruleset, Ruleset)
    return ruleset


def forward(*rules: str, policy: str = "accept", more: str = "") -> Ruleset:
    """Read a forward chain of nftables, and whatever else is in its table."""
    lines = "\n".join(rules)
    return nft(f"{more}\nchain f {{\ntype filter hook forward priority filter; policy {policy};\n{lines}\n}}")


def iptables(**tables: str) -> Ruleset:
    """Read what iptables-save prints, by table."""
    text = "".join(f"*{name}\n{body}\nCOMMIT\n" for name, body in tables.items())
    (ruleset,) = iptables_save.parse(text, "iptables.txt")
    assert isinstance(ruleset, Ruleset)
    return ruleset


def packet(dport: int | None = 80, **told: object) -> Packet:
    """Make the SYN of a pod that goes out through eth0."""
    values: dict[str, object] = {
        "proto": "tcp", "src": "10.244.0.11", "dst": "192.0.2.100", "sport": 40000, "dport": dport,
        "iif": "cni0", "oif": "eth0", "tcp_flags": 2,
    }  # fmt: skip
    return Packet(**(values | told))  # type: ignore[arg-type] # Packet checks nothing
