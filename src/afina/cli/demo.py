"""`afina demo`: the case studies."""

from __future__ import annotations

from pathlib import Path

import click

from afina.backend import BACKENDS, NONE, is_installed

NAMES = ("reuters", "fashion-mnist")


@click.command()
@click.argument("name", type=click.Choice(NAMES))
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the search and its results.  [default: demo-output/NAME]",
)
@click.option(
    "--max-epochs",
    default=10,
    show_default=True,
    type=click.IntRange(min=1),
    help="Train each trial for at most this many epochs.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the search and the trainings.")
@click.option("--overwrite", is_flag=True, help="Start a new search instead of resuming.")
@click.option("--quiet", is_flag=True, help="Print only the result.")
@click.option(
    "--limit", type=click.IntRange(min=10), help="Use only this many data, for a quicker result."
)
def demo(
    name: str,
    output: Path | None,
    max_epochs: int,
    seed: int,
    overwrite: bool,
    quiet: bool,
    limit: int | None,
) -> None:
    """Run the case study NAME: search, train the final model, evaluate it.

    The data come from the folder in the environment variable AFINA_DATA, or from Keras's cache, or
    Keras downloads them. Without a network, the case study uses other data instead. If the search
    was interrupted, run the command again: it continues where it stopped.
    """
    if not any(map(is_installed, BACKENDS)):
        raise click.ClickException(NONE)
    from afina.demos.case import Options

    options = Options(
        output=output or Path("demo-output", name),
        max_epochs=max_epochs,
        seed=seed,
        overwrite=overwrite,
        quiet=quiet,
        limit=limit,
    )
    if name == "reuters":
        from afina.demos.reuters import run_reuters

        run_reuters(options)
    else:
        from afina.demos.fashion_mnist import run_fashion_mnist

        run_fashion_mnist(options)
