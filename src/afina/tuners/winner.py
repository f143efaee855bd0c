"""After the search: the final model, what it is worth, and whether the winner deserved to win.

These are methods of `Tuner`, kept in a room of their own.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from afina import training
from afina.advice.judgement import Comparison, Contender, Judgement, compare, judge
from afina.advice.learning import Learning, read_learning
from afina.errors import ArgumentError, NoTrialError, wrong
from afina.trials import Trial, why_no_best
from afina.tuners.overrides import is_overridden
from afina.tuners.results import read_result

if TYPE_CHECKING:
    from afina.tuners.tuner import Tuner


@dataclass(frozen=True, kw_only=True)
class Final:
    """A final model and how it was trained."""

    model: Any
    """Trained, with its optimizer."""

    values: Mapping[str, Any]
    """Its hyperparameters."""

    epochs: int
    """How many it was trained."""

    history: Mapping[str, Sequence[float]]
    """Each metric after each epoch."""

    score: float | None
    """The search's objective at its best epoch; None where the training did not measure it."""

    learning: Learning
    """What the curves say."""

    def __str__(self) -> str:
        return str(self.learning)


def retrain_best(
    tuner: Tuner,
    x: Any,
    y: Any = None,
    *,
    validation_data: Any = None,
    validation_split: float = 0.0,
    on_all: bool = False,
    epochs: int | None = None,
    rank: int = 0,
    seed: int | None = None,
    **fit_kwargs: Any,
) -> Final:
    """Trains the final model anew with the best hyperparameters.

    Args:
        tuner: Whose search is over.
        x: Training data.
        y: Their targets.
        validation_data: As for `fit`: to draw curves, not to choose by.
        validation_split: As for `fit`.
        on_all: Trains on training and validation data together, for the epochs that were best
            apart; then there are no validation curves. With `validation_data`, which must be
            arrays as x and y are, or with `validation_split`, which is then not split off.
        epochs: None takes as many as were best in the search.
        rank: 0 for the best configuration, 1 for the second.
        seed: Of the training; None takes the search's.
        fit_kwargs: Passed to `fit`.

    Returns:
        The model with its curves; `evaluate_best` judges it.

    Raises:
        ArgumentError: There is no such completed trial, or nothing to train on all of.
    """
    trial = _ranked(tuner, rank)
    if epochs is None:
        epochs = best_epochs(trial)
    data = dict(fit_kwargs, validation_data=validation_data, validation_split=validation_split)
    if on_all:
        x, y = _together(x, y, validation_data, validation_split)
        data.update(validation_data=None, validation_split=0.0)
    final = _train(tuner, trial, (x, y), data, epochs, tuner.oracle.seed if seed is None else seed)
    tuner._final = final
    return final


def evaluate_best(
    tuner: Tuner,
    x_test: Any,
    y_test: Any = None,
    *,
    model: Any = None,
    class_names: Sequence[str] | None = None,
    baselines: Mapping[str, float] | None = None,
    batch_size: int = 256,
) -> Judgement:
    """Judges the final model on data that played no part in choosing it.

    Args:
        tuner: Whose search is over.
        x_test: Test data.
        y_test: Their targets; class numbers or one-hot rows for a table of the classes.
        model: What to judge; None takes the model of the last `retrain_best`, else the best
            trial's own.
        class_names: For the table.
        baselines: The metric of whatever else you know, by name. The score of the default
            configuration is added if the search tried it.
        batch_size: Of the evaluation.

    Returns:
        Facts; printed, sentences.
    """
    final: Final | None = tuner._final if model is None else None
    if model is None:
        model = final.model if final is not None else tuner.get_best_models()[0]
    found = model.evaluate(x_test, y_test, batch_size=batch_size, verbose=0, return_dict=True)
    true = predicted = None
    if y_test is not None:
        outputs = model.predict(x_test, batch_size=batch_size, verbose=0)
        true, predicted = _classes(np.asarray(y_test), outputs)
    default = _default_score(tuner)
    known = {} if default is None else {"the default configuration in the search": default}
    tuner._judgement = judge(
        {name: float(value) for name, value in found.items()},
        tuner.oracle.objective,
        searched=_ranked(tuner, 0).score,
        learning=None if final is None else final.learning,
        true=true,
        predicted=predicted,
        class_names=class_names,
        baselines={**known, **(baselines or {})},
    )
    return tuner._judgement


def compare_best(
    tuner: Tuner, x: Any, y: Any = None, *, count: int = 3, seeds: int = 3, **fit_kwargs: Any
) -> Comparison:
    """Trains the best configurations anew with several seeds: is the first really the best?

    Args:
        tuner: Whose search is over.
        x: Training data.
        y: Their targets.
        count: How many configurations.
        seeds: How often each is trained.
        fit_kwargs: Passed to `fit`; validation data must be among them, as in the search.

    Raises:
        ArgumentError: A number is below 1, or the trainings do not measure the objective.
    """
    for name, number in (("count", count), ("seeds", seeds)):
        if number < 1:
            raise ArgumentError(wrong(name, "must be at least 1", number))
    fit_kwargs.pop("epochs", None)
    contenders: list[Contender] = []
    met: list[Mapping[str, Any]] = []
    for trial in tuner.oracle.study.best_trials(len(tuner.oracle.trials)):
        if len(contenders) == count:
            break
        if any(trial.values == other for other in met):  # a promotion of one that is there already
            continue
        met.append(trial.values)
        epochs = best_epochs(trial)
        base = int(tuner.oracle.seed or 0)
        finals = [_train(tuner, trial, (x, y), fit_kwargs, epochs, base + n) for n in range(seeds)]
        scores = tuple(final.score for final in finals if final.score is not None)
        if not scores:
            rule = f"must lead to {tuner.oracle.objective.name}, with validation data as in search"
            raise ArgumentError(wrong("compare_best", rule, sorted(fit_kwargs)))
        contenders.append(Contender(values=trial.values, scores=scores, number=trial.number))
    if not contenders:
        _ranked(tuner, 0)
    return compare(contenders, tuner.oracle.objective)


def best_epochs(trial: Trial) -> int:
    """Epochs that the trial's model had been trained when it was best, those of the trials that it
    goes on from included."""
    numbers = [(loss, place) for place, loss in enumerate(trial.curve) if not math.isnan(loss)]
    if numbers:
        return trial.start_epoch + min(numbers)[1] + 1
    return 1 + (trial.best_step or 0)


def _ranked(tuner: Tuner, rank: int) -> Trial:
    best = tuner.oracle.study.best_trials(rank + 1)
    if len(best) <= rank:
        if not best:
            raise NoTrialError(f"rank: {why_no_best(tuner.oracle.study.trials.values())}")
        rule = f"must be below the number of completed trials ({len(best)})"
        raise NoTrialError(wrong("rank", rule, rank))
    return best[rank]


def _train(
    tuner: Tuner,
    trial: Trial,
    data: tuple[Any, Any],
    fit_kwargs: Mapping[str, Any],
    epochs: int,
    seed: int | None,
) -> Final:
    face = tuner.oracle.trials[tuner.oracle.id_of(trial.number)]
    hp = face.hyperparameters.copy()
    hp.values = dict(trial.values)
    kwargs = dict(fit_kwargs)
    if kwargs.get("validation_data") is None:
        kwargs.pop("validation_data", None)
    if not kwargs.get("validation_split"):
        kwargs.pop("validation_split", None)
    kwargs.update(_for_own_fit(tuner.hypermodel, epochs, kwargs))
    account = training.Account()
    with training.seeded(training.trial_seed(seed or 0, 0, 0)):
        with training.building():
            model = tuner._try_build(hp)
        args = data if data[1] is not None else data[:1]
        result = tuner._fit(hp, model, args, kwargs, account)
    history = getattr(result, "history", {}) or {}
    objective = tuner.oracle.objective
    known = bool(history) and any(name in history for name in objective.names)
    return Final(
        model=model,
        values=dict(trial.values),
        epochs=epochs,
        history=history,
        score=_score(result, objective) if known else None,
        learning=read_learning(history, objective.name),
    )


def _for_own_fit(hypermodel: Any, epochs: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a training gets beside the user's arguments. A `fit` of the user's gets callbacks as in
    a search, and the epochs only if it takes any."""
    if not is_overridden(hypermodel, "fit"):
        return {"epochs": epochs}
    silent = training.EpochReporter(lambda *epoch: None)  # Keras draws no bar beside it
    callbacks = {"callbacks": [*keras.tree.flatten(given.get("callbacks") or []), silent]}
    known = inspect.signature(hypermodel.fit).parameters.values()
    takes_epochs = any(p.name == "epochs" or p.kind is p.VAR_KEYWORD for p in known)
    return {**callbacks, "epochs": epochs} if takes_epochs else callbacks


def _score(result: Any, objective: Any) -> float:
    return float(objective.get_value(read_result(result, objective, "fit").metrics))


def _together(x: Any, y: Any, validation_data: Any, split: float) -> tuple[Any, Any]:
    if validation_data is None:
        if split:
            return x, y
        raise ArgumentError(
            "on_all=True: needs validation_data or validation_split, but got neither. Without "
            "them x and y are all there is."
        )
    if len(validation_data) < 2 or y is None:
        rule = "must be (x, y) arrays as the training data are, to be trained on"
        raise ArgumentError(wrong("validation_data", rule, type(validation_data).__name__))

    def joined(ours: Any, theirs: Any) -> Any:
        return np.concatenate([np.asarray(ours), np.asarray(theirs)])

    return keras.tree.map_structure(joined, x, validation_data[0]), keras.tree.map_structure(
        joined, y, validation_data[1]
    )


def _classes(targets: Any, outputs: Any) -> tuple[Any, Any]:
    """(n,) true and predicted classes; None where it is no classifier of single answers."""
    if isinstance(outputs, Mapping | list | tuple) or np.ndim(outputs) != 2:
        return None, None
    count = outputs.shape[1]
    if targets.shape == outputs.shape and count > 1:
        rows = targets.sum(axis=1)
        if not np.allclose(rows, 1) or not np.isin(targets, (0, 1)).all():
            return None, None
        return targets.argmax(axis=1), outputs.argmax(axis=1)
    flat = targets.reshape(len(targets), -1)
    if flat.shape[1] != 1 or not np.allclose(flat, np.round(flat)) or flat.min(initial=0) < 0:
        return None, None
    true = flat[:, 0].astype(np.int64)
    if count > 1:
        return (true, outputs.argmax(axis=1)) if true.max(initial=0) < count else (None, None)
    if true.max(initial=0) > 1:
        return None, None
    return true, (outputs[:, 0] > 0.5).astype(np.int64)


def _default_score(tuner: Tuner) -> float | None:
    defaults = tuner.oracle.study.space.defaults()
    tried = [
        trial
        for trial in tuner.oracle.study.best_trials(len(tuner.oracle.trials))
        if trial.values == defaults
    ]
    return tried[0].score if tried else None
