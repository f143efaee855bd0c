"""Adam on a sparse first layer: a kernel row catches up on its pending steps when it is next read.

Adam moves every weight in every step: the moments of a weight without a gradient go on. But of a
bag of 10,000 words a batch of 32 texts uses some 1,300. The kernel rows of the other words are not
read until a batch uses them. So each step works on its active rows only:

    step t:  fetch the active rows -> apply their pending steps, all at once -> train -> store
    at the end of an epoch:  apply the pending steps of all rows (`CatchUp`)

A weight w with moments m and v and k pending steps has moved, with u = sqrt(v), by

    m  sum_j  a_j b1^j / (u b2^(j/2) + epsilon),    j = 1 ... k,                 (1)

where a_j is the learning rate of the j-th of these steps with its bias corrections. Let
b2^(j/2) = 1 - d_j: d_j is small as long as b1^j is not. So with r = u / (u + epsilon), (1) becomes

    m / (u + epsilon)  sum_n  r^n  sum_j  a_j b1^j d_j^n.                        (2)

The inner sums are the same for all rows that were last active in the same step, and a few n are
enough: for Adam's defaults four leave less than 3e-8 of the movement, the rounding of float32.

Leaving the pending steps out, as "lazy" versions of Adam do, would be another optimizer.

Source: the idea for sparse regularised regression is in B. Carpenter, Lazy sparse stochastic
gradient descent for regularized multinomial logistic regression, 2008. (1) and (2) are our own.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from afina.training import keras_parts
from afina.training.epochs import is_all_kerass
from afina.training.fused.active_rows import ActiveRows
from afina.training.fused.sparse import SparseRows

NUMBERWISE = (
    keras.optimizers.SGD,
    keras.optimizers.RMSprop,
    keras.optimizers.Adam,
    keras.optimizers.AdamW,
    keras.optimizers.Adadelta,
    keras.optimizers.Adagrad,
    keras.optimizers.Adamax,
    keras.optimizers.Ftrl,
    keras.optimizers.Lion,
)
"""Keras' optimizers that update each weight by itself, whatever the others are. Nadam would be one,
but it keeps a variable that is not among its variables."""

MEETING = ("clipnorm", "global_clipnorm", "use_ema", "gradient_accumulation_steps")
"""ModelNumbers under which an update depends on other weights, or on more than one step."""

LEAST = 2**17
"""Weights in the smallest kernel whose updates are deferred."""

LARGEST_SHARE = 0.22
"""Largest share of the kernel's rows that may be active in a step. Fetching and storing a row costs
about five times what its update does; see `benchmarks/speed/sparse_layer.py`."""

LARGEST_BYTES = 2**28
"""Bytes that the active rows of an epoch may take."""

EXACT = 3e-8
"""Share of a movement that (2) may leave out."""

MOST_TERMS = 8
"""Most powers n of r in (2)."""

LONGEST = 1024
"""Most pending steps j in (2)."""


def room_for(model: keras.Model, kernel: Any | None, rows: SparseRows, batch_size: int) -> int:
    """How many kernel rows may be active in a batch; 0 where updates are not deferred.

    Args:
        model: Compiled and built.
        kernel: The variable whose rows the first layer reads; None if there is none.
        rows: The rows that each training sample reads.
        batch_size: Samples in a step.
    """
    if kernel is None:
        return 0
    if math.prod(kernel.shape) < LEAST or kernel.dtype != "float32":
        return 0
    if kernel.constraint or kernel.regularizer or not can_wait(model):
        return 0
    if not any(each is kernel for each in model.trainable_variables):
        return 0
    row_room = rows.column_room(batch_size, LARGEST_SHARE * rows.width)
    steps = -(-rows.shape[0] // batch_size)
    if 4 * steps * (2 * row_room + 3 * rows.room(batch_size)) > LARGEST_BYTES:
        return 0
    return row_room


def can_wait(model: keras.Model) -> bool:
    """Whether the updates of a kernel of the model may be deferred.

    The model must consist of Keras' own parts, as the user's code may read the whole kernel within
    a step. The optimizer must be Keras' Adam, with settings for which (2) needs few terms.
    """
    optimizer = model.optimizer
    if type(optimizer) is not keras.optimizers.Adam or optimizer.amsgrad:
        return False
    if optimizer.weight_decay or optimizer.epsilon <= 0:
        return False
    if _terms(float(optimizer.beta_1), float(optimizer.beta_2)) is None:
        return False
    rate = keras_parts.rate_of(optimizer)
    moments = list(itertools.chain(*keras_parts.moments_of(optimizer)))
    known = [optimizer.iterations, *[rate] * isinstance(rate, keras.Variable), *moments]
    if len(moments) != 2 * len(model.trainable_variables):  # frozen, but not compiled since
        return False
    if set(map(id, optimizer.variables)) != set(map(id, known)):
        return False
    return is_numberwise(model) and is_all_kerass(model)


def is_numberwise(model: keras.Model) -> bool:
    """Whether the optimizer updates each weight by itself, so that variables may be cut or joined.

    The model must be compiled, built, and nothing but its layers.
    """
    optimizer = model.optimizer
    if not keras_parts.is_stock_model(model) or type(optimizer) not in NUMBERWISE:
        return False
    rate = keras_parts.rate_of(optimizer)
    if callable(rate) and not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return False  # a function of the user's: the optimizer cannot be built once more
    own = vars(optimizer).keys() & {"update_step", "apply", "stateless_apply"}
    # Looked up, not asked for: asking leaves a trace in the optimizer, which would change its key.
    return not own and not any(
        getattr(optimizer, name, None) for name in MEETING + keras_parts.EXCLUSIONS
    )


def _terms(beta_1: float, beta_2: float) -> NDArray[np.float64] | None:
    """b1^j d_j^n of (2) for the steps j that matter and the n that are needed; (steps, terms).

    None if more than `LONGEST` steps or `MOST_TERMS` terms are needed to be exact.
    """
    if not 0 < beta_1 < math.sqrt(beta_2) < 1:
        return None
    # Most terms are needed where epsilon is 0; there the steps' weights fall by this ratio.
    ratio = beta_1 / math.sqrt(beta_2)
    steps = math.ceil(math.log(EXACT) / math.log(ratio))
    if steps > LONGEST:
        return None
    j = np.arange(1, steps + 1)
    decay, d = beta_1**j, 1 - beta_2 ** (j / 2)
    whole = (ratio**j).sum()
    for count in range(1, MOST_TERMS + 1):
        if (ratio**j * d**count).sum() <= EXACT * whole:
            powers: NDArray[np.float64] = d[:, None] ** np.arange(count)
            return decay[:, None] * powers
    return None


@dataclass(frozen=True)
class PendingSteps:
    """The movement of kernel rows over the steps in which they are not active; (2) of the module.

    The inner sums of (2) have a row for each step in which a kernel row may have been active last:
    (waits - 1 + steps, terms), where `waits` is how many pending steps matter. The first rows are
    for steps before the epoch.
    """

    beta_1: float
    beta_2: float
    epsilon: float
    steps: int
    """Steps in an epoch."""

    @classmethod
    def of(cls, optimizer: Any, steps: int) -> PendingSteps:
        """The pending steps of an optimizer that `can_wait` accepts."""
        betas = float(optimizer.beta_1), float(optimizer.beta_2)
        return cls(*betas, float(optimizer.epsilon), steps)

    @functools.cached_property
    def _terms(self) -> NDArray[np.float32]:
        """What a step adds to the sums of the steps before it, the longest wait first."""
        terms = _terms(self.beta_1, self.beta_2)
        assert terms is not None, "can_wait has looked"
        return terms[::-1].astype(np.float32)

    def begin(self) -> Any:
        """The sums before the first step, in a program: no step is pending."""
        from jax import numpy as jnp

        waits, count = self._terms.shape
        return jnp.zeros((waits + self.steps, count), "float32")

    def add(self, sums: Any, number: Any, rate: Any) -> Any:
        """The sums after one more step, in a program.

        Args:
            sums: The sums before the step.
            number: The step's number, from 1.
            rate: Its learning rate with Adam's bias corrections, a_j of (2).
        """
        from jax import lax

        recent = lax.dynamic_slice(sums, (number - 1, 0), self._terms.shape)
        return lax.dynamic_update_slice(sums, recent + rate * self._terms, (number - 1, 0))

    def make_up(self, parts: Sequence[Any], sums: Any, since: Any, done: Any) -> list[Any]:
        """Applies the pending steps to rows of the kernel and its moments, in a program.

        Args:
            parts: Kernel, momentum and velocity, (rows, units).
            sums: The sums after the steps done.
            since: The step in which each row was last active, 0 for none.
            done: How many steps are done.
        """
        from jax import numpy as jnp

        kernel, momentum, velocity = parts
        waits, count = self._terms.shape
        terms = sums.at[since + (waits - 1)].get(mode="promise_in_bounds")
        missed = np.arange(self.steps + 1)
        decays = [
            jnp.asarray((beta**missed).astype(np.float32))
            .at[done - since]
            .get(mode="promise_in_bounds")[:, None]
            for beta in (self.beta_1, self.beta_2)
        ]
        root = jnp.sqrt(velocity)
        scale = 1 / (root + self.epsilon)
        share = root * scale
        series: Any = 0.0
        for power in reversed(range(count)):
            series = series * share + terms[:, power : power + 1]
        kernel = kernel - momentum * series * scale
        return [kernel, momentum * decays[0], velocity * decays[1]]


@dataclass(frozen=True)
class KernelPlaces:
    """Where in a state the kernel and its moments are."""

    kernel: int
    """Its place among the trainable variables."""

    momentum: int
    """Its place among the optimizer's variables."""

    velocity: int
    """Its place among the optimizer's variables."""

    def parts(self, state: Sequence[Any]) -> list[Any]:
        """The kernel and its moments.

        Args:
            state: Trainable, non-trainable and the optimizer's arrays, and perhaps more.
        """
        return [state[0][self.kernel], state[2][self.momentum], state[2][self.velocity]]

    def put(self, state: Sequence[Any], parts: Sequence[Any]) -> tuple[Any, ...]:
        """The state with these in the places of the kernel and its moments."""
        trainable, others, optimizer, *more = state
        trainable, optimizer = list(trainable), list(optimizer)
        trainable[self.kernel], optimizer[self.momentum], optimizer[self.velocity] = parts
        return (trainable, others, optimizer, *more)


@dataclass(frozen=True)
class CatchUp:
    """Applies the pending steps of all rows at the end of an epoch.

    It is a small program of its own, the same for all models with such a kernel.
    """

    pending: PendingSteps
    places: KernelPlaces

    def __call__(self, state: Sequence[Any], sums: Any, last: Any) -> tuple[Any, ...]:
        """The state with no step pending; uses up the kernel and moments that it is given.

        Args:
            state: The state that the training program returns.
            sums: The sums that the training program returns.
            last: The step in which each kernel row was last active.
        """
        parts = _make_up_all()(self.pending, self.places.parts(state), sums, last)
        return self.places.put(state, parts)


@functools.cache
def _make_up_all() -> Any:
    import jax

    def make_up(pending: PendingSteps, parts: Any, sums: Any, last: Any) -> Any:
        return pending.make_up(parts, sums, last, pending.steps)

    return jax.jit(make_up, static_argnums=0, donate_argnums=1)


class Deferral:
    """Defers the updates of one kernel, within a program.

    Args:
        optimizer: Adam as `can_wait` accepts it, built on a kernel of the active rows of a step.
        catch_up: What each epoch ends with.
    """

    def __init__(self, optimizer: Any, catch_up: CatchUp) -> None:
        self._optimizer = optimizer
        self.catch_up = catch_up

    def begin(self) -> Any:
        """The sums before the first step."""
        return self.catch_up.pending.begin()

    def add(self, sums: Any, optimizer: Sequence[Any], number: Any) -> Any:
        """The sums after one more step.

        Args:
            sums: The sums before the step.
            optimizer: The optimizer's arrays before the step, as `fetch` returns them.
            number: The step's number, from 1.
        """
        return self.catch_up.pending.add(sums, number, self._rate(optimizer))

    def _rate(self, optimizer: Sequence[Any]) -> Any:
        """The learning rate of the next step with Adam's bias corrections."""
        own = self._optimizer
        mapping = list(zip(own.variables, optimizer, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            step = keras.ops.cast(own.iterations + 1, "float32")
            rate = keras.ops.cast(own.learning_rate, "float32")
            unseen = [1 - keras.ops.power(beta, step) for beta in (own.beta_1, own.beta_2)]
            return rate * keras.ops.sqrt(unseen[1]) / unseen[0]

    def fetch(self, state: Sequence[Any], sums: Any, active_rows: ActiveRows, number: Any) -> Any:
        """The state with the active rows only of kernel and moments, their pending steps applied.

        Args:
            state: Trainable, non-trainable and the optimizer's arrays, and perhaps more.
            sums: The sums before the step.
            active_rows: The active rows of the step.
            number: The step's number, from 1.
        """
        from jax import lax

        parts = [
            array.at[active_rows.rows].get(mode="clip", indices_are_sorted=True)
            for array in self.catch_up.places.parts(state)
        ]
        parts = self.catch_up.pending.make_up(parts, sums, active_rows.since, number - 1)
        # Otherwise XLA computes the rows again for every non-zero that reads them.
        parts[0] = lax.optimization_barrier(parts[0])
        return self.catch_up.places.put(state, parts)

    def store(self, state: Sequence[Any], after: Sequence[Any], active_rows: ActiveRows) -> Any:
        """The whole state after a step.

        Args:
            state: The whole state before the step.
            after: What the step made of the state that `fetch` returned.
            active_rows: The active rows of the step.
        """
        from jax import lax

        places = self.catch_up.places
        # All are computed before the first is overwritten, so XLA overwrites in place.
        parts = lax.optimization_barrier(places.parts(after))
        # Padding repeats the number of a row that does not exist; it is dropped.
        stored = [
            array.at[active_rows.rows].set(
                part, mode="drop", indices_are_sorted=True, unique_indices=True
            )
            for array, part in zip(places.parts(state), parts, strict=True)
        ]
        return places.put(after, stored)
