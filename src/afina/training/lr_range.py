"""The learning-rate range test: a short training that shows which learning rates are worth trying.

The rate grows by the same factor with each batch, from far too small to far too large. The loss
first stays, then falls, then blows up; good rates are where it falls.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from afina.errors import ArgumentError, DataError, DivergedError, check_whole, wrong
from afina.space import HyperParameters
from afina.training import keras_parts
from afina.training.build import build_model, compiled_parts
from afina.training.compile_cache import compile_cache
from afina.training.data import check_data
from afina.training.fused import CannotFuseError
from afina.training.lr_curve import LearningRateCurve
from afina.training.lr_rules import RULES, Floats, Rule, smooth, suggestions
from afina.training.python_turn import python_turn
from afina.training.seeds import seeded
from afina.training.session import fresh_session, read_session, write_session
from afina.training.snapshot import apply_snapshot, assign, copies, take_snapshot

STEPS_PER_DECADE = 20
"""Steps in which the rate grows tenfold, by default."""

WINDOW = 0.5
"""Powers of ten, on the axis of the rate, over which the loss is smoothed."""

BLOWN_UP = 4.0
"""The test ends when the smoothed loss is this many times its smallest value."""

FEWEST = 10
"""Fewest steps that show a curve."""

Steps = NDArray[np.int32]


def lr_range_test(
    model_or_builder: Any,
    x: Any,
    y: Any = None,
    *,
    min_lr: float = 1e-5,
    max_lr: float = 10.0,
    steps: int | None = None,
    batch_size: int = 32,
    rule: Rule = "minimum",
    seed: int = 0,
    sample_weight: Any = None,
    hp: HyperParameters | None = None,
) -> LearningRateCurve:
    """Trains for a few steps with a growing learning rate, to find the rates worth trying.

    Afterwards the model is as it was, to the bit: weights, optimizer, learning rate and metrics.
    So are the random streams of Python, NumPy and Keras. On JAX the steps are one compiled program
    if `fit` can be fused.

    Args:
        model_or_builder: A compiled model; or a function `build(hp)` or a `HyperModel`, which
            builds one with the default values.
        x: Inputs: an array, or a list or dict of them, samples along the first axis.
        y: Targets.
        min_lr: The learning rate of the first step, above 0.
        max_lr: The learning rate of the last step, if the loss does not blow up before.
        steps: How many steps; None means 20 for each power of ten. If the data have fewer than
            `steps * batch_size` samples, they are used again.
        batch_size: Samples in a step; use the batch size that the model will be trained with.
        rule: How `suggestion` is read off the curve: "minimum", a tenth of the rate of the smallest
            loss; "steep", where the loss falls most; "valley", the middle of the longest fall;
            "slide", where the fall begins to be steady.
        seed: Seed of the order of the samples, of dropout, and of a builder's weights.
        sample_weight: Weights of the samples.
        hp: The hyperparameters that a builder is called with, instead of default values.

    Returns:
        The curve, the suggestion of each rule, and bounds for a search.

    Raises:
        ArgumentError: An argument is out of its range, the model is not compiled, or its learning
            rate is a schedule.
        DataError: The data are empty, not arrays, or hold NaN.
        DivergedError: The loss is not finite at the smallest rate, or blows up at once.

    Source: L. N. Smith, Cyclical learning rates for training neural networks, WACV 2017.

    Example:
        >>> curve = lr_range_test(model, x, y)  # doctest: +SKIP
        >>> hp.Float("learning_rate", *curve.bounds, sampling="log")  # doctest: +SKIP
    """
    rates = _rates(min_lr, max_lr, steps)
    if rule not in RULES:
        raise ArgumentError(wrong("rule", f"must be one of {tuple(RULES)}", rule))
    batch_size = check_whole("batch_size", batch_size)
    data = {"x": x, "y": y, "sample_weight": sample_weight}
    samples = _check(data)
    size = min(batch_size, samples)
    rows, places = _batches(samples, len(rates), size, seed)
    data = {name: _rows_of(part, rows) for name, part in data.items()}
    with python_turn.held(), _model(model_or_builder, hp, seed) as model:
        _check_model(model)
        with _unchanged(model, data), seeded(seed):
            path, losses, smoothed = _sweep(model, data, places, rates)
    return LearningRateCurve(
        lrs=rates[: len(losses)],
        losses=losses,
        smoothed=smoothed,
        rule=rule,
        suggestions=suggestions(rates[: len(losses)], smoothed),
        stopped_early=len(losses) < len(rates),
        batch_size=size,
        path=path,
    )


def _rates(min_lr: float, max_lr: float, steps: int | None) -> Floats:
    for name, rate in (("min_lr", min_lr), ("max_lr", max_lr)):
        number = isinstance(rate, int | float) and not isinstance(rate, bool)
        if not number or not 0 < rate < math.inf:
            raise ArgumentError(wrong(name, "must be a number above 0", rate))
    if min_lr >= max_lr:
        advice = "Use a range of several powers of ten, such as 1e-5 to 10."
        raise ArgumentError(wrong("min_lr", "must be below max_lr", (min_lr, max_lr), advice))
    if steps is None:
        steps = max(2 * FEWEST, round(STEPS_PER_DECADE * math.log10(max_lr / min_lr)))
    return np.geomspace(min_lr, max_lr, check_whole("steps", steps, least=FEWEST))


# -- data -----------------------------------------------------------------------------------------


def _check(data: dict[str, Any]) -> int:
    """The number of samples."""
    for name, part in data.items():
        for leaf in keras.tree.flatten(part):
            if leaf is None:
                continue
            shape = getattr(leaf, "shape", None)
            if not shape or not isinstance(shape[0], int):
                advice = "Give arrays; of a dataset, some thousand samples as arrays."
                raise DataError(wrong(name, "must be arrays", type(leaf).__name__, advice))
            if not _is_finite(np.asarray(leaf)):
                advice = "Fill such places, or leave those samples out."
                raise DataError(wrong(name, "must hold finite numbers", "NaN or infinity", advice))
    check_data((), data)
    leaves = keras.tree.flatten(data["x"])
    if not leaves or leaves[0] is None:
        raise DataError(wrong("x", "must be arrays", data["x"]))
    return int(leaves[0].shape[0])


def _is_finite(numbers: NDArray[Any]) -> bool:
    if numbers.dtype.kind != "f" or not numbers.size:
        return True
    return math.isfinite(numbers.min()) and math.isfinite(numbers.max())  # NaN if there is one


def _batches(samples: int, steps: int, size: int, seed: int) -> tuple[NDArray[np.int64], Steps]:
    """The samples that the test needs, and which of them each step takes: whole batches, each
    sample once before any is used again."""
    rng = np.random.default_rng(seed)
    rounds = -(-steps * size // samples)
    order = np.concatenate([rng.permutation(samples) for _ in range(rounds)])[: steps * size]
    rows, places = np.unique(order, return_inverse=True)
    return rows, places.reshape(steps, size).astype(np.int32)


def _rows_of(part: Any, rows: NDArray[np.int64]) -> Any:
    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else np.asarray(leaf)[rows], part
    )


# -- the model ------------------------------------------------------------------------------------


@contextmanager
def _model(model_or_builder: Any, hp: HyperParameters | None, seed: int) -> Iterator[keras.Model]:
    """The model itself; or a new one, in a Keras session of its own."""
    if isinstance(model_or_builder, keras.Model):
        yield model_or_builder
        return
    builder = model_or_builder
    if not hasattr(builder, "build"):
        if not callable(builder):
            rule = "must be a compiled model, a function build(hp), or a HyperModel"
            raise ArgumentError(wrong("model_or_builder", rule, builder))
        builder = SimpleNamespace(build=builder)
    session = read_session()
    fresh_session()
    try:
        with seeded(seed):
            yield build_model(builder, HyperParameters() if hp is None else hp.copy())
    finally:
        write_session(session)


def _check_model(model: keras.Model) -> None:
    if not model.compiled or model.optimizer is None:
        advice = "Call model.compile(optimizer=..., loss=...) first."
        raise ArgumentError(wrong("model", "must be compiled", model.name, advice))
    if not isinstance(model.optimizer.learning_rate, keras.Variable):
        schedule = type(keras_parts.rate_of(model.optimizer)).__name__
        advice = (
            "Compile the model with a plain number for the test. The rate that it finds is the "
            "highest that the schedule should reach."
        )
        raise ArgumentError(wrong("learning rate", "must be a plain number", schedule, advice))


@contextmanager
def _unchanged(model: keras.Model, data: dict[str, Any]) -> Iterator[None]:
    """Within the block the model is built and may be trained; afterwards it is as it was.

    Parts that were not built before stay built, in the state that `fit` would have begun with.
    """
    if not model.built:
        model(keras.tree.map_structure(lambda leaf: leaf[:1], data["x"]))
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    snapshot, metrics = take_snapshot(model, 0), copies(model.metrics_variables)
    had_begun = keras_parts.has_begun(model)
    apply_snapshot(snapshot, model)  # after `fit`, averages of weights may share their memory
    try:
        yield
    finally:
        apply_snapshot(snapshot, model)
        if had_begun:
            assign(model.metrics_variables, metrics)
        else:  # `fit` is to build losses and metrics with its first batch, which draws an order
            model.compile(**{**compiled_parts(model), "optimizer": model.optimizer})


# -- the steps ------------------------------------------------------------------------------------


def _sweep(
    model: keras.Model, data: dict[str, Any], places: Steps, rates: Floats
) -> tuple[str, Floats, Floats]:
    """How it was trained, the losses until they blow up, and the smoothed losses."""
    memory = _memory(rates)
    try:
        path, losses = "fused", _until_blown_up(_fused(model, data, places, rates), memory)
    except CannotFuseError as error:
        path = f"fit: {error}"
        losses = _until_blown_up(_plain(model, data, places, rates), memory)
    if not losses:
        advice = "Look at the data, at the loss, and at what the last layer may return."
        raise DivergedError(wrong("loss", "must be a number at the first step", math.nan, advice))
    if len(losses) < FEWEST:
        least = f"{rates[0] / 1000:.0e}"
        rule = "must leave some steps before the loss blows up"
        raise DivergedError(wrong("min_lr", rule, float(rates[0]), f"Try {least}."))
    return path, np.array(losses), smooth(np.array(losses), memory)


def _memory(rates: Floats) -> float:
    """The weight of the previous smoothed loss in the next one."""
    steps = WINDOW * (len(rates) - 1) / math.log10(rates[-1] / rates[0])
    return max(0.0, 1.0 - 1.0 / max(1.0, steps))


def _until_blown_up(losses: Generator[float, None, None], memory: float) -> list[float]:
    kept: list[float] = []
    total, best = 0.0, math.inf
    with closing(losses):
        for loss in losses:
            if not math.isfinite(loss):
                break
            kept.append(loss)
            total = memory * total + (1.0 - memory) * loss
            mean = total / (1.0 - memory ** len(kept))
            best = min(best, mean)
            # This is `BLOWN_UP` times the best, for losses below 0 as well.
            if mean > best + (BLOWN_UP - 1.0) * abs(best):
                break
    return kept


def _fused(
    model: keras.Model, data: dict[str, Any], places: Steps, rates: Floats
) -> Generator[float, None, None]:
    if keras.backend.backend() != "jax":
        raise CannotFuseError(f"Keras runs on {keras.backend.backend()}, and fused epochs need JAX")
    from afina.training.fused.sweep import sweep_losses

    with compile_cache():
        yield from sweep_losses(model, data, places, rates)


def _plain(
    model: keras.Model, data: dict[str, Any], places: Steps, rates: Floats
) -> Generator[float, None, None]:
    for rows, rate in zip(places, rates, strict=True):
        model.optimizer.learning_rate = float(rate)
        batch = {name: _rows_of(part, rows) for name, part in data.items()}
        model.reset_metrics()
        yield float(model.train_on_batch(**batch, return_dict=True)["loss"])
