"""`afina import`: a search of Keras Tuner's or Optuna's becomes a project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from afina.migration import Imported

OUTPUT = click.option(
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of the new project. It must hold no search yet.",
)


@click.group("import")
def importing() -> None:
    """Turn a search of another package into a project.

    The project can be listed, advised on and reported. A new search learns from it with
    `learn_from=FOLDER`. The files of the other package stay as they are.
    """


@importing.command("keras-tuner")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, path_type=Path))
@OUTPUT
@click.option(
    "--objective",
    help="The objective, if the project does not show it: a metric such as val_accuracy; several, "
    "separated by commas. Add :min or :max if the name does not tell the direction.",
)
@click.option("--direction", type=click.Choice(["min", "max"]), help="Direction of --objective.")
def keras_tuner(folder: Path, output: Path, objective: str | None, direction: str | None) -> None:
    """Import the search that Keras Tuner has kept in DIR.

    DIR is a tuner's `directory/project_name`, which holds oracle.json.
    """
    from afina.migration import read_keras_tuner
    from afina.trials import Objective

    if direction is not None and objective is None:
        raise click.UsageError("--direction needs --objective.")
    given = Objective(objective, direction) if objective and direction else None
    if objective and given is None:
        from afina.tuners.from_names import objective_of

        given = objective_of(objective)
    _write(read_keras_tuner(folder, given), output)


@importing.command()
@click.argument("url")
@OUTPUT
@click.option("--study", help="Name of the study, if the storage holds several.")
def optuna(url: str, output: Path, study: str | None) -> None:
    """Import a study from the Optuna storage at URL, for instance sqlite:///study.db.

    Optuna must be installed.
    """
    from afina.migration import read_optuna

    _write(read_optuna(url, study), output)


def _write(found: Imported, output: Path) -> None:
    from afina.migration import write_project

    write_project(output, found.header, found.trials, found.reports)
    for sentence in found.skipped:
        click.echo(f"Left out: {sentence}", err=True)
    count = len(found.trials)
    click.echo(f"Written: {output}, with {count} finished trial{'s' * (count != 1)}.")
