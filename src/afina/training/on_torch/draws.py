"""Random draws of Keras within a traced step: each run draws anew, by the seed in the variable.

Keras makes a generator from two numbers that it reads from the seed's variable. A trace would keep
the numbers of the step that was traced. Draws without a seed come from PyTorch's global stream, and
need nothing of this.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from afina.training import torch_parts
from afina.training.on_torch.leaves import leaf
from afina.training.replacing import replaced

READS = ("numpy", "tolist", "item", "__array__", "__bool__", "__int__", "__float__", "__index__")
"""Methods that take numbers out of a tensor, which a trace would keep."""


class ReadingError(Exception):
    """A step takes numbers out of a tensor."""


@contextlib.contextmanager
def drawing_anew() -> Iterator[None]:
    """Within the block, draws with a seed are traced so that each run draws anew.

    Raises:
        ReadingError: Code in the block reads numbers that differ from step to step.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    seeds: dict[int, tuple[Any, Any]] = {}

    class Watch(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            del types
            kwargs = dict(kwargs or {})
            known = seeds.get(id(kwargs.get("generator")))
            if known is not None:
                del kwargs["generator"]
                return _drawn(func, known[1], args, kwargs)
            factor, name = kwargs.get("alpha"), getattr(func, "__name__", "")
            if name == "_foreach_add_" and isinstance(factor, torch.Tensor):
                # Keras gives the learning rate as a factor, which PyTorch reads.
                return func(args[0], torch._foreach_mul(args[1], factor))
            if name in READS and args and _varies(args[0]):
                raise ReadingError("value out of a tracing tensor")
            return func(*args, **kwargs)

    module = torch_parts.module_of("seeding")

    def seeding(seed: Any) -> Any:
        state = torch_parts.part("draw_seed")(seed)
        if state.device.type == "meta":  # Keras only infers shapes
            return None
        generator = torch.Generator(device=state.device)
        seeds[id(generator)] = generator, state
        return generator

    with replaced(module, "torch_seed_generator", seeding), Watch():
        yield


def _drawn(func: Callable[..., Any], seed: Any, args: Any, kwargs: Any) -> Any:
    """The draw of `func`; its tensor arguments and the seed are inputs of the traced call."""
    import torch

    places = [place for place, value in enumerate(args) if isinstance(value, torch.Tensor)]

    def compute(state: Any, *tensors: Any) -> Any:
        given = list(args)
        for place, tensor in zip(places, tensors, strict=True):
            given[place] = tensor
        device = tensors[0].device if tensors else kwargs.get("device", "cpu")
        generator = torch.Generator(device=device)
        generator.manual_seed(int(state.sum()) & 0xFFFFFFFF)
        return func(*given, generator=generator, **kwargs)

    tensors = [args[place] for place in places]
    shaped = len(places) < len(args) or "size" in kwargs
    args = [None if place in places else value for place, value in enumerate(args)]
    return leaf(compute, [seed, *tensors], shaped=shaped)


def _varies(value: Any) -> bool:
    """Whether a tensor is computed from the inputs of the traced step."""
    from torch import Tensor
    from torch.fx.experimental import proxy_tensor

    mode = proxy_tensor.get_proxy_mode()
    if mode is None or not isinstance(value, Tensor):
        return False
    held = proxy_tensor.get_proxy_slot(value, mode.tracer, None)
    return held is not None and held.constant is None
