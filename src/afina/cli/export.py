"""`afina export`: writes the trials of a search for other programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from afina.cli.places import PLACE
from afina.errors import ArgumentError, wrong
from afina.store.places import hide_password
from afina.trials import Trial


@click.command()
@click.argument("folder", type=PLACE)
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "csv", "parquet", "keras-tuner"]),
    default="json",
    show_default=True,
    help="json: a list of all trials. csv: a table with one row for each trial. parquet: the "
    "same table, for which pandas and pyarrow must be installed. keras-tuner: the "
    "files oracle.json, tuner0.json and trial_*/trial.json, which Keras Tuner 1.4 can open.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The file to write. Without it, the trials are printed. For keras-tuner: the folder to "
    "write to. Without it, FOLDER itself.",
)
def export(folder: Path | str, form: str, output: Path | None) -> None:
    """Write the trials of the search in FOLDER for other programs.

    FOLDER is a tuner's `directory/project_name`, or the URL of a database with its
    "?project=name". The search may still be running.

    \b
    Examples:
      afina export my_dir/my_project --format csv --output trials.csv
      afina export my_dir/my_project --format keras-tuner
    """
    try:
        if form == "keras-tuner":
            if isinstance(folder, str):
                rule = "must be a folder for this format"
                raise ArgumentError(wrong("FOLDER", rule, hide_password(folder)))
            from afina.tuners.exported import export_keras_tuner

            click.echo(f"Written: {export_keras_tuner(folder, output)}")
            return
        from afina.report import read_facts
        from afina.trials.records import as_csv, as_json, record_of

        trials = read_facts(folder).trials
        if form == "parquet":
            click.echo(f"Written: {_write_parquet(trials, output)}")
            return
        text = (as_csv if form == "csv" else as_json)([record_of(trial) for trial in trials])
        if output is None:
            click.echo(text, nl=False)
            return
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8", newline="")
        click.echo(f"Written: {output}")
    except OSError as error:
        raise click.ClickException(
            f"output: must be writable, but got {str(output or folder)!r} ({error.strerror}). "
            "Give another --output."
        ) from error


def _write_parquet(trials: Sequence[Trial], output: Path | None) -> Path:
    from afina.trials.records import as_frame

    if output is None:
        rule = "must be given for parquet, which is no text"
        raise ArgumentError(wrong("output", rule, None, "Give --output trials.parquet."))
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        as_frame(trials).to_parquet(output)
    except ImportError:
        raise ArgumentError("Parquet needs pyarrow: pip install pyarrow") from None
    return output
