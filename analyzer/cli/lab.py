"""`lostsyn lab`: reproduce an incident on this machine's kernel."""

from __future__ import annotations

import inspect
from pathlib import Path

import click

from analyzer.lab.experiment import RECORDERS, conduct
from analyzer.lab.scenarios import SCENARIOS


def _tell(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        for name, scenario in SCENARIOS.items():
            click.echo(f"{name} ({scenario.rounds} rounds)")
            click.echo(
                click.wrap_text(inspect.cleandoc(scenario.provoke.__doc__ or ""), 90, "  ", "  ", True)
            )
            click.echo()
        context.exit()


@click.command()
@click.argument("scenario", type=click.Choice(sorted(SCENARIOS)))
@click.option(
    "-o",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the captures and the side evidence go.  [default: lab-SCENARIO]",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    help="How often the traffic is repeated.  [default: see --list]",
)
@click.option(
    "--recorder",
    type=click.Choice(RECORDERS),
    default="points",
    show_default=True,
    help="One file per point, or one of all interfaces (tcpdump -i any).",
)
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_tell, help="Describe the scenarios."
)
def command(scenario: str, directory: Path | None, rounds: int | None, recorder: str) -> None:
    """Reproduce an incident on this machine's kernel and capture it.

    Builds two pods, a bridge, MASQUERADE and a server in network namespaces, makes the traffic of SCENARIO,
    and removes them again. Needs root, iproute2, nftables, conntrack and tcpdump. What it leaves is a bundle
    for `lostsyn report`, and truth.json: what the kernel itself counted.

    \b
    Exit status:
      0  the bundle was written
      2  it could not be: a right or a program is missing, or the folder is not empty

    \b
    Examples:
      lostsyn lab --list
      lostsyn lab snat-race --rounds 200 -o lab-race
    """  # noqa: D301 - the backspaces keep click from joining the lines
    directory = directory or Path(f"lab-{scenario}")
    truth = conduct(scenario, directory, rounds=rounds, recorder=recorder)
    moved = [f"{name} +{value}" for name, value in truth["counters"].items() if value]
    click.echo(f"{directory}: kernel {truth['kernel']}, conntrack counters: {', '.join(moved) or 'unmoved'}")
