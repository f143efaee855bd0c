"""Names that code copied out of Keras Tuner calls: bodies of `run_trial` from 1.0 to 1.4.

Each does by Afina's means what the name did, so that such a body trains, saves and scores. The
methods of `Tuner` that such code calls use the first part; `afina.engine.tuner_utils` offers the
second under Keras Tuner's path.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import itertools
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from afina import training
from afina.progress import wording
from afina.space import Boolean, Choice, Fixed, Float, HyperParameters, Int
from afina.trials import Objective
from afina.tuners.results import read_result
from afina.tuners.trial import Trial

# -- parts of Tuner -------------------------------------------------------------------------------


@contextlib.contextmanager
def maybe_distribute(distribution_strategy: Any) -> Iterator[None]:
    """Runs the block in the scope of TensorFlow's strategy; without one, just runs it."""
    if distribution_strategy is None:
        yield
    else:
        with distribution_strategy.scope():
            yield


class CopiedNames:
    """The small methods and attributes of a tuner that such bodies use; a base of `Tuner`."""

    _reported_step = 0
    _save_n_checkpoints = 10

    if TYPE_CHECKING:

        def get_trial_dir(self, trial_id: str) -> str:
            """See `BaseTuner.get_trial_dir`."""

    def _filter_metrics(self, metrics: Iterable[Any] | None) -> list[Any] | None:
        return filter_metrics(metrics)

    def _configure_tensorboard_dir(
        self, callbacks: list[Any], trial: Trial | str, execution: int = 0
    ) -> list[Any]:
        """Lets each execution log into a folder of its own; `trial` may be an id, as in 1.0."""
        trial_id = trial if isinstance(trial, str) else trial.trial_id
        for callback in callbacks:
            if type(callback).__name__ == "TensorBoard":
                callback.log_dir = self._get_tensorboard_dir(callback.log_dir, trial_id, execution)
        return callbacks

    def _get_tensorboard_dir(self, logdir: Any, trial_id: Any, execution: Any) -> str:
        return os.path.join(str(logdir), str(trial_id), f"execution{execution}")

    def _get_checkpoint_dir(self, trial_id: str, epoch: int = 0) -> str:
        """The folder of a trial's checkpoint; there is one for all epochs."""
        del epoch
        return str(self.get_trial_dir(trial_id))

    def _get_build_config_fname(self, trial_id: str) -> str:
        return str(Path(self.get_trial_dir(trial_id)) / training.BUILD_CONFIG)

    def _on_train_begin(self, model: Any, hp: Any, *args: Any, **kwargs: Any) -> None:
        """Called before `fit` by bodies copied from Keras Tuner 1.0; for overrides."""


class TunerCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls `tuner.on_epoch_begin`, `on_epoch_end`, `on_batch_begin` and `on_batch_end`.

    Args:
        tuner: Has the hooks.
        trial: Passed to each hook.
    """

    def __init__(self, tuner: Any, trial: Trial) -> None:
        super().__init__()
        self.tuner = tuner
        self.trial = trial

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Calls the tuner's hook."""
        self.tuner.on_epoch_begin(self.trial, self.model, epoch, logs=logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Calls the tuner's hook."""
        self.tuner.on_epoch_end(self.trial, self.model, epoch, logs=logs)

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Calls the tuner's hook."""
        self.tuner.on_batch_begin(self.trial, self.model, batch, logs)

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """Calls the tuner's hook."""
        self.tuner.on_batch_end(self.trial, self.model, batch, logs)


class EpochHooks(TunerCallback):
    """Calls the hooks of epochs alone: a hook at every batch keeps Keras from running ahead."""

    # Keras' own, which it knows to skip.
    on_batch_begin = keras.callbacks.Callback.on_batch_begin
    on_batch_end = keras.callbacks.Callback.on_batch_end


def filter_metrics(metrics: Iterable[Any] | None) -> list[Any] | None:
    """The metrics without those that Keras adds itself."""
    if metrics is None:
        return None
    return [metric for metric in metrics if metric.name not in ("loss", "compile_metrics")]


class BuiltByTuner:
    """Stands for the hypermodel where `Tuner._build_hypermodel` is overridden.

    Args:
        tuner: Builds.
    """

    def __init__(self, tuner: Any) -> None:
        self._tuner = tuner

    def build(self, hp: HyperParameters) -> Any:
        """What the override builds."""
        return self._tuner._build_hypermodel(hp)


def spread_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of `fit`, also where they came as a tuple and a dict, as in Keras Tuner 1.0.

    Bodies of later versions always give `callbacks` by name.
    """
    if not kwargs and len(args) == 2:
        positional, named = args
        if type(positional) is tuple and type(named) is dict and "callbacks" in named:
            return positional, named
    return args, kwargs


# -- engine.tuner_utils ---------------------------------------------------------------------------


class SaveBestEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Writes the model's weights whenever an epoch is the best so far.

    Args:
        objective: What makes an epoch better; where it is not logged, every epoch is written.
        filepath: Ends in ".weights.h5".
    """

    def __init__(self, objective: Objective, filepath: str | Path) -> None:
        super().__init__()
        self.objective = objective
        self.filepath = str(filepath)
        self.best_value = -math.inf if objective.direction == "max" else math.inf

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Writes if the epoch is the best."""
        numbers = training.scalars(logs)
        if self.objective.has_value(numbers):
            value = self.objective.get_value(numbers)
            if not self.objective.better_than(value, self.best_value):
                return
            self.best_value = value
        self._save_model(epoch + 1)

    def _save_model(self, epochs: int | None = None) -> None:
        training.save_state(self.model, Path(self.filepath), epochs=epochs)


def convert_to_metrics_dict(
    results: Any, objective: Objective, func_name: str = "run_trial"
) -> dict[str, float]:
    """What `fit` or `run_trial` returned as one dict of metrics, the objective among them."""
    return read_result(results, objective, func_name).metrics


def get_best_step(results: Any, objective: Objective) -> int:
    """The best epoch of a result, the mean of several executions; 0 where no epoch is known."""
    return read_result(results, objective, "run_trial").step


def validate_trial_results(results: Any, objective: Objective, func_name: str) -> None:
    """Raises FatalTypeError or FatalValueError for a result that has no score."""
    read_result(results, objective, func_name)


def average_metrics_dicts(metrics_dicts: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of each metric over the dicts that have it."""
    values: dict[str, list[float]] = {}
    for metrics in metrics_dicts:
        for name, value in metrics.items():
            values.setdefault(name, []).append(float(value))
    return {name: float(np.mean(each)) for name, each in values.items()}


def average_histories(histories: Sequence[Mapping[str, Sequence[float]]]) -> list[dict[str, float]]:
    """The mean of each metric over several executions, epoch by epoch."""
    means = {
        name: [
            float(np.nanmean(epoch))
            for epoch in itertools.zip_longest(*(h[name] for h in histories), fillvalue=math.nan)
        ]
        for name in histories[0]
    }
    return [dict(zip(means, epoch, strict=True)) for epoch in zip(*means.values(), strict=True)]


def get_max_epochs_and_steps(
    fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]
) -> tuple[int, int | None]:
    """The epochs of a training and the steps of each; None where the data have no length."""
    first = keras.tree.flatten(fit_args[0] if fit_args else fit_kwargs.get("x"))[0]
    steps = fit_kwargs.get("steps")
    if hasattr(first, "__len__"):
        steps = math.ceil(len(first) / fit_kwargs.get("batch_size", 32))
    return fit_kwargs.get("epochs", 1), steps


def convert_hyperparams_to_hparams(
    hyperparams: HyperParameters, hparams_api: Any = None
) -> dict[Any, Any]:
    """The active hyperparameters and their values for TensorBoard's HParams page.

    Args:
        hyperparams: Of a trial.
        hparams_api: `tensorboard.plugins.hparams.api`; None imports it.
    """
    if hparams_api is None:
        hparams_api = importlib.import_module("tensorboard.plugins.hparams.api")
    found = {}
    for entry in hyperparams.space:
        if not hyperparams.is_active(entry):
            continue
        domain = hparams_api.Discrete(list(entry.values))
        if isinstance(entry, Int) and entry.step in (None, 1):
            domain = hparams_api.IntInterval(entry.min_value, entry.max_value)
        elif isinstance(entry, Float) and entry.step is None:
            domain = hparams_api.RealInterval(entry.min_value, entry.max_value)
        else:
            assert isinstance(entry, Int | Float | Choice | Boolean | Fixed)
        found[hparams_api.HParam(entry.name, domain)] = hyperparams.values[entry.name]
    return found


class TunerStats:
    """Counts of models; kept for code that makes one."""

    def __init__(self) -> None:
        self.num_generated_models = 0
        self.num_invalid_models = 0
        self.num_oversized_models = 0

    def summary(self, extended: bool = False) -> None:
        """Prints the counts."""
        del extended
        print("Tuning stats")
        for name, count in self.get_config().items():
            print(f"{name}: {count}")

    def get_config(self) -> dict[str, int]:
        """The counts by name."""
        return dict(vars(self))

    @classmethod
    def from_config(cls, config: Mapping[str, int]) -> TunerStats:
        """The inverse of `get_config`."""
        stats = cls()
        vars(stats).update(config)
        return stats


class KerasTunerDisplay:
    """`Display` of Keras Tuner: prints trials as they begin and end.

    The tuners of Afina have displays of their own, in `afina.progress`.

    Args:
        oracle: Has the best trial, which is shown beside each.
        verbose: Below 1 prints nothing.
    """

    def __init__(self, oracle: Any, verbose: int = 1) -> None:
        self.oracle = oracle
        self.verbose = verbose
        self.col_width = 18
        self.search_start: float | None = None
        self.trial_start: dict[str, float] = {}

    def on_trial_begin(self, trial: Trial) -> None:
        """Prints the values of a trial beside the best ones."""
        if self.verbose < 1:
            return
        self.trial_start[trial.trial_id] = time.monotonic()
        self.search_start = self.search_start or time.monotonic()
        print(f"\nSearch: Running Trial #{self._number(trial)}\n")
        self.show_hyperparameter_table(trial)
        print()

    def on_trial_end(self, trial: Trial) -> None:
        """Prints the score of a trial and the best one."""
        if self.verbose < 1:
            return
        now = time.monotonic()
        taken = self.format_time(now - self.trial_start.get(trial.trial_id, now))
        print(f"\nTrial {self._number(trial)} Complete [{taken}]")
        name = self.oracle.objective.name
        if trial.score is not None:
            print(f"{name}: {trial.score}")
        best = self.oracle.get_best_trials()
        print(f"\nBest {name} So Far: {best[0].score if best else None}")
        print(f"Total elapsed time: {self.format_time(now - (self.search_start or now))}")

    def show_hyperparameter_table(self, trial: Trial) -> None:
        """Prints each value, the best one so far, and its name."""
        values = trial.hyperparameters.values
        if not values:
            print("default configuration")
            return
        best = self.oracle.get_best_trials()
        known = best[0].hyperparameters.values if best else None
        rows = [("Value", "Best Value So Far", "Hyperparameter")]
        for name, value in values.items():
            shown = "?" if known is None else self.format_value(known.get(name))
            rows.append((self.format_value(value), shown, name))
        for value, shown, name in rows:
            print(f"{value:{self.col_width}}|{shown:{self.col_width}}|{name}")

    def format_value(self, val: Any) -> str:
        """A value in the width of a column."""
        text = wording.number(val)
        return text if len(text) <= self.col_width else f"{text[: self.col_width - 3]}..."

    def format_time(self, t: float) -> str:
        """Seconds as Keras Tuner prints them."""
        return wording.clock_time(t)

    def format_duration(self, d: datetime.timedelta) -> str:
        """A duration as Keras Tuner prints it."""
        return wording.clock_time(d.total_seconds())

    def _number(self, trial: Trial) -> int:
        return int(trial.trial_id) + 1 if trial.trial_id.isdigit() else len(self.oracle.trials)
