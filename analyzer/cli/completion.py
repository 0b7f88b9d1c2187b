"""`lostsyn completion`: the lines that make a shell complete commands, options and causes."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "fish", "zsh")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    Once loaded, the Tab key completes commands, options, what these choose from, files, and the causes of
    'lostsyn explain'. The script asks lostsyn itself, so it stays right when lostsyn changes.

    \b
    Exit status:
      0  the script was printed
      2  no such shell

    \b
    Examples:
      eval "$(lostsyn completion bash)"     # in ~/.bashrc, bash 4.4 or later
      eval "$(lostsyn completion zsh)"      # in ~/.zshrc, after compinit
      lostsyn completion fish > ~/.config/fish/completions/lostsyn.fish
    """  # noqa: D301 - the backspaces keep click from joining the lines
    root = context.find_root()
    made = get_completion_class(shell)
    assert made is not None
    script = made(root.command, {}, "lostsyn", "_LOSTSYN_COMPLETE")
    # Not `script.source()`: for bash it starts a bash to ask for its version.
    click.echo(script.source_template % script.source_vars())
