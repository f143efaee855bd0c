"""A training whose learning rate is given for every step, as a compiled program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from afina.training.epochs import Samples, reasons
from afina.training.fused import memory
from afina.training.fused.convolutions import traced_for
from afina.training.fused.engine import CannotFuseError, Engine
from afina.training.fused.plan import Plan
from afina.training.fused.program import ModelState, ProgramFunctions
from afina.training.fused.sparse import SparseRows
from afina.training.fused.trainer import FusedTrainer
from afina.training.python_turn import python_turn
from afina.trials import first_line

AT_ONCE = 25
"""Most steps that one call of the program computes: up to so many may turn out not to be needed."""


def sweep_losses(
    model: keras.Model,
    given: Mapping[str, Any],
    places: NDArray[np.int32],
    rates: NDArray[np.float64],
) -> Iterator[float]:
    """Trains with a learning rate given for each step, and yields each batch's loss.

    The model is read at the beginning and stays as it is. The training ends when the caller closes
    the iterator.

    Args:
        model: Compiled and built, with a built optimizer whose learning rate is a plain number.
        given: `x`, `y` and `sample_weight` of `fit`, all of them arrays.
        places: Sample numbers of each step; (steps, batch size).
        rates: Learning rate of each step; (steps,).

    Yields:
        The loss of each batch, before the step that it is used for.

    Raises:
        CannotFuseError: The training cannot be fused; raised before the first loss.
    """
    import jax

    steps, size = places.shape
    calls = -(-steps // AT_ONCE)
    at_once = -(-steps // calls)
    # The last call computes a few steps too many, which are not reported.
    padding = ((0, calls * at_once - steps), (0, 0))
    places = np.pad(places, padding, mode="edge")
    rates = np.pad(rates, padding[0], mode="edge").astype(np.float32)

    samples, device = _samples(model, given, size), memory.device()
    plan = _plan(model, samples, places)
    model.reset_metrics()
    state = ModelState.of(model)
    metrics = [np.array(value) for value in state.metrics]
    arrays: Any = state.inputs()
    inputs = (metrics, samples.arrays.on(device), places[:at_once], rates[:at_once])
    program = _compiled(model, samples, plan, arrays, *inputs)
    for start in range(0, len(rates), at_once):
        here = slice(start, start + at_once)
        with python_turn.released():
            arrays, losses = program(arrays, *inputs[:2], places[here], rates[here])
            reported = np.asarray(jax.block_until_ready(losses), np.float64)
        yield from map(float, reported[: steps - start])


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
    return samples if engine.can_read(model, samples) else samples.dense()


def _plan(model: keras.Model, samples: Samples, places: NDArray[np.int32]) -> Plan:
    plan = Plan.of(model, samples, None)
    rows = samples.arrays.leaves[0]
    while isinstance(rows, SparseRows) and not rows.fits(
        places.ravel(), places.shape[1], plan.room
    ):
        plan = plan.roomier()
    return plan


def _compiled(model: keras.Model, samples: Samples, plan: Plan, *inputs: Any) -> Any:
    """The program for inputs like these."""
    import jax

    functions = ProgramFunctions(model, samples, None, plan)
    number = _place_of_rate(model)

    def sweep(state: Any, metrics: Any, leaves: Any, places: Any, rates: Any) -> Any:
        def step(state: Any, each: Any) -> Any:
            trainable, non_trainable, optimizer = state
            optimizer = [*optimizer]
            optimizer[number] = each[1].astype(optimizer[number].dtype)
            # Metrics are reset for each batch, so the logged loss is this batch's own.
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
    with python_turn.released():
        return lowered.compile()


def _place_of_rate(model: keras.Model) -> int:
    rate = model.optimizer.learning_rate
    return next(i for i, each in enumerate(model.optimizer.variables) if each is rate)
