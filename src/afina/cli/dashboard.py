"""`afina dashboard`: a live page about a search."""

from __future__ import annotations

from pathlib import Path

import click

from afina.cli.places import PLACE


@click.command()
@click.argument("folder", type=PLACE)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="The port. Without it: 8642, or the next one."
)
@click.option(
    "--allow-actions",
    is_flag=True,
    help="Allow those who open the printed address to act: stop the search, end a trial, try a "
    "configuration, write a note.",
)
@click.option(
    "--token",
    envvar="AFINA_DASHBOARD_TOKEN",
    help="The token of the address. Without it, one is drawn where it is needed.",
)
@click.option("--open/--no-open", "show", default=False, help="Open the page in a browser.")
def dashboard(
    folder: Path | str,
    host: str,
    port: int | None,
    allow_actions: bool,
    token: str | None,
    show: bool,
) -> None:
    """Show the search in FOLDER as a live page.

    FOLDER is a tuner's `directory/project_name`, a folder that holds several of them, or the URL
    of a database with its "?project=name". The searches may run meanwhile. The page is for this
    machine alone, unless you give another --host: then it demands the token of the printed address.
    """
    from afina.dashboard import start_dashboard

    served = start_dashboard(folder, host=host, port=port, allow_actions=allow_actions, token=token)
    click.echo(f"Dashboard: {served.url}  (Ctrl-C ends it)")
    if show:
        click.launch(served.url)
    served.run()
