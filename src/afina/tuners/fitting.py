"""What comes before `fit`: the model of a trial, and the arguments as they are at last."""

from __future__ import annotations

from typing import Any, Protocol

from afina import training
from afina.space import HyperParameters
from afina.tuners import half_batch
from afina.tuners.hypermodel import join_arguments
from afina.tuners.model_objective import note_of_directions
from afina.tuners.trial import Trial
from afina.tuners.trial_run import RunningTuner, continued


class BuildingTuner(RunningTuner, Protocol):
    """What building needs of a `Tuner`."""

    _from_scratch: dict[str, str]

    def _try_build(self, hp: HyperParameters) -> Any: ...


def built_for(
    tuner: BuildingTuner, trial: Trial, account: training.Account, kwargs: dict[str, Any]
) -> Any:
    """The model of a trial, in its parent's state if it is promoted.

    Args:
        tuner: Whose trial.
        trial: Its notes get the directions of the model's metrics.
        account: Gets the seconds.
        kwargs: Of `fit`. A promoted trial whose parent left no model trains all epochs.
    """
    with account.counted("build"), training.building():
        model = tuner._try_build(trial.hyperparameters)
    trial.notes.update(note_of_directions(model))
    orphan = trial.segment and trial.segment.parent in tuner._from_scratch
    if orphan and "initial_epoch" in kwargs:
        kwargs["initial_epoch"] = 0
    return model


def fit_arguments(
    tuner: RunningTuner,
    hp: HyperParameters,
    model: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    trial: Trial | None,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that `fit` gets: those of `search`, and what the hypermodel and the trial add.

    Args:
        tuner: Whose hypermodel.
        hp: Of the model.
        model: Built.
        args: Positional arguments of `search`.
        kwargs: Keyword arguments of `search`.
        trial: None for a training that belongs to no trial.

    Raises:
        FatalValueError: The model's loss needs targets, and there are none.
    """
    kwargs = join_arguments(kwargs, tuner.hypermodel.fit_arguments(hp))
    training.check_targets(model, args, kwargs)
    if trial is not None:
        args, kwargs = half_batch.applied(trial, args, kwargs)
        kwargs = continued(tuner, trial, model, kwargs)
    return args, training.without_progress_bar(model, args, kwargs)
