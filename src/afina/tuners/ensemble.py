"""An ensemble of the models that a search has kept: the mean of their outputs, without training.

Models are added one at a time, each time the one with which the mean is best on the validation
data. A model may be added again, so it gets more weight. The best of all these means is taken.

Source:
    Caruana, Niculescu-Mizil, Crew & Ksikes, "Ensemble selection from libraries of models", ICML
    2004: greedy selection with replacement, starting from the best models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from afina.advice.spread import Measure, error_of, measure_of
from afina.errors import ArgumentError, NoTrialError, check_whole, wrong
from afina.training.data import by_name
from afina.trials import Objective, Trial

Array = NDArray[np.float64]
Loader = Callable[[Trial], Any]


@dataclass(frozen=True, kw_only=True)
class Score:
    """The ensemble and the winner on the same data."""

    ensemble: float
    """The ensemble's score."""

    winner: float
    """The score of the best single model of the search."""

    error: float
    """The standard error of the difference, example by example."""

    def words(self, data: str, metric: str) -> str:
        """The scores as a sentence."""
        return (
            f"On the {data} data, {metric} is {self.ensemble:.4g}; the winner alone has "
            f"{self.winner:.4g} (difference {self.ensemble - self.winner:+.2g} ± {self.error:.2g})."
        )


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Models whose outputs are averaged."""

    models: tuple[Any, ...]
    """The models."""

    weights: tuple[float, ...]
    """Their weights; they sum to 1."""

    numbers: tuple[int, ...]
    """The numbers of their trials."""

    metric: str
    """The metric of the scores: the objective's, without "val_"."""

    validation: Score
    """The scores on the validation data, by which the models were chosen."""

    test: Score | None
    """The scores on the test data; None without any."""

    def predict(self, x: Any, batch_size: int = 256) -> Array:
        """The weighted mean of the models' outputs."""
        return _mean(
            [_outputs(model, x, batch_size) for model in self.models], np.array(self.weights)
        )

    def __str__(self) -> str:
        parts = ", ".join(
            f"trial {number} ({weight:.0%})"
            for number, weight in zip(self.numbers, self.weights, strict=True)
        )
        said = [f"The ensemble averages {parts}.", self.validation.words("validation", self.metric)]
        if self.test is not None:
            said.append(self.test.words("test", self.metric))
        return "\n".join(said)


def ensemble_of(tuner: Any, n: int, **data: Any) -> Ensemble:
    """The ensemble of the models that a tuner has kept; see `Tuner.ensemble`."""
    state = tuner.oracle.search_state
    data.setdefault("validation_data", searched_on(*tuner._searched))
    trials = state.best_trials(len(state.trials))
    return greedy_ensemble(
        trials, lambda trial: load_kept(tuner, trial), state.objective, n, **data
    )


def load_kept(tuner: Any, trial: Trial) -> Any:
    """The model of a trial as it was at its best epoch; None if its checkpoint is not kept."""
    identity = tuner.oracle.id_of(trial.number)
    if not Path(tuner._get_checkpoint_fname(identity)).is_file():
        return None
    return tuner.load_model(tuner.oracle.face_of(trial))


def greedy_ensemble(
    trials: list[Trial],
    load: Loader,
    objective: Objective,
    n: int,
    validation_data: tuple[Any, Any] | None,
    test_data: tuple[Any, Any] | None = None,
    batch_size: int = 256,
) -> Ensemble:
    """Chooses an ensemble of kept models.

    Args:
        trials: Completed trials, the best first.
        load: Loads the model of a trial; None if it is not kept.
        objective: Of the search; its metric must be a mean over examples of the accuracy, the
            cross-entropy, the squared or the absolute error.
        n: How many times a model is added.
        validation_data: (inputs, targets) to choose by: those of the search.
        test_data: (inputs, targets) that played no part in the search, to score the ensemble on.
        batch_size: Examples that are predicted at once.

    Raises:
        ArgumentError: There are no validation data, or the metric is another one.
        NoTrialError: No model is kept.
    """
    check_whole("n", n, least=1)
    x, y = _pair("validation_data", validation_data)
    loaded = [(trial, model) for trial in trials if (model := load(trial)) is not None]
    if not loaded:
        advice = "Search with keep_checkpoints above 0."
        raise NoTrialError(wrong("ensemble", "needs trials whose model is kept", 0, advice))
    outputs = [_outputs(model, x, batch_size) for _, model in loaded]
    winner = loaded[0][1]
    metric = objective.name.removeprefix("val_")
    measure = _measure(winner, metric, x, y, outputs[0], batch_size)
    counts = _chosen(objective.loss(1.0), outputs, y, measure, n)
    places = sorted(counts, key=lambda place: (-counts[place], place))
    total = sum(counts.values())
    weights = np.array([counts[place] / total for place in places])
    mean = _mean([outputs[place] for place in places], weights)
    validation = _score(measure, y, mean, outputs[0])
    test = None
    if test_data is not None:
        x_test, y_test = _pair("test_data", test_data)
        alone = _outputs(winner, x_test, batch_size)
        mean = _mean([_outputs(loaded[p][1], x_test, batch_size) for p in places], weights)
        test = _score(measure, y_test, mean, alone)
    return Ensemble(
        models=tuple(loaded[place][1] for place in places),
        weights=tuple(weights.tolist()),
        numbers=tuple(loaded[place][0].number for place in places),
        metric=metric,
        validation=validation,
        test=test,
    )


def _chosen(
    sign: float, outputs: list[Array], y: Array, measure: Measure, n: int
) -> Mapping[int, int]:
    """How often each model is in the best mean; `sign` is 1 if a lower score is better, else -1."""
    total = np.zeros_like(outputs[0])
    picks: list[int] = []
    scores: list[float] = []
    for count in range(1, n + 1):
        losses = [sign * float(measure(y, (total + each) / count).mean()) for each in outputs]
        pick = int(np.argmin(losses))  # the first of equals: the better one alone
        total += outputs[pick]
        picks.append(pick)
        scores.append(losses[pick])
    return Counter(picks[: int(np.argmin(scores)) + 1])


def _measure(model: Any, metric: str, x: Any, y: Array, outputs: Array, batch_size: int) -> Measure:
    found = model.evaluate(x, y, batch_size=batch_size, verbose=0, return_dict=True)
    value = found.get(metric)
    measure = None if value is None else measure_of(float(value), y, outputs)
    if measure is None:
        rule = (
            "needs an objective that is a mean over examples: an accuracy, a cross-entropy, a "
            "squared or an absolute error"
        )
        raise ArgumentError(wrong("ensemble", rule, metric))
    return measure


def _score(measure: Measure, y: Array, ours: Array, winner: Array) -> Score:
    mine, alone = measure(y, ours), measure(y, winner)
    return Score(
        ensemble=float(mine.mean()), winner=float(alone.mean()), error=error_of(mine - alone)
    )


def _outputs(model: Any, x: Any, batch_size: int) -> Array:
    outputs = model.predict(x, batch_size=batch_size, verbose=0)
    if isinstance(outputs, Mapping | list | tuple):
        raise ArgumentError(wrong("ensemble", "needs models with one output", len(outputs)))
    return np.asarray(outputs, dtype=float)


def _mean(outputs: list[Array], weights: Array) -> Array:
    return np.asarray(np.einsum("m,m...->...", weights, np.stack(outputs)))


def last_part(x: Any, y: Any, split: float) -> tuple[Any, Any]:
    """The part of the data that `validation_split` sets aside: the last one."""

    def end(rows: Any) -> Any:
        return rows[int(len(rows) * (1 - split)) :]

    return keras.tree.map_structure(end, x), end(y)


def searched_on(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """The validation data of `search`, from its arguments; None if there were none."""
    given = by_name(args, kwargs)
    if (data := given.get("validation_data")) is not None:
        return data  # type: ignore[no-any-return]
    y, split = given.get("y"), given.get("validation_split")
    return last_part(given["x"], y, split) if split and y is not None else None


def _pair(name: str, data: Any) -> tuple[Any, Array]:
    if not isinstance(data, tuple | list) or len(data) < 2:
        advice = f"Pass {name}=(x, y)."
        raise ArgumentError(
            wrong("ensemble", f"needs {name} with targets", type(data).__name__, advice)
        )
    return data[0], np.asarray(data[1])
