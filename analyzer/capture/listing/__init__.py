"""Packet listings as captures: what tcpdump, tshark and Wireshark print, translated into the packets that they tell of.

`recognising` says whether a text is a listing and which; one module per form reads its lines into `Listed` packets;
`numbers` undoes relative sequence numbers; `crafting` makes the headers of a packet, and `translation` a pcapng stream of
them all, so that everything behind the reader is the same for a listing as for a capture.
"""
