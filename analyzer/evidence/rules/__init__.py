"""Packet filter and NAT rules, of iptables and nftables in one form, and a packet's way through them.

`model` is the form; `values` reads what rules compare packets with, `options` one rule of iptables,
`expressions` one of nft's text, `nft` what that shares with nft's JSON; `joining` puts listings together; `walk`
follows a `packet`, as its `view` shows it to the rules. The listings are read in `analyzer.evidence.sources`.
"""

from analyzer.evidence.rules.model import Action as Action
from analyzer.evidence.rules.model import Chain as Chain
from analyzer.evidence.rules.model import Match as Match
from analyzer.evidence.rules.model import Rule as Rule
from analyzer.evidence.rules.model import Ruleset as Ruleset
from analyzer.evidence.rules.packet import Packet as Packet
from analyzer.evidence.rules.packet import Step as Step
from analyzer.evidence.rules.packet import Steps as Steps
from analyzer.evidence.rules.walk import walk as walk

__all__ = ["Action", "Chain", "Match", "Packet", "Rule", "Ruleset", "Step", "Steps", "walk"]
