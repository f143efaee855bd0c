"""`search_again`: the tuner of a second search, which knows the first one and its advice."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from afina.advice import Advice
from afina.errors import ArgumentError, NoTrialError, wrong
from afina.trials import Status, why_no_best
from afina.tuners.results import fully_trained


def prepared_again(
    tuner: Any,
    advice: Advice | None,
    fit_args: tuple[Any, ...],
    fit_kwargs: Mapping[str, Any],
    max_trials: int | None,
    project_name: str | None,
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The tuner of the second search, its project open, and what its `search` gets.

    Args:
        tuner: It has searched; it stays as it is.
        advice: See `BaseTuner.search_again`, as for all others.
        fit_args: For `search`; empty for those of the first.
        fit_kwargs: For `search`, beside those of the first.
        max_trials: None for as many as the first search had.
        project_name: None for its name with "-again".
    """
    args, kwargs = tuner._searched
    if not fit_args and not kwargs and not fit_kwargs and not args:
        rule = "needs the data, as search does, where this tuner has not searched itself"
        raise ArgumentError(wrong("search_again", rule, "none"))
    trials = tuner.oracle.search_state.trials.values()
    if advice is None and not any(trial.status is Status.COMPLETED for trial in trials):
        raise NoTrialError(f"search_again: {why_no_best(trials)}")
    found = tuner.advice() if advice is None else advice
    known = fully_trained(found.carry_over_all(trials))
    again = copy.copy(tuner)
    again.oracle = tuner.oracle.anew(found.whole_space(), known, max_trials)
    again.project_name = project_name or f"{tuner.project_name}-again"
    again._begin_anew()
    again._open_project()
    return again, fit_args or args, {**kwargs, **fit_kwargs}
