"""Reads a project folder of Keras Tuner: `oracle.json` and `trial_*/trial.json`."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from afina.errors import AfinaError, ArgumentError, ObjectiveError, StoreError, wrong
from afina.migration.project import Imported, in_order
from afina.space import HyperParameters
from afina.trials import (
    Failure,
    FailureKind,
    MultiObjective,
    Objective,
    Report,
    Status,
    Trial,
    create_objective,
)
from afina.tuners.reserved_keys import PREFIX, split_schedule

_BROKEN = (ValueError, TypeError, KeyError, AttributeError, IndexError, OSError)

State = Mapping[str, Any]

SEVERAL = "multi_objective"
"""Keras Tuner's name for the sum of several objectives, of which those to maximize are negated."""

MOST_OBJECTIVES = 4
"""A search with more objectives needs `--objective`."""


def read_keras_tuner(folder: Path | str, objective: Any = None) -> Imported:
    """Reads the finished trials of a project that Keras Tuner has made; changes nothing.

    Keras Tuner does not keep the objective. It is the metric whose best value equals the score in
    every trial, if there is exactly one. Several objectives are the metrics whose sum is the score.

    Args:
        folder: `<directory>/<project_name>`, which holds `oracle.json`.
        objective: What a tuner takes as `objective=`, for projects that do not show it.

    Raises:
        StoreError: There is no such project, or it cannot be read.
        ObjectiveError: The objective is not clear.
    """
    place = Path(folder)
    oracle = _load(place / "oracle.json", place)
    try:
        hp = _space(oracle["hyperparameters"])
        order = list(oracle.get("start_order") or ())
        end_order = list(oracle.get("end_order") or ())
    except (AfinaError, *_BROKEN) as error:
        raise _unreadable(place / "oracle.json", error) from error
    states, skipped = _states(place, order)
    done = {"COMPLETED", "INVALID", "FAILED", "STOPPED"}
    unfinished = [name for name, state in states.items() if state["status"] not in done]
    if unfinished:
        count = f"{len(unfinished)} trial{'s' * (len(unfinished) != 1)} had not finished"
        skipped.append(f"{count}: {', '.join(unfinished)}.")
    finished = {name: each for name, each in states.items() if name not in unfinished}
    goal = _objective(list(finished.values()), objective)
    numbers = {name: number for number, name in enumerate(finished)}
    trials, reports = [], []
    for name, state in finished.items():
        try:
            trials.append(_trial(numbers, name, state, goal, hp))
            reports += _reports(numbers[name], state)
        except (AfinaError, *_BROKEN) as error:
            raise _unreadable(place / f"trial_{name}" / "trial.json", error) from error
    ended = [numbers[name] for name in end_order if name in numbers]
    seed = oracle.get("seed")
    return Imported(
        source="keras-tuner",
        objective=goal,
        hp=hp,
        trials=in_order(trials, ended),
        reports=reports,
        seed=seed if isinstance(seed, int) and seed >= 0 else 0,
        skipped=skipped,
    )


def _load(path: Path, folder: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        below = sorted(folder.glob("*/oracle.json"))
        advice = f"Did you mean {str(below[0].parent)!r}?" if below else ""
        rule = "must be a project of Keras Tuner, with a file oracle.json"
        raise StoreError(wrong("DIR", rule, str(folder), advice)) from None
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> StoreError:
    return StoreError(f"{str(path)!r} cannot be read as a file of Keras Tuner's: {error!r:.200}.")


def _space(config: State) -> HyperParameters:
    """The space without Hyperband's own entries."""
    entries = [each for each in config["space"] if not _is_reserved(each["config"]["name"])]
    values = {name: each for name, each in config["values"].items() if not _is_reserved(name)}
    return HyperParameters.from_config({"space": entries, "values": values})


def _is_reserved(name: str) -> bool:
    return name.startswith(PREFIX)


def _states(folder: Path, order: Sequence[str]) -> tuple[dict[str, State], list[str]]:
    """The states of all trials by id, in the order in which they started; and what is missing."""
    found: dict[str, State] = {}
    skipped: list[str] = []
    files = {path.parent.name[len("trial_") :]: path for path in folder.glob("trial_*/trial.json")}
    for name in dict.fromkeys([*order, *sorted(files)]):
        try:
            state = json.loads(files[name].read_text(encoding="utf-8"))
            found[name] = {**state, "status": str(state["status"])}
        except KeyError:
            skipped.append(f"Trial {name!r} has no trial.json.")
        except (OSError, ValueError) as error:
            skipped.append(f"Trial {name!r} cannot be read: {error!r:.120}.")
    return found, skipped


def _metrics(state: State) -> dict[str, Any]:
    found: dict[str, Any] = (state.get("metrics") or {}).get("metrics") or {}
    return found


def _value(observation: State) -> float:
    """The mean of an observation, which holds one value for each execution."""
    values = observation["value"]
    values = values if isinstance(values, list) else [values]
    return math.fsum(float(value) for value in values) / len(values)


def _objective(states: Sequence[State], given: Any) -> Objective:
    if given is not None:
        return create_objective(given)
    scored = [state for state in states if state["score"] is not None]
    rule = "must be given where the project does not show it"
    advice = 'Give --objective NAME, for instance --objective "val_loss", and --direction.'
    if not scored:
        raise ObjectiveError(wrong("objective", rule, "no completed trial", advice))
    fitting = [name for name in _metrics(scored[0]) if all(_fits(s, name) for s in scored)]
    if SEVERAL in fitting:
        parts = _several(scored)
        return MultiObjective(parts) if parts else create_objective(Objective(SEVERAL, "min"))
    if len(fitting) > 1:  # accuracy and val_accuracy rarely tie; a copy of a metric may
        fitting = [name for name in fitting if name.startswith("val_")] or fitting
    if len(fitting) != 1:
        got = f"{len(fitting)} metrics that equal the scores: {fitting}"
        raise ObjectiveError(wrong("objective", rule, got, advice))
    direction = _metrics(scored[0])[fitting[0]].get("direction")
    if direction not in ("min", "max"):
        return create_objective(fitting[0])
    return Objective(fitting[0], direction)


def _several(scored: Sequence[State]) -> Sequence[Objective]:
    """The objectives whose sum is the score in every trial; empty if that is not clear."""
    directions = {name: each.get("direction") for name, each in _metrics(scored[0]).items()}
    known = [n for n, way in directions.items() if n != SEVERAL and way in ("min", "max")]
    tables = [
        {
            name: _at(tracker, state.get("best_step") or 0)
            for name, tracker in _metrics(state).items()
        }
        for state in scored
    ]
    signed = [
        [
            math.nan
            if (value := table.get(name)) is None
            else value
            if directions[name] == "min"
            else -value
            for name in known
        ]
        for table in tables
    ]
    scores = [float(state["score"]) for state in scored]
    fitting = [
        chosen
        for count in range(2, min(len(known), MOST_OBJECTIVES) + 1)
        for chosen in itertools.combinations(range(len(known)), count)
        if all(
            math.isclose(math.fsum(row[n] for n in chosen), score, rel_tol=1e-6, abs_tol=1e-9)
            for row, score in zip(signed, scores, strict=True)
        )
    ]
    if len(fitting) != 1:
        return ()
    return [Objective(known[n], directions[known[n]]) for n in fitting[0]]


def _fits(state: State, name: str) -> bool:
    """Whether the trial's score is a value of this metric."""
    observations = _metrics(state).get(name, {}).get("observations") or ()
    return any(math.isclose(_value(each), float(state["score"])) for each in observations)


def _trial(
    numbers: Mapping[str, int], name: str, state: State, objective: Objective, hp: HyperParameters
) -> Trial:
    def number_of(trial_id: str) -> int:
        if trial_id not in numbers:
            raise ArgumentError(f"There is no trial {trial_id!r}.")
        return numbers[trial_id]

    given, schedule = split_schedule(state["hyperparameters"]["values"], number_of)
    given = {key: value for key, value in given.items() if not _is_reserved(key)}
    known = [entry.name for entry in hp.space]
    active = [
        key
        for key in given
        if key not in known
        or any(
            entry.name == key and all(c.is_active(given) for c in entry.conditions)
            for entry in hp.space
        )
    ]
    facts: dict[str, Any] = {
        "number": numbers[name],
        "values": {key: given[key] for key in active},
        "schedule": schedule,
        "notes": {"imported": f"Keras Tuner's trial {name}"},
    }
    score = state["score"]
    if state["status"] != "COMPLETED" or score is None or math.isnan(score):
        message = state.get("message") or f"Keras Tuner's status was {state['status']}."
        failure = Failure(FailureKind.ERROR, str(message))
        return Trial(**facts, status=Status.FAILED, failure=failure)
    step = state.get("best_step") or 0
    pairs = [(key, _at(tracker, step)) for key, tracker in _metrics(state).items()]
    metrics = {key: value for key, value in pairs if value is not None}
    if not isinstance(objective, MultiObjective):
        metrics.setdefault(objective.name, float(score))
    number = objective.get_value(metrics)
    return Trial(
        **facts,
        status=Status.COMPLETED,
        score=number,
        loss=objective.loss(number),
        best_step=int(step),
        metrics=metrics,
        losses=objective.losses(metrics),
    )


def _at(tracker: State, step: int) -> float | None:
    """A metric at the best step; the only value it has if that is of another step."""
    found = {each["step"]: _value(each) for each in tracker.get("observations") or ()}
    return found.get(step, next(iter(found.values()), None) if len(found) == 1 else None)


def _reports(number: int, state: State) -> list[Report]:
    """The epochs, where more of them than the best were kept."""
    steps: dict[int, dict[str, float]] = {}
    for name, tracker in _metrics(state).items():
        for each in tracker.get("observations") or ():
            steps.setdefault(int(each["step"]), {})[name] = _value(each)
    if len(steps) < 2:
        return []
    return [Report(trial=number, step=step, metrics=steps[step]) for step in sorted(steps)]
