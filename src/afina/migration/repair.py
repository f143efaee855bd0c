"""What is wrong with a project, and a copy of all that can be read of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py  # type: ignore[import-untyped]  # it has no types

from afina.errors import AfinaError, StoreError
from afina.migration.project import write_project
from afina.store.places import hide_password, is_postgres
from afina.store.project import no_search
from afina.store.salvage import Readable, read_project
from afina.study.resume import read_space
from afina.trials import Status, Trial

CHECKPOINT = "checkpoint.weights.h5"
BUILD = "build_config.json"


@dataclass(frozen=True)
class Diagnosis:
    """What a look at a project has found."""

    readable: Readable
    """What can be read of it."""

    faults: Sequence[str]
    """A sentence for each thing that is wrong; empty for a healthy project."""

    leftovers: Sequence[str] = ()
    """A sentence for each thing that does no harm, such as half-written files."""

    @property
    def finished(self) -> int:
        """How many trials can be read that have finished."""
        return sum(trial.status.finished for trial in self.readable.trials)


def diagnose(folder: Path | str) -> Diagnosis:
    """Looks at every part of a project; changes nothing.

    Args:
        folder: `<directory>/<project_name>`, or the URL of a database.

    Raises:
        ProjectVersionError: Another version of Afina made it.
        StoreError: There is no project, or nothing of it can be read.
    """
    found = read_project(folder)
    if found.header is None and not found.trials:
        raise StoreError(no_search(folder))
    faults = list(found.faults)
    if found.header is None and not faults:
        faults.append("The search's header is missing.")
    if found.header is not None:
        try:
            read_space(found.header.space)
        except AfinaError:
            faults.append("The search space cannot be read.")
    if is_postgres(folder):  # the models are in the tuner's folder
        return Diagnosis(found, faults)
    place = Path(folder)
    faults += [*_broken_checkpoints(place), *_lost_checkpoints(place, found.trials)]
    parts = sorted(path.relative_to(place).as_posix() for path in place.rglob("*.part*"))
    left = [f"{name} was left half-written by a killed process." for name in parts]
    return Diagnosis(found, faults, left)


def _broken_checkpoints(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob(f"trial_*/{CHECKPOINT}")):
        try:
            with h5py.File(path, "r") as file:
                file.visit(lambda name: None)
        except (OSError, RuntimeError) as error:
            yield f"The model of {path.parent.name} cannot be read: {error!s:.120}."


def _lost_checkpoints(folder: Path, trials: Sequence[Trial]) -> Iterator[str]:
    """Names completed trials whose model is gone, where the project has models at all."""
    places = {
        int(path.name[len("trial_") :]): path
        for path in folder.glob("trial_*")
        if path.name[len("trial_") :].isdigit()
    }
    if not any((path / CHECKPOINT).exists() for path in places.values()):
        return
    lost = []
    for trial in trials:
        place = places.get(trial.number)
        # A search leaves the folder of a model that it no longer needs, and empties it.
        gone = place is None or ((place / BUILD).exists() and not (place / CHECKPOINT).exists())
        if trial.status is Status.COMPLETED and gone:
            lost.append(str(trial.number))
    if lost:
        some = "s" * (len(lost) != 1)
        yield f"The model{some} of trial{some} {', '.join(lost)} cannot be found."


def repair(folder: Path | str, output: Path | str) -> Diagnosis:
    """Writes what can be read of a project as a new project, which a tuner can continue.

    If trials are missing, the others move up, so that their numbers have no gap. Models are copied
    if they can be read. The damaged project stays as it is.

    Args:
        folder: The damaged project, a folder or the URL of a database.
        output: The new project's folder; it must hold no search yet.

    Returns:
        What was wrong.

    Raises:
        StoreError: Nothing can be repaired, because the search's header is lost; or `output`
            holds a search.
    """
    target = Path(output)
    found = diagnose(folder)
    header = found.readable.header
    if header is None:
        raise StoreError(
            "Without its header, the project cannot be continued: nothing says what it searched. "
            f"Its trials can still be written to a file: afina export {hide_password(str(folder))}"
        )
    numbers = {trial.number: place for place, trial in enumerate(found.readable.trials)}
    trials = _renumbered(found.readable.trials, numbers)
    reports = [
        replace(report, trial=numbers[report.trial])
        for report in found.readable.reports
        if report.trial in numbers
    ]
    write_project(target, header, trials, reports)
    if not is_postgres(folder):
        _copy_models(Path(folder), target, numbers)
    return found


def _renumbered(trials: Sequence[Trial], numbers: dict[int, int]) -> list[Trial]:
    ended = sorted(t.ended for t in trials if t.ended is not None)
    place = {old: new for new, old in enumerate(ended)}
    moved = []
    for trial in trials:
        number, schedule, notes = numbers[trial.number], trial.schedule, trial.notes
        if schedule is not None and schedule.parent is not None:
            schedule = replace(schedule, parent=numbers.get(schedule.parent))
        if number != trial.number:
            notes = {**notes, "repaired": f"was trial {trial.number}"}
        known = min(trial.known, len(ended))
        last = None if trial.ended is None else place[trial.ended]
        moved.append(
            replace(trial, number=number, schedule=schedule, notes=notes, known=known, ended=last)
        )
    return moved


def _copy_models(source: Path, target: Path, numbers: dict[int, int]) -> None:
    broken = {sentence.split()[3] for sentence in _broken_checkpoints(source)}
    for place in sorted(source.glob("trial_*")):
        digits = re.fullmatch(r"trial_(\d+)", place.name)
        number = numbers.get(int(digits[1])) if digits else None
        if number is None or digits is None or not place.is_dir():
            continue
        name = f"trial_{number:0{len(digits[1])}d}"
        whole = (place / CHECKPOINT).exists() and place.name not in broken
        skipped = ("*.part*",) if whole else (CHECKPOINT, BUILD, "*.part*")
        shutil.copytree(
            place, target / name, ignore=shutil.ignore_patterns(*skipped), dirs_exist_ok=True
        )
