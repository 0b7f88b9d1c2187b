"""A protocol opened a second connection, and no conntrack helper was there to let it in.

What happens
    FTP (active), TFTP and SIP announce inside their packets where to send data. A NAT helper reads that, translates the
    address and expects the connection. Without it the server's packet arrives at the node's address, matches no entry, and
    is refused or dropped there. Since Linux 6.0 no helper is assigned automatically; a rule must do so.

How it is recognised
    A pod connects to a server's port 21 (FTP) or sends to its port 69 (TFTP), translated. The same server then opens a
    connection, from port 20 or any port, to the node's translated address, and it is not seen inside.

What is ruled out
    A helper that is active (the data would be translated). A published port (another client could reach it).

Remedies and their risks
    Load the helper and assign it by a rule to just those servers; passive FTP needs none. A helper parses untrusted packets
    in the kernel and opens ports that they name.

References
    https://home.regit.org/netfilter-en/secure-use-of-helpers/; iptables-extensions(8) CT; RFC 959; RFC 1350
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analyzer.incident.model import Remedy
from analyzer.incident.wording import count

if TYPE_CHECKING:
    from analyzer.incident.explanation import Loss

CODE = "helper-missing"
TITLE = "missing NAT helper"

REMEDIES = (
    Remedy(
        do="Load the helper and assign it to connections to this port",
        command="modprobe nf_nat_ftp && iptables -t raw -A PREROUTING -p tcp --dport 21 -j CT --helper ftp",
        effect="The helper translates addresses inside the packets and expects the data. TFTP: nf_nat_tftp, udp, 69.",
        risk="A parser of untrusted data in the kernel; name the server in the rule with -d.",
    ),
    Remedy(
        do="Use passive FTP, or a protocol with one connection (HTTPS, SFTP)",
        command="curl --ftp-pasv ftp://DESTINATION/",
        effect="The client opens all connections; no helper is needed.",
        risk="A change at the client.",
    ),
)


def summary(loss: Loss) -> str:
    """One sentence for people who do not read packets."""
    return (
        f"{count(loss.connections, 'data connection')} of a server (FTP, TFTP) ended at this node instead of the pod: no "
        f"conntrack helper of the protocol is active, so {'it was' if loss.connections == 1 else 'they were'} not expected."
    )
