"""`trace`: one train or test step of Keras as a flat list of PyTorch's operations."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import keras

from afina.training import keras_parts
from afina.training.on_torch.draws import drawing_anew
from afina.training.on_torch.layouts import has_pooling
from afina.training.on_torch.passes import simplified
from afina.training.on_torch.recording import Recording
from afina.training.on_torch.recurrent import looping_by_few_calls
from afina.training.on_torch.resizing import rates_of, resized
from afina.training.on_torch.updates import updating_by_few_kernels
from afina.training.replacing import replaced
from afina.trials import first_line

Kind = Literal["train", "validate"]

Step = Callable[..., None]
"""A traced step: a function of the variables and of a batch's leaves, which changes variables."""

CLOSE = 1e-5
"""How far a traced step may be from Keras' own, relative to the largest number of a variable."""


class TraceError(Exception):
    """A step that cannot be traced, or whose trace does something else; the message says why."""


def reason_of(error: BaseException) -> str:
    """Why a step could not be traced, without what Keras and PyTorch write around it."""
    cause: BaseException | None = error
    while cause is not None:
        if "value out of a tracing tensor" in str(cause):
            return "it reads a number out of a tensor"
        cause = cause.__cause__ or cause.__context__
    return first_line(error)


def variables_of(model: keras.Model) -> list[Any]:
    """Every variable of a built model, its optimizer and metrics, once each."""
    lists = (model.variables, model.optimizer.variables, model.metrics_variables)
    return list({id(each): each for part in lists for each in part}.values())


def values_of(model: keras.Model) -> list[Any]:
    """The tensors behind `variables_of`."""
    return [getattr(variable, keras_parts.VALUE) for variable in variables_of(model)]


def step_by_keras(model: keras.Model, kind: Kind, data: Any) -> Any:
    """One step of Keras' own on a batch."""
    import torch

    if kind == "train":
        return model.train_step(data)
    with torch.no_grad():
        return model.test_step(data)


def trace(model: keras.Model, kind: Kind, structure: Any, batches: Sequence[Sequence[Any]]) -> Step:
    """Traces a step on copies of the model's variables, and compares it with Keras' own.

    Args:
        model: Compiled and built; nothing in it changes, nor in PyTorch's global stream.
        kind: Which step.
        structure: The structure of the data, each leaf its place in a batch.
        batches: The leaves of two batches.

    Returns:
        A function of the variables and the leaves, in this order, that changes the variables.

    Raises:
        TraceError: The step cannot be traced, or the trace does something else.
    """
    recording = record(model, kind, structure, batches[0])
    return step_of(recording, model, kind, structure, batches)


def record(model: keras.Model, kind: Kind, structure: Any, batch: Sequence[Any]) -> Recording:
    """Records a step on copies of the model's variables; arguments and errors as of `trace`."""
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    trained = copies_of(model)
    count = len(trained)
    shapes = tuple(tuple(each.shape) for each in (*trained, *batch))

    def step(*tensors: Any) -> tuple[()]:
        data = pack(structure, tensors[count:])
        with standing_in(model, tensors[:count]), updating_by_few_kernels(model):
            step_by_keras(model, kind, data)
        return ()

    with contextlib.ExitStack() as stack:
        stack.enter_context(_leaving(model))
        stack.enter_context(torch.random.fork_rng(devices=_devices(trained)))
        for each in (drawing_anew(), looping_by_few_calls(), _describing_briefly()):
            stack.enter_context(each)
        traced = make_fx(step, tracing_mode="real")(*trained, *batch)
    named = {node.target for node in traced.graph.nodes if node.op == "get_attr"}
    tensors = {name: getattr(traced, name) for name in named}
    rates = rates_of(model).values()[::2] if kind == "train" else []
    return Recording(traced.graph, tensors, shapes, tuple(rates)).copied()


def record_again(recording: Recording, model: keras.Model, batch: Sequence[Any]) -> Recording:
    """The recording of another model's step, made from that of a model of the same structure.

    Raises:
        CannotResizeError: It cannot be made over.
    """
    import torch

    copies = [each.detach() for each in copies_of(model)]
    rates = rates_of(model).values()[::2] if recording.rates else []
    with torch.random.fork_rng(devices=_devices(copies)):
        return resized(recording, [*copies, *batch], rates)


def step_of(
    recording: Recording,
    model: keras.Model,
    kind: Kind,
    structure: Any,
    batches: Sequence[Sequence[Any]],
) -> Step:
    """The function of a recorded step, once it does the same as Keras' own on these batches."""
    import torch

    count = len(variables_of(model))
    with _leaving(model), torch.random.fork_rng(devices=_devices(values_of(model))):
        stream = torch.random.get_rng_state()
        for layouts in (True, False) if has_pooling(recording.graph) else (False,):
            function = simplified(recording.copied(), count, layouts=layouts)
            try:
                _check(model, kind, structure, batches, function, stream)
            except TraceError:
                if not layouts:
                    raise
            else:
                return function
    raise AssertionError("the last way returns or raises")


def _describing_briefly() -> contextlib.AbstractContextManager[None]:
    """Within the block, a trace keeps shapes and types of results but no stand-ins for them, which
    would take most of its time."""
    from torch.fx.experimental import proxy_tensor

    def device_of(value: Any, include_real: bool = False) -> Any:
        del include_real
        return getattr(value, "device", None)

    return replaced(proxy_tensor, "extract_val", device_of)


def _check(
    model: keras.Model,
    kind: Kind,
    structure: Any,
    batches: Sequence[Sequence[Any]],
    function: Step,
    stream: Any,
) -> None:
    """Raises TraceError if a traced step does something else than Keras' own on these batches."""
    import torch

    copies = copies_of(model)
    for batch in batches:  # the second shows what the trace has kept of the first
        # From equal numbers each time: rounding may grow, as in what normalization cancels.
        mine = [each.detach().clone() for each in copies]
        torch.random.set_rng_state(stream)
        with standing_in(model, copies):
            step_by_keras(model, kind, pack(structure, batch))
        torch.random.set_rng_state(stream)
        with torch.no_grad():
            function(*mine, *batch)
        _compare(model, copies, mine)
        for each in copies:  # Keras clears the gradients of its own variables only
            each.grad = None


def pack(structure: Any, leaves: Sequence[Any]) -> Any:
    """The data of a step from the leaves of a batch."""
    return keras.tree.map_structure(
        lambda place: None if place is None else leaves[place], structure
    )


@contextlib.contextmanager
def standing_in(model: keras.Model, values: Sequence[Any]) -> Iterator[None]:
    """Within the block, the model reads and writes these tensors in place of its variables."""
    with contextlib.ExitStack() as stack:
        for variable, value in zip(variables_of(model), values, strict=True):
            stack.enter_context(replaced(variable, keras_parts.VALUE, value))
        yield


@contextlib.contextmanager
def _leaving(model: keras.Model) -> Iterator[None]:
    """After the block, the gradients are those of before."""
    values = values_of(model)
    gradients = [value.grad for value in values]
    try:
        yield
    finally:
        for value, gradient in zip(values, gradients, strict=True):
            value.grad = gradient


def copies_of(model: keras.Model) -> list[Any]:
    """Copies of `values_of`."""
    return [
        value.detach().clone().requires_grad_(value.requires_grad) for value in values_of(model)
    ]


def _devices(values: Sequence[Any]) -> list[int]:
    return sorted({value.device.index or 0 for value in values if value.device.type == "cuda"})


def _compare(model: keras.Model, expected: Sequence[Any], found: Sequence[Any]) -> None:
    """Raises TraceError where a traced step and Keras' own differ by more than rounding.

    Some gradients are rounding and nothing else, as of a bias that normalization takes out again.
    Adam makes whole steps of them, so their numbers are not compared.

    Args:
        model: Whose variables they are.
        expected: The variables after a step of Keras' own, with its gradients.
        found: The variables after a traced step.
    """
    gradients = [value.grad.abs() for value in expected if value.grad is not None]
    steepest = max((float(each.max()) for each in gradients if each.numel()), default=0.0)
    of_optimizer = {id(variable) for variable in model.optimizer.variables}
    variables = variables_of(model)
    moments = [
        float(value.detach().abs().max())
        for variable, value in zip(variables, expected, strict=True)
        if id(variable) in of_optimizer and value.ndim and value.numel()
    ]
    largest = max(moments, default=0.0)
    for variable, one, other in zip(variables, expected, found, strict=True):
        if not one.numel():
            continue
        gradient, one, other = one.grad, one.detach().double(), other.detach().double()
        apart = (one - other).abs()
        # Numbers of the same variable have the same rounding, by the largest of them.
        most = CLOSE * max(float(one.abs().max()), CLOSE)
        if id(variable) in of_optimizer:
            most = max(most, CLOSE * CLOSE * largest)
        fine = (apart <= most) | (one.isnan() & other.isnan())
        if gradient is not None:
            fine |= gradient.abs() <= CLOSE * CLOSE * steepest
        if not bool(fine.all()):
            raise TraceError(f"a traced step changes {variable.path} otherwise than Keras does")
