"""After the search: the final model, what it is worth, and whether the winner deserved to win."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from afina import training
from afina.advice.judgement import (
    Beside,
    Comparison,
    Contender,
    Judgement,
    ValidationScore,
    compare,
    judge,
)
from afina.advice.learning import Learning, read_learning
from afina.advice.spread import Measure, correct, error_of, error_of_share, measure_of
from afina.errors import ArgumentError, NoTrialError, wrong
from afina.space import HyperParameters
from afina.space.priors import Role
from afina.space.roles import role_of
from afina.study import SearchState
from afina.trials import Trial, why_no_best
from afina.tuners.overrides import is_overridden
from afina.tuners.results import read_result

DEFAULT = "the default configuration"


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
    """The search's objective at its best epoch; None if the training did not measure it."""

    learning: Learning
    """What the curves say."""

    def __str__(self) -> str:
        return str(self.learning)


@dataclass(frozen=True, kw_only=True)
class Winner:
    """Trains, judges and compares the best configurations of a finished search.

    `Tuner.retrain_best`, `evaluate_best` and `compare_best` explain the arguments.
    """

    state: SearchState
    """The search."""

    hypermodel: Any
    """Whose `fit` trains, where the user has overridden it."""

    build: Callable[[HyperParameters], Any]
    """Builds the model of a configuration."""

    fit: Callable[..., Any]
    """Trains it: `fit(hp, model, args, kwargs, account)`."""

    seed: int
    """Seeds trainings for which no other seed is given."""

    load: Callable[[Trial], Any] = lambda trial: None
    """Loads the model of a trial; None if it is not kept."""

    validated: int | None = None
    """How many examples the validation data of the search had; None if that is not known."""

    def retrain(
        self,
        x: Any,
        y: Any,
        fit_kwargs: Mapping[str, Any],
        *,
        on_all: bool,
        epochs: int | None,
        rank: int,
        seed: int | None,
    ) -> Final:
        """Trains the configuration of a rank anew; see `Tuner.retrain_best`."""
        trial = self.ranked(rank)
        if epochs is None:
            epochs = best_epochs(trial)
        kwargs = dict(fit_kwargs)
        if on_all:
            x, y = _together(x, y, kwargs["validation_data"], kwargs["validation_split"])
            kwargs.update(validation_data=None, validation_split=0.0)
        return self._train(trial, (x, y), kwargs, epochs, self.seed if seed is None else seed)

    def evaluate(
        self,
        model: Any,
        learning: Learning | None,
        x_test: Any,
        y_test: Any,
        *,
        class_names: Sequence[str] | None,
        baselines: Mapping[str, float] | None,
        batch_size: int,
    ) -> Judgement:
        """Judges a model on test data; see `Tuner.evaluate_best`."""
        found = model.evaluate(x_test, y_test, batch_size=batch_size, verbose=0, return_dict=True)
        metrics = {name: float(value) for name, value in found.items()}
        objective, best = self.state.objective, self.ranked(0)
        metric = objective.name.removeprefix("val_")
        true = predicted = measure = None
        values = np.zeros(0)
        if y_test is not None:
            targets = np.asarray(y_test)
            outputs = model.predict(x_test, batch_size=batch_size, verbose=0)
            true, predicted = _classes(targets, outputs)
            if metric in metrics:
                measure = measure_of(metrics[metric], targets, outputs)
            if measure is not None:
                values = measure(targets, np.asarray(outputs))
        error = None if measure is None else error_of(values)
        beside = []
        if measure is not None:
            default = self._default_beside(x_test, targets, values, measure, batch_size)
            beside = [] if default is None else [default]
        known: dict[str, float] = {}
        score = self._default_score()
        if score is not None and not beside:
            known[DEFAULT] = ValidationScore(score)
        return judge(
            metrics,
            objective,
            searched=best.score,
            learning=learning,
            true=true,
            predicted=predicted,
            class_names=class_names,
            baselines={**known, **(baselines or {})},
            error=error,
            optimism_error=self._optimism_error(error, len(values), measure, best.score),
            beside=beside,
        )

    def _default_beside(
        self, x_test: Any, targets: Any, values: Any, measure: Measure, batch_size: int
    ) -> Beside | None:
        """The default configuration beside the model on the test data, example by example; None if
        its model is not kept."""
        defaults = self.state.space.defaults()
        trial = next(
            (t for t in self.state.best_trials(len(self.state.trials)) if t.values == defaults),
            None,
        )
        model = None if trial is None else self.load(trial)
        if model is None:
            return None
        theirs = measure(
            targets, np.asarray(model.predict(x_test, batch_size=batch_size, verbose=0))
        )
        sign = -1 if self.state.objective.direction == "max" else 1
        gains = sign * (theirs - values)
        return Beside(
            name=DEFAULT,
            score=float(theirs.mean()),
            ours=float(values.mean()),
            data="test",
            gain=float(gains.mean()),
            error=error_of(gains),
            paired=True,
        )

    def _optimism_error(
        self, error: float | None, tested: int, measure: Measure | None, score: float | None
    ) -> float | None:
        """The standard error of the difference between the score in the search and on test data."""
        if error is None or not self.validated or score is None:
            return None
        if measure is correct:
            own = error_of_share(score, self.validated)
        else:  # the same examples vary as much, there are only more or fewer of them
            own = error * math.sqrt(tested / self.validated)
        return math.hypot(error, own)

    def compare(
        self, x: Any, y: Any, fit_kwargs: Mapping[str, Any], *, count: int, seeds: int
    ) -> Comparison:
        """Trains the best configurations with several seeds each; see `Tuner.compare_best`."""
        for name, number in (("count", count), ("seeds", seeds)):
            if number < 1:
                raise ArgumentError(wrong(name, "must be at least 1", number))
        kwargs = {name: value for name, value in fit_kwargs.items() if name != "epochs"}
        objective = self.state.objective
        contenders: list[Contender] = []
        met: list[Mapping[str, Any]] = []
        for trial in self.state.best_trials(len(self.state.trials)):
            if len(contenders) == count:
                break
            if trial.values in met:  # a promotion of one that is there already
                continue
            met.append(trial.values)
            epochs = best_epochs(trial)
            finals = [
                self._train(trial, (x, y), kwargs, epochs, self.seed + n) for n in range(seeds)
            ]
            scores = tuple(final.score for final in finals if final.score is not None)
            if not scores:
                rule = f"must lead to {objective.name}, with validation data as in search"
                raise ArgumentError(wrong("compare_best", rule, sorted(kwargs)))
            contenders.append(Contender(values=trial.values, scores=scores, number=trial.number))
        if not contenders:
            self.ranked(0)
        return compare(contenders, objective)

    def ranked(self, rank: int) -> Trial:
        """The completed trial of this rank, from 0.

        Raises:
            NoTrialError: There are not so many.
        """
        best = self.state.best_trials(rank + 1)
        if len(best) <= rank:
            if not best:
                raise NoTrialError(f"rank: {why_no_best(self.state.trials.values())}")
            rule = f"must be below the number of completed trials ({len(best)})"
            raise NoTrialError(wrong("rank", rule, rank))
        return best[rank]

    def _train(
        self,
        trial: Trial,
        data: tuple[Any, Any],
        fit_kwargs: Mapping[str, Any],
        epochs: int,
        seed: int,
    ) -> Final:
        hp = HyperParameters.for_trial(self.state.hp, trial.values, trial.ranges)
        kwargs = dict(fit_kwargs)
        if kwargs.get("validation_data") is None:
            kwargs.pop("validation_data", None)
        if not kwargs.get("validation_split"):
            kwargs.pop("validation_split", None)
        kwargs.update(_for_own_fit(self.hypermodel, epochs, kwargs))
        account = training.Account()
        with training.seeded(training.trial_seed(seed, 0, 0)):
            with training.building():
                model = self.build(hp)
            args = data if data[1] is not None else data[:1]
            result = self.fit(hp, model, args, kwargs, account)
        history = getattr(result, "history", {}) or {}
        objective = self.state.objective
        known = bool(history) and any(name in history for name in objective.names)
        return Final(
            model=model,
            values=dict(trial.values),
            epochs=epochs,
            history=history,
            score=_score(result, objective) if known else None,
            learning=read_learning(history, objective.name, searched=self._searched()),
        )

    def _searched(self) -> set[Role]:
        """What the hyperparameters do that the search has varied."""
        roles = (role_of(entry) for entry in self.state.space)
        return {role for role in roles if role is not None}

    def _default_score(self) -> float | None:
        defaults = self.state.space.defaults()
        completed = self.state.best_trials(len(self.state.trials))
        return next((trial.score for trial in completed if trial.values == defaults), None)


def validation_size(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int | None:
    """How many examples `fit` validates on with these arguments; None if that is not known."""
    data, split = kwargs.get("validation_data"), kwargs.get("validation_split")
    if isinstance(data, tuple | list) and data:
        return _rows(data[0])
    rows = _rows(args[0] if args else kwargs.get("x"))
    if split and rows is not None:
        return rows - int(rows * (1 - split))
    return None


def _rows(x: Any) -> int | None:
    leaves = keras.tree.flatten(x)
    shape = getattr(leaves[0], "shape", None) if leaves else None
    return int(shape[0]) if shape and shape[0] is not None else None


def best_epochs(trial: Trial) -> int:
    """Epochs that the trial's model had been trained when it was best, those of the trials that it
    goes on from included."""
    numbers = [(loss, place) for place, loss in enumerate(trial.curve) if not math.isnan(loss)]
    if numbers:
        return trial.start_epoch + min(numbers)[1] + 1
    return 1 + (trial.best_step or 0)


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
    """(n,) true and predicted classes; None unless the model gives one class a row."""
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
