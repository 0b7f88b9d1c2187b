"""Packet filter and NAT rules, of iptables and nftables in one form, and a packet's way through them.

`model` is the form; `values` reads what rules compare packets with, `options` one rule of iptables,
`expressions` one of nft's text, `nft` what that shares with nft's JSON; `joining` puts listings together; `walk`
follows a `packet`, as its `view` shows it to the rules. The listings are read in `analyzer.evidence.sources`.
"""
