"""What every foreign search is read into, and how it becomes a project."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from afina.errors import StoreError, wrong
from afina.space import HyperParameters
from afina.store import Header, open_store
from afina.trials import Objective, Report, Trial


@dataclass(frozen=True, kw_only=True)
class Imported:
    """The finished part of a search by another package."""

    source: str
    """The package, as it stands in the project's header: "keras-tuner" or "optuna"."""

    objective: Objective
    hp: HyperParameters
    """The search space, as far as the source tells it."""

    trials: Sequence[Trial]
    """The finished trials, numbered from 0 in the order in which they started."""

    reports: Sequence[Report] = ()
    """The metrics of single epochs, where the source kept them."""

    seed: int = 0
    skipped: Sequence[str] = ()
    """A sentence for each thing that was left out."""

    @property
    def header(self) -> Header:
        """What identifies the search; no algorithm of ours goes on with it."""
        return Header(
            algorithm=f"imported from {self.source}",
            settings={},
            objective=self.objective.describe(),
            seed=self.seed,
            space=self.hp.get_config(),
        )


def write_project(
    folder: Path, header: Header, trials: Iterable[Trial], reports: Iterable[Report] = ()
) -> None:
    """Writes a new project.

    Args:
        folder: The project's folder, `<directory>/<project_name>`; it must hold no search yet.
        header: What identifies the search.
        trials: All trials, by number.
        reports: The metrics of single epochs.

    Raises:
        StoreError: There is a search in the folder already, or it cannot be written.
    """
    store = open_store(folder)
    try:
        if store.header() is not None:
            advice = "Give another --output."
            raise StoreError(wrong("output", "must hold no search yet", str(folder), advice))
        store.begin(header)
        for report in reports:
            store.report(report)
        for trial in trials:
            (store.finish if trial.status.finished else store.put)(trial)
    finally:
        store.close()


def in_order(trials: Sequence[Trial], ended: Sequence[int]) -> list[Trial]:
    """The trials with their places in the order of finishing.

    Args:
        trials: Finished, without a place.
        ended: Their numbers, in the order in which they ended; the others end last, by number.
    """
    there = {trial.number for trial in trials}
    order = dict.fromkeys([n for n in ended if n in there] + sorted(there))
    place = {number: at for at, number in enumerate(order)}
    return [replace(trial, ended=place[trial.number]) for trial in trials]
