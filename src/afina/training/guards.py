"""Guards: callbacks that end a training which cannot give a score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from afina.errors import DivergedError, FatalValueError, wrong
from afina.space.slips import meant
from afina.training.keras_parts import is_array, overrides


def scalars(logs: Mapping[str, Any] | None) -> dict[str, float]:
    """The logged numbers as floats, without those that are arrays (a metric per class)."""
    numbers: dict[str, float] = {}
    for name, value in (logs or {}).items():
        if getattr(value, "shape", ()) in ((), (1,)):
            try:
                numbers[str(name)] = float(value)
            except (TypeError, ValueError):
                continue
    return numbers


def check_targets(model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raises FatalValueError where `fit` gets arrays without the targets that the loss needs.

    Args:
        model: Built and compiled.
        args: As for `fit`.
        kwargs: As for `fit`.
    """
    x = args[0] if args else kwargs.get("x")
    y = args[1] if len(args) > 1 else kwargs.get("y")
    if y is not None or not isinstance(model, keras.Model):
        return
    leaves = keras.tree.flatten(x) if isinstance(x, list | tuple | dict) else [x]
    if not all(is_array(leaf) for leaf in leaves):
        return  # a dataset holds its targets itself
    own = any(overrides(model, name) for name in ("fit", "train_step", "compute_loss"))
    losses = [] if own else keras.tree.flatten(getattr(model, "loss", None))
    if any(loss is not None for loss in losses):
        rule = "must be given, because the loss in compile() compares the model's output with it"
        raise FatalValueError(wrong("y", rule, None, "Call search(x, y, ...)."))


class DivergenceGuard(keras.callbacks.Callback):  # type: ignore[misc]
    """Stops a training whose loss became NaN or infinite, or whose objective became NaN.

    It looks at the end of each epoch only: a look at each batch would make the device wait. It
    stops the training through Keras, so that other callbacks can close their files; `check` raises
    afterwards.

    Args:
        objectives: Names of the metrics that the search optimizes.
        one_fit: Whether a second `fit` goes on with the same model. False for the user's code,
            which may train one model for each fold, or try again with a smaller learning rate:
            then only the last `fit` counts.
    """

    def __init__(self, objectives: Sequence[str], *, one_fit: bool = True) -> None:
        super().__init__()
        self.objectives = tuple(objectives)
        self.one_fit = one_fit
        self.error: DivergedError | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Ends a second `fit` of the same training before it begins."""
        if not self.one_fit:
            self.error = None
        self.check()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Stops the training if the epoch's numbers are not finite."""
        numbers = scalars(logs)
        bad = {name for name in ("loss",) if not math.isfinite(numbers.get(name, 0.0))}
        bad |= {name for name in self.objectives if math.isnan(numbers.get(name, 0.0))}
        if bad and self.error is None:
            values = ", ".join(f"{name} is {numbers[name]}" for name in sorted(bad))
            self.error = DivergedError(
                f"Diverged in epoch {epoch + 1}: {values}. A smaller learning rate or "
                "clipnorm= in the optimizer may help; inputs must not hold NaN."
            )
            self.model.stop_training = True

    def check(self) -> None:
        """Raises DivergedError if the training was stopped."""
        if self.error is not None:
            raise self.error


class ObjectiveGuard(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the search after the first epoch if no logged metric has the objective's name.

    It must come after the user's callbacks, which may add to the logs. Validation may be left out
    in some epochs (`validation_freq`), so `check` looks for a missing "val_..." when the training
    has ended.

    Args:
        objectives: Names of the metrics that the search needs.
    """

    def __init__(self, objectives: Sequence[str]) -> None:
        super().__init__()
        self.missing = tuple(objectives)
        self.logged: set[str] = set()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Raises FatalValueError if a name is missing that this epoch should have logged."""
        self.logged |= set(logs or {})
        self.missing = tuple(name for name in self.missing if name not in self.logged)
        validated = any(name.startswith("val_") for name in self.logged)
        if any(validated or not name.startswith("val_") for name in self.missing):
            self.check()

    def check(self) -> None:
        """Raises FatalValueError if an objective was never logged though epochs were trained."""
        if self.missing and self.logged:
            raise FatalValueError(missing_objective(self.missing[0], sorted(self.logged)))


def missing_objective(name: str, logged: Sequence[str]) -> str:
    """The message for an objective that is not among the metrics, with the likeliest reason.

    Example:
        >>> missing_objective("val_acc", ["val_accuracy", "val_auc", "val_loss"])
        "objective: 'val_acc' must be logged in training, but got ['val_accuracy', 'val_auc', \
'val_loss']. Did you mean 'val_accuracy'?"
    """
    validated = any(other.startswith("val_") for other in logged)
    near = meant(name, logged)
    if name.startswith("val_") and not validated:
        advice = "Nothing was validated: give validation_data= or validation_split= to search()."
        if name.removeprefix("val_") not in logged:
            advice += " compile(metrics=...) must name the metric too."
    elif near:
        advice = f"Did you mean {near!r}?"
    else:
        advice = "Name the metric in compile(metrics=...), or choose one of these."
    return wrong("objective", f"{name!r} must be logged in training", list(logged), advice)
