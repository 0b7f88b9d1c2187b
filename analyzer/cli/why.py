"""`lostsyn why`: what is known of one connection, and what made it so."""

from __future__ import annotations

from collections.abc import Sequence

import click

from analyzer.cli.common import bundle_options, run


@click.command()
@click.argument("what", metavar="FRAME|TUPLE")
@bundle_options
def command(
    what: str, paths: Sequence[str], points: Sequence[str], roles: Sequence[str], memory: int | None
) -> None:
    """Explain why a packet is, or is not, called lost.

    FRAME is a packet, by capture point and frame number as Wireshark counts: cni0:12. TUPLE is a connection as
    reports name it: '10.244.0.11:20000 > 192.0.2.100:80/tcp', as any point saw it. Printed are its outcome, each
    request and answer of it that was followed, the reason of its fate in each gap, and what the evidence answered.

    \b
    Exit status:
      0  the connection was told of
      2  could not run, or nothing of that name is in the captures

    \b
    Examples:
      lostsyn why cni0:12 FOLDER
      lostsyn why '10.244.0.11:20000 > 192.0.2.100:80/tcp' FOLDER
    """  # noqa: D301 - the backspaces keep click from joining the lines
    from analyzer.report.why import why

    click.echo(why(run(paths, points, roles, memory), what), nl=False)
