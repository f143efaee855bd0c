"""`afina mcp`: lets an assistant read a project."""

from __future__ import annotations

from pathlib import Path

import click

from afina.cli.places import PLACE


@click.command()
@click.argument("folder", type=PLACE)
def mcp(folder: Path | str) -> None:
    """Serve the search in FOLDER to an assistant, by the Model Context Protocol.

    The server talks over standard input and output, reads the project each time that it is asked,
    and changes nothing. It needs the package mcp: pip install 'afina[mcp]'.

    \b
    Example, as the command of a server in an assistant's settings:
      afina mcp my_dir/my_project
    """
    from afina.integrations.mcp import server_of

    server_of(folder).run()
