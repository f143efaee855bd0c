"""`afina doctor`: what is wrong with a project, and a repaired copy of it."""

from __future__ import annotations

from pathlib import Path

import click

from afina.cli.places import PLACE
from afina.trials.text import printable


@click.command()
@click.argument("folder", type=PLACE)
@click.option(
    "--repair",
    "output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write all that can be read as a new project into this folder.",
)
def doctor(folder: Path | str, output: Path | None) -> None:
    """Say what is wrong with the project in FOLDER.

    FOLDER is a tuner's `directory/project_name`, or "postgresql://user@host/database?project=name".
    Nothing in it is changed. The exit code is 1 if something is wrong.

    \b
    Examples:
      afina doctor my_dir/my_project
      afina doctor my_dir/my_project --repair my_dir/repaired
    """
    from afina.migration import diagnose, repair
    from afina.store.places import hide_password

    found = diagnose(folder) if output is None else repair(folder, output)
    for sentence in (*found.faults, *found.leftovers):
        click.echo(printable(sentence))
    trials = found.readable.trials
    count, open_ones = found.finished, len(trials) - found.finished
    unfinished = f" and {open_ones} unfinished" * bool(open_ones)
    click.echo(f"{count} finished{unfinished} trial{'s' * (len(trials) != 1)} can be read.")
    if output is not None:
        click.echo(f"Written: {output}. Continue with project_name={output.name!r}.")
    elif found.faults:
        click.echo(
            "Restore the project from a backup, or run: afina doctor "
            f"{hide_password(str(folder))} --repair NEW_FOLDER"
        )
        raise SystemExit(1)
    else:
        click.echo("The project is healthy.")
