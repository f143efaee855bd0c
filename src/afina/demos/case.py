"""The steps of both case studies: search, choose the epochs, train, evaluate, save."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from afina.advice.classification import (
    ClassScore,
    accuracy,
    class_scores,
    confusion_matrix,
    mean_f1,
    write_scores,
)
from afina.advice.learning import read_learning
from afina.demos.data import SOURCES
from afina.demos.plots import check_plotting, plot_confusion, plot_curves
from afina.errors import ArgumentError, wrong
from afina.store import open_store
from afina.tuners import Hyperband

Data = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Inputs and one-hot targets; a row for each example."""


SEARCH_PATIENCE, CURVE_PATIENCE = 3, 5
"""A training ends after this many epochs without a lower validation loss: in the search, and in
the final training, whose curves also show some epochs after the best one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a case study."""

    output: Path
    """The folder for all results; created if it does not exist."""

    max_epochs: int = 10
    """The most epochs of one trial of the search."""

    seed: int = 0
    """The seed of the search and the trainings."""

    overwrite: bool = False
    """Whether to start a new search instead of resuming the one in `output`."""

    quiet: bool = False
    """Whether to print only the result."""

    limit: int | None = None
    """Use only this many rows of each part of the data, to try things out."""

    sources: Sequence[str] = SOURCES
    """Which sources the data may come from; see `afina.demos.data`."""

    def __post_init__(self) -> None:
        if self.max_epochs < 1:
            raise ArgumentError(wrong("max_epochs", "must be at least 1", self.max_epochs))
        if self.limit is not None and self.limit < 10:
            raise ArgumentError(wrong("limit", "must be at least 10", self.limit))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What differs between the case studies."""

    name: str
    """The name in the command."""

    source: str
    """Where the data come from, in words."""

    stand_in: bool
    """Whether these are other data instead of the real ones."""

    build: Callable[[Any], Any]
    """`build(hp)` returns the compiled model."""

    train: Data
    validation: Data
    test: Data
    classes: tuple[str, ...]
    batch_size: int

    show: Callable[[Console, NDArray[np.int64]], None]
    """Prints some of the test data with their predicted classes."""


def run_case(case: Case, options: Options) -> dict[str, Any]:
    """Runs a case study, and returns the content of `result.json`.

    Raises:
        ArgumentError: matplotlib is not installed.
        ProjectMismatchError: `output` contains a search with other options.
    """
    check_plotting()
    began = time.perf_counter()
    options.output.mkdir(parents=True, exist_ok=True)
    console = Console(quiet=options.quiet, highlight=False)
    _announce(case)
    console.print(
        f"[bold]{case.name}[/]: {len(case.train[0])} examples for training, "
        f"{len(case.validation[0])} for validation, {len(case.test[0])} for testing, "
        f"{len(case.classes)} classes\nData: {case.source}"
    )
    tuner = search(case, options)
    [best] = tuner.get_best_hyperparameters(1)
    [winner] = tuner.oracle.search_state.best_trials(1)
    values = dict(winner.values)
    console.print(f"Best hyperparameters: {_spelled(values)}")

    model, history, epochs = train_final(case, best, options)
    predicted = np.argmax(model.predict(case.test[0], batch_size=512, verbose=0), axis=1)
    scores, share = evaluate(case, predicted, history, epochs, options.output)
    model.save(options.output / "model.keras")
    sentence = str(read_learning(history, "val_accuracy", epoch=epochs))
    console.print(_table(scores))
    case.show(console, predicted)

    trials, epochs_trained = _count(tuner.project_dir)
    result = {
        "case": case.name,
        "data": case.source,
        "stand_in": case.stand_in,
        "best_values": values,
        "objective": "val_accuracy",
        "score": winner.score,
        "test_accuracy": share,
        "test_mean_f1": mean_f1(scores),
        "overfitting": sentence,
        "trials": trials,
        "epochs_trained": epochs_trained,
        "final_epochs": epochs,
        "max_epochs": options.max_epochs,
        "seed": options.seed,
        "seconds": round(time.perf_counter() - began, 1),
    }
    text = json.dumps(result, indent=2, ensure_ascii=False)
    (options.output / "result.json").write_text(text + "\n", encoding="utf-8")
    _conclude(result, options.output)
    return result


def search(case: Case, options: Options) -> Hyperband:
    """Searches with Hyperband; resumes an earlier search with the same options."""
    import keras

    tuner = Hyperband(
        case.build,
        objective="val_accuracy",
        max_epochs=options.max_epochs,
        factor=3,
        seed=options.seed,
        directory=options.output,
        # A search on other data is another search.
        project_name="search-on-stand-in" if case.stand_in else "search",
        overwrite=options.overwrite,
    )
    quiet = {"verbose": 0} if options.quiet else {}
    tuner.search(
        *case.train,
        validation_data=case.validation,
        epochs=options.max_epochs,
        batch_size=case.batch_size,
        callbacks=[keras.callbacks.EarlyStopping(monitor="val_loss", patience=SEARCH_PATIENCE)],
        **quiet,
    )
    return tuner


def train_final(case: Case, best: Any, options: Options) -> tuple[Any, dict[str, list[float]], int]:
    """Trains the best network beyond its best epoch, then a new one just up to that epoch.

    After the epoch with the lowest validation loss, validation accuracy only fluctuates: a longer
    training would choose an epoch by luck.

    Returns:
        The final model, the curves of the long training, and the chosen number of epochs.
    """
    import keras

    def trained(epochs: int, *callbacks: Any) -> tuple[Any, dict[str, list[float]]]:
        keras.utils.set_random_seed(options.seed)
        model = case.build(best)
        history = model.fit(
            *case.train,
            validation_data=case.validation,
            epochs=epochs,
            batch_size=case.batch_size,
            callbacks=list(callbacks),
            verbose=0,
        )
        return model, history.history

    patience = keras.callbacks.EarlyStopping(monitor="val_loss", patience=CURVE_PATIENCE)
    _, history = trained(2 * options.max_epochs, patience)
    epochs = read_learning(history, "val_accuracy").best_epoch
    model, _ = trained(epochs)
    return model, history, epochs


def evaluate(
    case: Case,
    predicted: NDArray[np.int64],
    history: dict[str, list[float]],
    epochs: int,
    output: Path,
) -> tuple[list[ClassScore], float]:
    """Writes the scores and the pictures; returns the scores and the accuracy."""
    true = np.argmax(case.test[1], axis=1)
    confusion = confusion_matrix(true, predicted, len(case.classes))
    scores = class_scores(confusion, case.classes)
    share = accuracy(true, predicted)
    write_scores(scores, output / "classes.csv")
    plot_curves(history, epochs, f"{case.name}: test accuracy {share:.1%}", output / "curves.png")
    plot_confusion(
        confusion, case.classes, f"{case.name}: confusion matrix", output / "confusion.png"
    )
    return scores, share


def _announce(case: Case) -> None:
    """Warns that the results are not those of the real data, even when quiet."""
    if case.stand_in:
        Console(stderr=True).print(
            Panel(
                f"[bold]STAND-IN DATA[/]: the data of {case.name} are not in the folder of "
                "AFINA_DATA or in Keras's cache, and cannot be downloaded. This run uses: "
                f"{case.source}. The results below are NOT those of the case study.",
                border_style="bold red",
            )
        )


def _conclude(result: dict[str, Any], output: Path) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"Test accuracy [bold]{result['test_accuracy']:.4f}[/], "
        f"mean F1 over the classes {result['test_mean_f1']:.4f}"
        + (" [bold red](stand-in data)[/]" if result["stand_in"] else "")
    )
    console.print(result["overfitting"])
    console.print(
        f"{result['trials']} trials, {result['epochs_trained']} epochs of search, "
        f"{result['seconds']:.0f} s in all. Everything is in {output}:"
    )
    for file in ("result.json", "curves.png", "confusion.png", "classes.csv", "model.keras"):
        console.print(f"  {output / file}")


def _table(scores: Sequence[ClassScore]) -> Table:
    table = Table(title="On the test data", title_justify="left")
    table.add_column("class")
    for heading in ("precision", "recall", "F1", "count"):
        table.add_column(heading, justify="right")
    for s in scores:
        table.add_row(s.name, f"{s.precision:.2f}", f"{s.recall:.2f}", f"{s.f1:.2f}", f"{s.count}")
    return table


def _count(project: str) -> tuple[int, int]:
    """The number of trials of a search, and of their epochs."""
    store = open_store(project)
    try:
        trials = store.trials()
        return len(trials), sum(len(store.history(trial.number)) for trial in trials)
    finally:
        store.close()


def _spelled(values: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} = {value:.4g}" if isinstance(value, float) else f"{name} = {value}"
        for name, value in values.items()
    )
