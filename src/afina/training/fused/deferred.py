"""Adam on a sparse first layer: a row of the kernel is brought up to date when it is next read.

Adam moves every number in every step, as the moments of one without a gradient go on. Of a bag of
10,000 words a batch of 32 texts names some 1,300, though, and the rows of the kernel that belong to
the others are not read before a batch names them. So a step touches the rows that its batch names:
it first makes up for the steps that these have missed, all at once, and then updates them. At the
end of an epoch all rows are made up for. (For sparse regularised regression: B. Carpenter, Lazy
sparse stochastic gradient descent, 2008. Leaving the missed steps out, as "lazy" versions of Adam
do, would be another optimizer.)

A number w with moments m and v that has missed k steps has moved, with u = sqrt(v), by

    m  sum_j  a_j b1^j / (u b2^(j/2) + epsilon),    j = 1 ... k,

where a_j is the rate of the j-th of these steps with its bias corrections. b2^(j/2) = 1 - d_j with
a d_j that is small as long as b1^j is not; so with r = u / (u + epsilon) this is

    m / (u + epsilon)  sum_n  r^n  sum_j  a_j b1^j d_j^n.

The inner sums are the same for all rows that were last touched in the same step, and few n will do:
for Adam's defaults four leave less than 3e-8 of the movement, the rounding of float32.
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
from afina.training.fused.key import is_all_kerass
from afina.training.fused.numberwise import is_numberwise
from afina.training.fused.sparse import Rows
from afina.training.fused.touches import Touched

LEAST = 2**17
"""Numbers in a kernel from which on its updates are deferred."""

LARGEST_SHARE = 0.22
"""Share of the kernel's rows that batches may name at most: a row that is fetched and put back
costs about five times what its update does; see `benchmarks/speed/sparse_layer.py`."""

LARGEST_BYTES = 2**28
"""What the touches of an epoch may take in memory."""

EXACT = 3e-8
"""Share of a movement that may be left out."""

MOST_TERMS = 8
"""Powers of r up to which a movement is worked out."""

LONGEST = 1024
"""Missed steps up to which movements are added up."""


def room_for(model: keras.Model, dense: Any | None, rows: Rows, batch_size: int) -> int:
    """How many rows of the kernel a batch may touch; 0 where updates are not deferred.

    Args:
        model: Compiled and built.
        dense: The layer that reads the inputs; None if several do.
        rows: The inputs, as they are trained with.
        batch_size: How many of them make a step.
    """
    if dense is None:
        return 0
    kernel = dense.kernel
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
    """Whether rows of a kernel of the model's may wait for their updates.

    It must be all Keras' own, as code of the user's may read the whole kernel within a step; its
    optimizer Adam, as Keras builds it, with settings for which a few terms give what was missed.
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


def _terms(beta_1: float, beta_2: float) -> NDArray[np.float64] | None:
    """b1^j d_j^n for the steps j = 1 ... that matter and the n that are needed; (steps, terms).

    None if it takes more than `LONGEST` steps or `MOST_TERMS` terms to be exact.
    """
    if not 0 < beta_1 < math.sqrt(beta_2) < 1:
        return None
    # Where epsilon is nothing, which is where most terms are needed, steps count in this ratio.
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
class Idling:
    """How numbers without a gradient move on under Adam, and the sums that tell how far.

    The sums have a row for each step that may have been a row's last one, (waits - 1 + steps,
    terms) with as many waits as matter; the first are for steps before the epoch.
    """

    beta_1: float
    beta_2: float
    epsilon: float
    steps: int
    """In an epoch."""

    @classmethod
    def of(cls, optimizer: Any, steps: int) -> Idling:
        """Of an optimizer as `can_wait` accepts it."""
        betas = float(optimizer.beta_1), float(optimizer.beta_2)
        return cls(*betas, float(optimizer.epsilon), steps)

    @functools.cached_property
    def _terms(self) -> NDArray[np.float32]:
        """What a step adds to the sums of the last `waits` steps, the longest wait first."""
        terms = _terms(self.beta_1, self.beta_2)
        assert terms is not None, "can_wait has looked"
        return terms[::-1].astype(np.float32)

    def begin(self) -> Any:
        """The sums before the first step, in a program: nothing has been missed."""
        from jax import numpy as jnp

        waits, count = self._terms.shape
        return jnp.zeros((waits + self.steps, count), "float32")

    def add(self, sums: Any, number: Any, rate: Any) -> Any:
        """The sums after one more step, in a program.

        Args:
            sums: Before it.
            number: The step's, from 1.
            rate: Its learning rate with Adam's bias corrections.
        """
        from jax import lax

        recent = lax.dynamic_slice(sums, (number - 1, 0), self._terms.shape)
        return lax.dynamic_update_slice(sums, recent + rate * self._terms, (number - 1, 0))

    def make_up(self, parts: Sequence[Any], sums: Any, since: Any, done: Any) -> list[Any]:
        """Rows of the kernel and its moments with what they have missed, in a program.

        Args:
            parts: Kernel, momentum and velocity, (rows, units).
            sums: After the steps done.
            since: The step that touched each row last, 0 for none.
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
class Places:
    """Where a state's arrays are."""

    kernel: int
    """Among the trainable variables."""

    momentum: int
    """Among the optimizer's."""

    velocity: int

    def parts(self, state: Sequence[Any]) -> list[Any]:
        """The kernel and its moments.

        Args:
            state: Trainable, non-trainable and the optimizer's arrays, and perhaps more.
        """
        return [state[0][self.kernel], state[2][self.momentum], state[2][self.velocity]]

    def put(self, state: Sequence[Any], parts: Sequence[Any]) -> tuple[Any, ...]:
        """The state with others in their places."""
        trainable, others, optimizer, *more = state
        trainable, optimizer = list(trainable), list(optimizer)
        trainable[self.kernel], optimizer[self.momentum], optimizer[self.velocity] = parts
        return (trainable, others, optimizer, *more)


@dataclass(frozen=True)
class Ending:
    """Brings all rows up to date at the end of an epoch.

    A small program of its own, the same for all models with such a kernel.
    """

    idling: Idling
    places: Places

    def __call__(self, state: Sequence[Any], sums: Any, last: Any) -> tuple[Any, ...]:
        """The state with all rows up to date; its kernel and moments are used up.

        Args:
            state: As the training program returns it.
            sums: Likewise.
            last: The step that touched each of the kernel's rows last.
        """
        parts = _make_up_all()(self.idling, self.places.parts(state), sums, last)
        return self.places.put(state, parts)


@functools.cache
def _make_up_all() -> Any:
    import jax

    def make_up(idling: Idling, parts: Any, sums: Any, last: Any) -> Any:
        return idling.make_up(parts, sums, last, idling.steps)

    return jax.jit(make_up, static_argnums=0, donate_argnums=1)


class Deferral:
    """The updates of one kernel, within a program.

    Args:
        optimizer: Adam as `can_wait` accepts it, built on a kernel of the rows touched in a step.
        ending: What its epochs end with.
    """

    def __init__(self, optimizer: Any, ending: Ending) -> None:
        self._optimizer = optimizer
        self.ending = ending

    def begin(self) -> Any:
        """The sums before the first step."""
        return self.ending.idling.begin()

    def add(self, sums: Any, optimizer: Sequence[Any], number: Any) -> Any:
        """The sums after one more step.

        Args:
            sums: Before it.
            optimizer: The optimizer's arrays before it, as `fetch` gives them.
            number: The step's, from 1.
        """
        return self.ending.idling.add(sums, number, self._rate(optimizer))

    def _rate(self, optimizer: Sequence[Any]) -> Any:
        """The learning rate of the next step with Adam's bias corrections."""
        own = self._optimizer
        mapping = list(zip(own.variables, optimizer, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            step = keras.ops.cast(own.iterations + 1, "float32")
            rate = keras.ops.cast(own.learning_rate, "float32")
            unseen = [1 - keras.ops.power(beta, step) for beta in (own.beta_1, own.beta_2)]
            return rate * keras.ops.sqrt(unseen[1]) / unseen[0]

    def fetch(self, state: Sequence[Any], sums: Any, touched: Touched, number: Any) -> Any:
        """The state with a kernel, and moments, of the touched rows only, brought up to date.

        Args:
            state: Trainable, non-trainable and the optimizer's arrays, and perhaps more.
            sums: Before the step.
            touched: What the step touches.
            number: The step's, from 1.
        """
        from jax import lax

        parts = [
            array.at[touched.rows].get(mode="clip", indices_are_sorted=True)
            for array in self.ending.places.parts(state)
        ]
        parts = self.ending.idling.make_up(parts, sums, touched.since, number - 1)
        # Else XLA works the rows out anew for every non-zero that reads them.
        parts[0] = lax.optimization_barrier(parts[0])
        return self.ending.places.put(state, parts)

    def store(self, state: Sequence[Any], after: Sequence[Any], touched: Touched) -> Any:
        """The state after a step, whole again.

        Args:
            state: The whole one before it.
            after: What came of what `fetch` gave.
            touched: As for `fetch`.
        """
        from jax import lax

        places = self.ending.places
        # All are worked out before the first is overwritten, which is then done in place.
        parts = lax.optimization_barrier(places.parts(after))
        # Padding repeats a number, but of a row that is not there: it is dropped.
        stored = [
            array.at[touched.rows].set(
                part, mode="drop", indices_are_sorted=True, unique_indices=True
            )
            for array, part in zip(places.parts(state), parts, strict=True)
        ]
        return places.put(after, stored)
