"""`afina completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete commands and options.

    \b
    Examples:
      afina completion bash >> ~/.bashrc
      afina completion zsh >> ~/.zshrc
      afina completion fish > ~/.config/fish/completions/afina.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = context.find_root().command
    click.echo(kind(root, {}, "afina", "_AFINA_COMPLETE").source())
