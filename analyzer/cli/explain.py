"""`lostsyn explain`: the public pages."""

from __future__ import annotations

import click

from analyzer.errors import UnusableInput
from analyzer.incident import pages


def _codes(_context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [code for code in pages.CODES if code.startswith(incomplete)]


@click.command()
@click.argument("code", required=False, shell_complete=_codes)
def command(code: str | None) -> None:
    """Tell what a cause is, how it is recognised, and what to do about it.

    CODE is what incidents carry as their cause, or a kind or a look-alike; without it, all codes are listed. A page
    has the sections What happens, How it is recognised, What is ruled out, Remedies and their risks, References.

    \b
    Exit status:
      0  the page, or the list, was printed
      2  no cause has that code

    \b
    Examples:
      lostsyn explain
      lostsyn explain snat-port-race
    """  # noqa: D301 - the backspaces keep click from joining the lines
    if code is None:
        for known in pages.CODES:
            click.echo(f"{known:24}{pages.page(known).splitlines()[0]}")
        return
    if code not in pages.CODES:
        raise UnusableInput(f"{code!r} is no cause; the causes are {', '.join(pages.CODES)}")
    click.echo(f"{code}\n\n{pages.page(code)}")
