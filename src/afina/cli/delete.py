"""`afina delete`: deletes a search, in a folder or in a database."""

from __future__ import annotations

from pathlib import Path

import click

from afina.cli.places import PLACE


@click.command()
@click.argument("folder", type=PLACE)
@click.option("--yes", is_flag=True, help="Delete without asking.")
def delete(folder: Path | str, yes: bool) -> None:
    """Delete the search in FOLDER, with all its trials.

    FOLDER is a tuner's `directory/project_name`, which is deleted with its models; or a database's
    URL, "postgresql://user@host/database?project=name", of which the search is deleted alone: its
    models are in the tuner's folder. A search on which another process works is left as it is.

    \b
    Examples:
      afina delete my_dir/my_project
      afina delete "postgresql://me@host/tuning?project=digits" --yes
    """
    from afina.errors import StoreError
    from afina.store import open_store
    from afina.store.places import hide_password
    from afina.store.project import delete_search

    store, shown = open_store(folder), hide_password(str(folder))
    if store.header() is None:
        raise StoreError(f"There is no search in {shown}. Nothing was deleted.")
    count = sum(trial.status.finished for trial in store.trials())
    if not yes:
        click.confirm(f"Delete the search in {shown} with {count} finished trials?", abort=True)
    delete_search(store)
    click.echo(f"Deleted: {shown}")
