"""`lostsyn explain`: the public pages."""

from __future__ import annotations

import click

from analyzer.cli.saying import close
from analyzer.errors import UnusableInput
from analyzer.incident import pages


def _codes(_context: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [code for code in pages.CODES if code.startswith(incomplete)]


@click.command()
@click.argument("code", required=False, shell_complete=_codes)
def command(code: str | None) -> None:
    """Explain a cause: what it is, how it is recognised, what to do about it.

    CODE is what incidents carry as their cause, a kind, a look-alike, or an incident's ID (its kind is explained then);
    without it, all codes are listed. The page of a cause has the sections What happens, How it is recognised, What is
    ruled out, Remedies and their risks, References.

    \b
    Exit status:
      0  the page, or the list, was printed
      2  nothing has that code

    \b
    Examples:
      lostsyn explain
      lostsyn explain snat-port-race
      lostsyn explain syn-vanished-1
    """  # noqa: D301 - the backspaces keep click from joining the lines
    if code is None:
        for known in pages.CODES:
            click.echo(f"{known:24}{pages.page(known).splitlines()[0]}")
        return
    kind, _, number = code.rpartition("-")
    known = kind if number.isdecimal() else code
    if known not in pages.CODES:
        near = close(known, pages.CODES) or f"the codes are {', '.join(pages.CODES)}"
        raise UnusableInput(f"{code!r} is neither a cause nor a kind; {near}")
    click.echo(f"{known}\n\n{pages.page(known)}")
    if known != code:
        click.echo(
            f"\nThe report says what caused {code}: `lostsyn explain CAUSE` has the page of that cause."
        )
