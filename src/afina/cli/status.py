"""`afina status`: where a search stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from afina.cli.places import PLACE
from afina.errors import StoreError
from afina.store import TrialStore
from afina.trials import MultiObjective, Objective, Status, Trial
from afina.trials.objective import objective_described
from afina.trials.pareto import front_of
from afina.trials.text import json_text, printable

SURE = 1000
"""A step below is an epoch; of those beyond, some count something else."""


@click.command()
@click.argument("folder", type=PLACE)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def status(folder: Path | str, as_json: bool) -> None:
    """Say where the search in FOLDER stands: its trials, its best score, what is running.

    FOLDER is a tuner's `directory/project_name`, or the URL of a database with its
    "?project=name". The search may still be running.
    """
    found = _facts(folder)
    click.echo(json_text(found) if as_json else "\n".join(_lines(found)))


def _facts(folder: Path | str) -> dict[str, Any]:
    from afina.store import open_store
    from afina.store.places import name_of_search
    from afina.store.project import no_search

    store = open_store(folder)
    try:
        header = store.header()
        if header is None:
            raise StoreError(no_search(folder))
        goal = objective_described(header.objective)
        trials = store.trials()
        epochs = _epochs(store, trials, goal)
    finally:
        store.close()
    goals = goal.objectives if isinstance(goal, MultiObjective) else (goal,)
    counts = Counter(trial.status.value for trial in trials)
    return {
        "name": name_of_search(folder),
        "algorithm": header.algorithm,
        "seed": header.seed,
        "objectives": [{"name": each.name, "direction": each.direction} for each in goals],
        "trials": len(trials),
        "by_status": dict(sorted(counts.items())),
        "epochs": sum(epochs.values()),
        "seconds": round(sum(trial.seconds for trial in trials), 3),
        "running": [
            {"number": trial.number, "epochs": epochs[trial.number], "end_epoch": trial.end_epoch}
            for trial in trials
            if trial.status is Status.RUNNING
        ],
        "best": None if isinstance(goal, MultiObjective) else _best(trials),
        "front": _front(trials, goal) if isinstance(goal, MultiObjective) else None,
    }


def _epochs(store: TrialStore, trials: Sequence[Trial], goal: Objective) -> dict[int, int]:
    """How many epochs of each trial's last attempt have a value: as long as its curve.

    Args:
        store: Holds their reports.
        trials: All of the search.
        goal: Its objective.
    """
    fast = getattr(store, "last_reports", None)
    last: dict[tuple[int, int], tuple[int, bool]] = {}
    for report in () if fast is None else fast():
        known = last.get((report.trial, report.attempt), (0, False))[1]
        at = report.step, known or goal.has_value(report.metrics)
        last[report.trial, report.attempt] = at
    found = {}
    for trial in trials:
        step, whole = last.get((trial.number, trial.attempt), (-1, fast is not None))
        if whole and step < SURE:
            found[trial.number] = max(step + 1 - trial.start_epoch, 0)
        else:  # its last step says nothing about the goal, or is no epoch
            from afina.study.curves import Curves

            curves = Curves(goal)
            for report in store.history(trial.number):
                curves.add(report)
            found[trial.number] = len(curves.curve(trial))
    return found


def _best(trials: Sequence[Trial]) -> dict[str, Any] | None:
    scored = [trial for trial in trials if trial.status is Status.COMPLETED]
    if not scored:
        return None
    best = min(scored, key=lambda trial: (trial.loss or 0.0, trial.number))
    return {"number": best.number, "score": best.score, "values": dict(best.values)}


def _front(trials: Sequence[Trial], goal: MultiObjective) -> list[int]:
    known = [replace(trial, losses=goal.losses(trial.metrics)) for trial in trials]
    return [trial.number for trial in front_of(trial for trial in known if trial.losses)]


def _lines(found: dict[str, Any]) -> list[str]:
    goals = ", ".join(f"{each['name']} ({each['direction']})" for each in found["objectives"])
    counts = ", ".join(f"{count} {name}" for name, count in found["by_status"].items())
    lines = [
        f"{found['name']}: {found['algorithm']}, seed {found['seed']}, {goals}",
        f"{found['trials']} trials ({counts or 'none yet'}), {found['epochs']} epochs, "
        f"{found['seconds']:.1f} seconds of training",
    ]
    if (best := found["best"]) is not None:
        values = ", ".join(f"{name}={value}" for name, value in best["values"].items())
        lines.append(f"best: trial {best['number']} with {best['score']:.6g}: {values}")
    if found["front"] is not None:
        lines.append(f"Pareto front: trials {', '.join(map(str, found['front'])) or 'none'}")
    for each in found["running"]:
        of = f" of {each['end_epoch']}" if each["end_epoch"] else ""
        lines.append(f"running: trial {each['number']}, epoch {each['epochs']}{of}")
    return [printable(line) for line in lines]
