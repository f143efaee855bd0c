"""The rows that `afina best` and `afina trials` print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from afina.trials import MultiObjective, Trial, configurations
from afina.trials.objective import objective_described
from afina.trials.pareto import front_of

Row = dict[str, Any]


def completed_rows(rows: Sequence[Row], trials: Sequence[Trial], described: Any) -> list[Row]:
    """Adds what depends on all trials together.

    Each row gets the number of its configuration's first trial. With several objectives, `score`
    and `loss` are meaningless sums. Then `objectives` (name to value) and `front` (whether the
    trial is on the Pareto front) replace them.

    Args:
        rows: One row for each trial.
        trials: The trials, in the same order.
        described: The objective as in the store's header.
    """
    groups = configurations(trials)
    home = {part.number: each.parts[0].number for each in groups for part in each.parts}
    pairs = zip(rows, trials, strict=True)
    found = [{**row, "configuration": home[trial.number]} for row, trial in pairs]
    if isinstance(described, Mapping):
        return found
    whole = objective_described(described)
    assert isinstance(whole, MultiObjective)
    known = [replace(trial, losses=whole.losses(trial.metrics)) for trial in trials]
    front = {trial.number for trial in front_of(trial for trial in known if trial.losses)}
    for row, trial in zip(found, known, strict=True):
        del row["score"], row["loss"]
        losses = trial.losses or (None,) * len(whole.objectives)
        row["objectives"] = {
            part.name: None if loss is None else part.loss(loss)  # its own inverse
            for part, loss in zip(whole.objectives, losses, strict=True)
        }
        row["front"] = trial.number in front
    return found


def best_rows(rows: Sequence[Row], described: Any) -> list[Row]:
    """The configurations, best first; with several objectives, the front by the first objective.

    If several trials trained one model further and further, they are one configuration. Its row is
    that of its best trial, with the epochs and seconds of all, and their numbers as `parts`.
    """
    if not isinstance(described, Mapping):
        first = objective_described(described[0])
        front = [row for row in rows if row["front"]]
        return sorted(front, key=lambda r: (first.loss(r["objectives"][first.name]), r["number"]))
    groups: dict[int, list[Row]] = {}
    for each in rows:
        if each["loss"] is not None:
            groups.setdefault(each["configuration"], []).append(each)
    best = []
    for group in groups.values():
        if len(group) == 1:
            best += group
            continue
        one: Row = min(group, key=_rank)
        row = {**one}
        row["epochs"] = sum(part["epochs"] for part in group)
        row["seconds"] = round(sum(part["seconds"] for part in group), 3)
        row["parts"] = [part["number"] for part in group]
        best.append(row)
    return sorted(best, key=_rank)


def _rank(row: Row) -> tuple[float, int]:
    return row["loss"], row["number"]


def measured(row: Mapping[str, Any]) -> dict[str, float | None]:
    """The trial's results by column: its score, or its value in each objective."""
    found: dict[str, float | None] = row.get("objectives") or {"score": row.get("score")}
    return found
