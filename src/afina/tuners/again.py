"""What a finished search has taught, and the search after it. Methods of every tuner."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afina import report as reports
from afina.advice import Advice
from afina.advice import advice as advise
from afina.advice.resize import Limits
from afina.errors import ArgumentError, NoTrialError, wrong
from afina.store import open_store
from afina.study import front_of
from afina.trials import Status, Trial, why_no_best
from afina.tuners.best_first import best_first

if TYPE_CHECKING:
    from afina.tuners.base_tuner import BaseTuner


def advice(tuner: BaseTuner, *, limits: Mapping[str, Limits] | None = None) -> Advice:
    """Says which hyperparameters matter, and what to search next.

    Args:
        tuner: Whose trials teach.
        limits: The least and largest value that a hyperparameter may ever have, by name.

    Returns:
        Facts; printed, sentences. `search_again` takes them.
    """
    study = tuner.oracle.study
    trials = study.trials.values()
    return advise(trials, study.space, objective=study.objective, limits=limits, seed=study.seed)


def get_pareto_front(tuner: BaseTuner) -> list[Any]:
    """The completed trials that no other one beats in every objective, by number.

    Args:
        tuner: Whose trials; the front is of its single objectives, whatever its score is.

    Returns:
        Trials as `oracle.get_best_trials` gives them; their `metrics` hold the objectives.
    """
    trials = tuner.oracle.study.trials.values()
    front = [tuner.oracle.trials[tuner.oracle.id_of(trial.number)] for trial in front_of(trials)]
    return best_first(front, len(front) + 1, "get_pareto_front", trials)


def report(tuner: BaseTuner, file: str | Path = "report.html") -> Path:
    """Writes the report of the search: one HTML file that needs nothing else.

    Args:
        tuner: Whose search.
        file: Where to; its folder is made if need be.

    Returns:
        The file. The final model is in it where `evaluate_best` has judged it.

    Raises:
        ArgumentError: Plotly is not installed.
    """
    study = tuner.oracle.study
    study.begin()
    verdict = getattr(tuner, "_judgement", None)
    facts = reports.facts_of(study.store, tuner.project_name, judgement=verdict)
    return reports.write_report(facts, file, seed=study.seed)


def search_again(
    tuner: BaseTuner,
    advice: Advice | None = None,
    *fit_args: Any,
    max_trials: int | None = None,
    project_name: str | None = None,
    **fit_kwargs: Any,
) -> Any:
    """Searches anew in the advised space, knowing what the trials of this search taught.

    Args:
        tuner: Whose search is over.
        advice: None takes `tuner.advice()`.
        fit_args: As for `search`; without any, those of the last `search`.
        max_trials: Of the new search; None takes as many as this one had.
        project_name: Of the new search; None adds "-again" to this one's.
        fit_kwargs: As for `search`, instead of or beside those of the last one.

    Returns:
        A tuner of the same kind with the new search done; this one stays as it is.

    Raises:
        ArgumentError: There is nothing to train with.
        NoTrialError: There is no completed trial to learn from.
    """
    args, kwargs = tuner._searched
    if not fit_args and not kwargs and not fit_kwargs and not args:
        rule = "needs the data, as search does, where this tuner has not searched itself"
        raise ArgumentError(wrong("search_again", rule, "none"))
    trials = tuner.oracle.study.trials.values()
    if advice is None and not any(trial.status is Status.COMPLETED for trial in trials):
        raise NoTrialError(f"search_again: {why_no_best(trials)}")
    found = tuner.advice() if advice is None else advice
    again = copy.copy(tuner)
    again._forget_search()
    again.project_name = project_name or f"{tuner.project_name}-again"
    known = tuple(_whole(found.carry_over(tuner.oracle.study.trials.values())))
    oracle = again.oracle = tuner.oracle.anew(found.next_space(), known, max_trials)
    oracle._set_project_dir(again.directory, again.project_name)
    oracle.open(open_store(Path(again.project_dir)))
    again.search(*(fit_args or args), **{**kwargs, **fit_kwargs})
    return again


def _whole(trials: list[Trial]) -> list[Trial]:
    """Those that were trained to the most epochs, without their place in the old plan."""
    longest = max((trial.end_epoch or 0 for trial in trials), default=0)
    return [replace(trial, schedule=None) for trial in trials if trial.end_epoch in (None, longest)]
