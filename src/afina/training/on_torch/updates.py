"""Updates of Keras' Adam and Nadam that go through the memory of each variable once, or seldom.

Keras writes an update as ten operations over all variables, each of which reads and writes all of
them. Adam is one kernel of PyTorch's. Nadam as Keras has it reads numbers, which a trace cannot.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from afina.training import keras_parts, torch_parts
from afina.training.on_torch.leaves import leaf
from afina.training.replacing import replaced

LAST = 1e9
"""A number of steps after which the kernel's own corrections of the moments are 1: Keras' factor
holds them."""

DECAY = 0.96
"""The base of the powers by which Nadam's momentum grows, in Keras as in its paper."""


@contextlib.contextmanager
def updating_by_few_kernels(model: keras.Model) -> Iterator[None]:
    """Within the block, a plain Adam, AdamW or Nadam on a CPU updates all variables in one call."""
    optimizer = model.optimizer
    update = _update_of(optimizer)
    if update is None:
        yield
        return

    def step(gradients: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
        places = [keras_parts.place_in(optimizer, variable) for variable in variables]
        first, second = keras_parts.moments_of(optimizer)
        factors, compute = update(optimizer, keras.ops.cast(learning_rate, "float32"))
        parts = (
            list(gradients),
            [variable.value for variable in variables],
            [first[place].value for place in places],
            [second[place].value for place in places],
        )
        count = len(places)

        def whole(*tensors: Any) -> None:
            numbers, rest = tensors[: len(factors)], tensors[len(factors) :]
            lists = [list(rest[start : start + count]) for start in range(0, 4 * count, count)]
            # The kernel takes memory as it comes, and an initializer or a gradient may transpose.
            straight = [[tensor.contiguous() for tensor in each] for each in lists]
            compute(numbers, *straight)
            for held, new in zip(lists[1], straight[1], strict=True):
                if held is not new:
                    held.copy_(new)

        leaf(whole, [*factors, *(each for part in parts for each in part)], changes=True)

    with replaced(optimizer, torch_parts.UPDATE, step):
        yield


Compute = Callable[..., None]
"""Takes factors, gradients, variables, first and second moments; changes the last three."""


def _update_of(optimizer: Any) -> Callable[[Any, Any], tuple[list[Any], Compute]] | None:
    """How to update in the way of this optimizer; None if Keras' own update will do."""
    import torch

    if not keras_parts.is_kerass(type(optimizer)):
        return None
    own = getattr(type(optimizer), torch_parts.UPDATE, None)
    known = {
        getattr(torch_parts.part(name), torch_parts.UPDATE, name): update
        for name, update in (("Adam", _adam), ("Nadam", _nadam))
    }
    update = known.get(own)
    if update is None or getattr(optimizer, "amsgrad", False):
        return None
    values = [variable.value for variable in optimizer.variables]
    moments = [each.value for part in keras_parts.moments_of(optimizer) for each in part]
    if any(value.device.type != "cpu" or not value.is_contiguous() for value in values):
        return None
    return update if all(value.dtype == torch.float32 for value in moments) else None


def _power(base: float, exponent: Any) -> Any:
    return keras.ops.power(keras.ops.cast(base, "float32"), exponent)


def _adam(optimizer: Any, rate: Any) -> tuple[list[Any], Compute]:
    import torch

    step = keras.ops.cast(optimizer.iterations + 1, "float32")
    corrected = keras.ops.sqrt(1 - _power(optimizer.beta_2, step))
    factor = rate * corrected / (1 - _power(optimizer.beta_1, step))
    beta_1, beta_2, epsilon = optimizer.beta_1, optimizer.beta_2, optimizer.epsilon
    last = torch.tensor(LAST)

    def compute(
        factors: Any, gradients: Any, variables: list[Any], first: Any, second: Any
    ) -> None:
        torch._fused_adam_(
            variables,
            gradients,
            first,
            second,
            [],
            [last] * len(variables),
            lr=float(factors[0]),
            beta1=beta_1,
            beta2=beta_2,
            weight_decay=0.0,
            eps=epsilon,
            amsgrad=False,
            maximize=False,
        )

    return [factor], compute


def _nadam(optimizer: Any, rate: Any) -> tuple[list[Any], Compute]:
    import torch

    beta_1, beta_2, epsilon = optimizer.beta_1, optimizer.beta_2, optimizer.epsilon
    now = keras.ops.cast(optimizer.iterations + 1, "float32")
    momentum = beta_1 * (1.0 - 0.5 * _power(DECAY, now))
    following = beta_1 * (1.0 - 0.5 * _power(DECAY, now + 1))
    held = torch_parts.product_of(optimizer)
    product = held.value * momentum
    held.assign(product)
    of_moments = rate * following / (1 - product * following)
    of_gradients = rate * (1 - momentum) / (1 - product)
    corrected = keras.ops.sqrt(1 - _power(beta_2, now))

    def compute(
        factors: Any, gradients: Any, variables: list[Any], first: Any, second: Any
    ) -> None:
        torch._foreach_mul_(first, beta_1)
        torch._foreach_add_(first, gradients, alpha=1 - beta_1)
        torch._foreach_mul_(second, beta_2)
        torch._foreach_addcmul_(second, gradients, gradients, value=1 - beta_2)
        change = torch._foreach_mul(first, factors[0])
        torch._foreach_add_(change, torch._foreach_mul(gradients, factors[1]))
        scale = torch._foreach_sqrt(second)
        torch._foreach_div_(scale, factors[2])
        torch._foreach_add_(scale, epsilon)
        torch._foreach_addcdiv_(variables, change, scale, value=-1)

    return [of_moments, of_gradients, corrected], compute
