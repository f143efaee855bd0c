"""Plain `fit`, and ways to make it quicker that change nothing but the time."""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from afina.training import keras_parts
from afina.training.epochs import is_all_kerass, reasons
from afina.training.on_tensorflow.graphs import giving_back_graphs
from afina.training.on_tensorflow.xla import why_xla
from afina.training.streams.kinds import planned_steps
from afina.training.trainer import Account

VERBOSE = list(inspect.signature(keras.Model.fit).parameters).index("verbose") - 1
"""The place of `verbose` among the positional arguments of `fit`."""

STEPS_AT_ONCE = 100
"""Steps that TensorFlow runs before it returns to Python."""


class PlainTrainer:
    """Trains by `model.fit`; a `Trainer` that can train every model.

    Args:
        hastens: Whether `fit` may be made quicker where that changes nothing but the time.
    """

    name = "fit"

    def __init__(self, *, hastens: bool = True) -> None:
        self.hastens = hastens

    def why_not(
        self, model: keras.Model, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> str | None:
        """None: `fit` trains every model, or raises what the user must mend."""
        del model, args, kwargs
        return None

    def fit(
        self,
        model: keras.Model,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        account: Account,
    ) -> Any:
        """Calls `model.fit(*args, **kwargs)`."""
        # The caller counts the seconds of the whole.
        given = reasons.fit_arguments(args, kwargs) if self.hastens else "as asked for"
        if isinstance(given, str):
            with giving_back_graphs(model):
                return model.fit(*args, **kwargs)
        limits = given["steps_per_epoch"], given["validation_steps"]
        steps = planned_steps(given)
        planned = math.inf if steps is None else steps
        is_changed = hasten(model, given["callbacks"], limits, planned, account)
        try:
            with fitting_threads(model, kwargs), giving_back_graphs(model):
                return model.fit(*args, **kwargs)
        finally:
            if is_changed:  # another `fit` of the model may have other arguments
                model.steps_per_execution = 1
                model.train_function = model.test_function = model.predict_function = None


def without_progress_bar(
    model: keras.Model, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """The keyword arguments of a `fit` whose epochs are shown elsewhere.

    Keras draws a progress bar by default; a `verbose` that was given stays. A model with a `fit`
    of its own gets the arguments as they are, as it need not know `verbose`.

    Args:
        model: The model to train.
        args: Positional arguments of `fit`.
        kwargs: Keyword arguments of `fit`.
    """
    asked = len(args) > VERBOSE or kwargs.get("verbose", "auto") != "auto"
    if asked or keras_parts.overrides(model, "fit"):
        return dict(kwargs)
    return {**kwargs, "verbose": 0}


def hasten(
    model: keras.Model,
    callbacks: Any = None,
    limits: Sequence[int | None] = (),
    planned: float | None = None,
    account: Account | None = None,
) -> bool:
    """On TensorFlow: compiles the train step with XLA if that is quicker, and runs many at once.

    This is only for models of Keras' own parts, whose steps are known to compile: a loss of the
    user's may do what XLA cannot. Many steps run at once only if no callback looks at single
    batches. On other backends nothing is done.

    Args:
        model: Compiled, not trained yet.
        callbacks: The callbacks that `fit` will be given.
        limits: The steps of an epoch and of a validation that `fit` will be given.
        planned: The steps of the whole training; infinitely many if their number is unknown, which
            does not pay for XLA; None does.
        account: Where to note what was chosen.

    Returns:
        Whether several steps run at once now that did not before.
    """
    if keras.backend.backend() != "tensorflow" or keras_parts.missing:
        return False
    if not getattr(model, "compiled", False) or model.run_eagerly or not is_all_kerass(model):
        return False
    if keras.distribution.distribution() is not None:
        return False
    compiles, why = why_xla(model, planned)
    if account is not None:
        account.choices.append(f"{'XLA' if compiles else 'no XLA'}: {why}")
    if compiles != model.jit_compile:
        model.jit_compile = compiles
    looks = reasons.why_not_callbacks(reasons.flat(callbacks)) is not None
    if model.steps_per_execution != 1 or looks:
        return False
    model.steps_per_execution = steps_at_once(*limits)
    return model.steps_per_execution > 1  # type: ignore[no-any-return]


def steps_at_once(*limits: int | None) -> int:
    """How many steps TensorFlow runs before it returns to Python: a divisor of the steps that `fit`
    is given, as it would otherwise run too many.

    Example:
        >>> steps_at_once(None), steps_at_once(60, 40), steps_at_once(250)
        (100, 20, 50)
    """
    common = math.gcd(*(each for each in limits if each))
    return max(each for each in range(1, STEPS_AT_ONCE + 1) if common % each == 0)


LITTLE = 3_000_000
"""Most multiplications of one step forward for which a second thread gains nothing. On two cores
PyTorch was 0.9 to 1.05 times as fast with two threads as with one up to 2 million, 1.05 to 1.15
times at 6 to 13 million, 1.5 times at 45 million. With other work on the cores, its threads waited
for each other: two took 7 to 14 times as long up to 13 million, 3 to 5 times at 45 million."""

ROWS = 32
"""Samples in a batch by default, as in Keras."""


@contextlib.contextmanager
def fitting_threads(model: keras.Model, given: Mapping[str, Any]) -> Iterator[None]:
    """On PyTorch without a GPU: one thread within the block, for steps too small to share.

    Nothing is done on other backends, or if `OMP_NUM_THREADS` is set.

    Args:
        model: Compiled.
        given: Keyword arguments of `fit`.
    """
    if keras.backend.backend() != "torch" or "OMP_NUM_THREADS" in os.environ:
        yield
        return
    torch = sys.modules["torch"]
    before, rows = torch.get_num_threads(), given.get("batch_size") or ROWS
    is_little = not torch.cuda.is_available() and rows * multiplications(model) <= LITTLE
    torch.set_num_threads(1 if is_little else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def multiplications(model: keras.Model) -> float:
    """About how many multiplications a model takes forward for one sample; infinite if unknown.

    Each weight of a layer counts once for each place where it is applied: each pixel of a
    convolution, each step of a sequence.
    """
    if keras_parts.missing or not model.built or not is_all_kerass(model):
        return math.inf
    total = 0.0
    for layer in keras_parts.layers_of(model):
        own, nodes = keras_parts.weights_and_uses(layer)
        weights = sum(math.prod(variable.shape) for variable in own)
        if not weights:
            continue
        tensors = [t for node in nodes for t in (*node.input_tensors, *node.output_tensors)]
        places = [math.prod(size or math.inf for size in tensor.shape[1:-1]) for tensor in tensors]
        total += weights * max(places, default=math.inf)
    return total
