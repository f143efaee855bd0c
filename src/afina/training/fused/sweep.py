"""A training whose learning rate is given for every step, as a compiled program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from afina.training.fused import memory, reasons
from afina.training.fused.convolutions import traced_for
from afina.training.fused.data import Samples
from afina.training.fused.engine import CannotFuseError, Engine
from afina.training.fused.plan import Plan
from afina.training.fused.program import Functions, State
from afina.training.fused.sparse import Rows
from afina.training.fused.trainer import FusedTrainer
from afina.training.stage import stage
from afina.trials import first_line

AT_ONCE = 25
"""Most steps between two looks at their losses: so many may be computed for nothing."""


def sweep_losses(
    model: keras.Model,
    given: Mapping[str, Any],
    places: NDArray[np.int32],
    rates: NDArray[np.float64],
) -> Iterator[float]:
    """Trains step by step, each with a learning rate of its own, and tells each batch's loss.

    The model is read at the beginning and not written to. Whoever stops asking stops the training.

    Args:
        model: Compiled and built, its optimizer too, whose learning rate is a plain number.
        given: `x`, `y` and `sample_weight` as `fit` takes them, arrays all.
        places: Row numbers of each step; (steps, batch size).
        rates: Learning rate of each step; (steps,).

    Yields:
        The loss of each batch, before the step that it is used for.

    Raises:
        CannotFuseError: The training cannot be fused. Before the first loss is told.
    """
    import jax

    steps, size = places.shape
    calls = -(-steps // AT_ONCE)
    at_once = -(-steps // calls)
    # The last call's surplus is computed and not told.
    padding = ((0, calls * at_once - steps), (0, 0))
    places = np.pad(places, padding, mode="edge")
    rates = np.pad(rates, padding[0], mode="edge").astype(np.float32)

    samples, device = _samples(model, given, size), memory.device()
    plan = _plan(model, samples, places)
    model.reset_metrics()
    state = State.of(model)
    metrics = [np.array(value) for value in state.metrics]
    arrays: Any = (state.trainable, state.non_trainable, state.optimizer)
    inputs = (metrics, samples.arrays.on(device), places[:at_once], rates[:at_once])
    program = _compiled(model, samples, plan, arrays, *inputs)
    for start in range(0, len(rates), at_once):
        here = slice(start, start + at_once)
        with stage.left():
            arrays, losses = program(arrays, *inputs[:2], places[here], rates[here])
            told = np.asarray(jax.block_until_ready(losses), np.float64)
        yield from map(float, told[: steps - start])


def _samples(model: keras.Model, given: Mapping[str, Any], size: int) -> Samples:
    engine = Engine(one_thread=False)
    arguments = {**given, "batch_size": size, "shuffle": False}
    reason = FusedTrainer(engine).why_not(model, (), arguments)
    if reason is not None:
        raise CannotFuseError(reason)
    every = reasons.fit_arguments((), arguments)
    assert isinstance(every, dict), "why_not has looked"
    samples, _ = engine.data.parts(every)
    samples.batches.build(model)  # the losses and metrics
    return samples if engine.takes_rows(model, samples) else samples.dense()


def _plan(model: keras.Model, samples: Samples, places: NDArray[np.int32]) -> Plan:
    plan = Plan.of(model, samples, None)
    rows = samples.arrays.leaves[0]
    while isinstance(rows, Rows) and not rows.fits(places.ravel(), places.shape[1], plan.room):
        plan = plan.roomier()
    return plan


def _compiled(model: keras.Model, samples: Samples, plan: Plan, *inputs: Any) -> Any:
    """The program for inputs like these."""
    import jax

    functions = Functions(model, samples, None, plan)
    number = _place_of_rate(model)

    def sweep(state: Any, metrics: Any, leaves: Any, places: Any, rates: Any) -> Any:
        def step(state: Any, each: Any) -> Any:
            trainable, non_trainable, optimizer = state
            optimizer = [*optimizer]
            optimizer[number] = each[1].astype(optimizer[number].dtype)
            # Metrics begin anew with each batch: the loss that is logged is this batch's own.
            begin = (trainable, non_trainable, optimizer, metrics)
            logs, after = functions.train_step(begin, leaves, each[0])
            return after[:3], logs["loss"]

        return jax.lax.scan(step, tuple(map(list, state)), (places, rates))

    try:
        lowered = traced_for(memory.device(), sweep, *inputs).lower()
    except Exception as error:
        message = f"the train step cannot become one program: {first_line(error)}"
        raise CannotFuseError(message) from error
    finally:
        functions.forget()
    with stage.left():
        return lowered.compile()


def _place_of_rate(model: keras.Model) -> int:
    rate = model.optimizer.learning_rate
    return next(i for i, each in enumerate(model.optimizer.variables) if each is rate)
