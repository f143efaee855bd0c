"""`resized`: the recording of a step, made over for a model with other widths and rates of dropout.

Models that differ in the widths of their layers run the same operations on tensors of other shapes.
What a recording holds of the shapes are the lengths that operations such as `view`, `expand` and
`zeros` are given. Here the recorded operations run once in the shapes of the other model, and each
length is worked out from what the operation reads. To record a step takes several times as long.

A length may be worked out wrongly, as where 64 is both a width and the size of a batch. Callers
compare the result with Keras' own step, as they do with a recording.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import keras

from afina.training.epochs.numbers import ModelNumbers
from afina.training.on_torch.leaves import SHAPED
from afina.training.on_torch.recording import ABOUT, About, Recording, Shape

LISTS = ("size", "shape", "input_sizes", "self_sizes", "normalized_shape", "split_sizes", "sizes")
"""Arguments of operations that are lists of lengths."""

SINGLE = ("end", "start", "length", "split_size", "num_features")
"""Arguments of operations that are one length."""

VIEWS = ("view", "_unsafe_view", "reshape", "_reshape_alias")
"""Operations whose result has as many numbers as what they read."""

OTHER_VIEWS = ("as_strided", "as_strided_", "as_strided_scatter")
"""Operations that show memory in a layout of their own."""

STRIDES = "stride"
"""The argument that gives the layout in memory, after the one that gives the shape."""

NEAR = 1e-12
"""How close two numbers are that were computed from the same rate."""


class CannotResizeError(Exception):
    """A recording in which it cannot be told what a length or number depends on."""


def rates_of(model: keras.Model) -> ModelNumbers:
    """The rates of dropout in which models with one recording may differ: those above 0 of plain
    layers without a seed."""
    every = ModelNumbers.of(model).every
    return ModelNumbers(tuple(each for each in every if _is_plain(each.owner)))


def _is_plain(layer: Any) -> bool:
    return type(layer) is keras.layers.Dropout and layer.seed is None and layer.noise_shape is None


def resized(recording: Recording, tensors: Sequence[Any], rates: Sequence[float]) -> Recording:
    """The recording of the same step of a model of other widths or rates.

    Args:
        recording: Of a model of the same structure.
        tensors: Copies of the other model's variables, and the leaves of a batch; they change.
        rates: Of the other model, in the order of those of the recording.

    Raises:
        CannotResizeError: It cannot be told what depends on a width or a rate.
    """
    import torch

    shapes = tuple(tuple(each.shape) for each in tensors)
    lengths = _Lengths(recording.shapes, shapes)
    numbers = _DropoutRates(recording.rates, rates)
    made = recording.copied()
    nodes = list(made.graph.nodes)
    before = {node: node.meta.get(ABOUT) for node in nodes}
    ends = _last_uses(nodes)
    given = iter(tensors)
    values: dict[Any, Any] = {}
    with torch.no_grad():
        for node in nodes:
            if node.op == "placeholder":
                value = next(given)
            elif node.op == "get_attr":
                value = made.tensors[node.target]
            elif node.op == "output":
                continue
            else:
                _make_over(node, lengths, numbers, before, values)
                args, options = torch.fx.map_arg((node.args, node.kwargs), values.__getitem__)
                value = node.target(*args, **options)
            values[node] = value
            if isinstance(value, torch.Tensor):
                node.meta[ABOUT] = About.of(value)
            for used in ends.get(node, ()):
                del values[used]
    numbers.check()
    return Recording(made.graph, made.tensors, shapes, tuple(rates))


def _last_uses(nodes: Sequence[Any]) -> dict[Any, list[Any]]:
    """The nodes that each node is the last to read."""
    ends: dict[Any, list[Any]] = {}
    seen = set()
    for node in reversed(nodes):
        for used in node.all_input_nodes:
            if used not in seen:
                seen.add(used)
                ends.setdefault(node, []).append(used)
    return ends


def _make_over(
    node: Any, lengths: _Lengths, rates: _DropoutRates, before: Any, values: Any
) -> None:
    """Changes the lengths and rates among the arguments of a node."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        if getattr(node.target, SHAPED, False) and lengths.differ:
            raise CannotResizeError("a random draw is given its shape")
        return
    name = str(schema.name).partition("::")[2]
    read = node.args[0] if node.args and hasattr(node.args[0], "meta") else None
    old = None if read is None or before[read] is None else tuple(before[read].shape)
    new = None if old is None else tuple(values[read].shape)
    lists: tuple[Any, Any] = ((), ())
    for place, about in enumerate(schema.arguments[: len(node.args)]):
        value = node.args[place]
        if about.name in LISTS and isinstance(value, list | tuple):
            sizes = lengths.of_list(name, value, old, new)
            if name in OTHER_VIEWS and list(sizes) != list(value):
                raise CannotResizeError("an operation shows memory in a layout of its own")
            node.update_arg(place, sizes)
            lists = value, sizes
        elif about.name == STRIDES and name.endswith("empty_strided"):
            node.update_arg(place, _strides(value, *lists))
        elif about.name in SINGLE and type(value) is int:
            node.update_arg(place, lengths.of(value))
    number = rates.place_in(node, name)
    if number is not None:
        node.update_arg(number, rates.of(node.args[number], name))


def _strides(strides: Sequence[int], old: Sequence[int], new: Sequence[int]) -> list[int]:
    """The layout in memory of another shape, its dimensions in the same order.

    Raises:
        CannotResizeError: The layout leaves gaps.
    """
    order = sorted(range(len(old)), key=lambda place: (-strides[place], place))

    def dense(shape: Sequence[int]) -> list[int]:
        return [
            math.prod(shape[other] for other in order[order.index(place) + 1 :])
            for place in range(len(shape))
        ]

    if dense(old) != list(strides):
        raise CannotResizeError("an operation is given a layout in memory with gaps")
    return dense(new)


class _Lengths:
    """What the lengths of one model are in another.

    Args:
        old: Shapes of the inputs of the recording.
        new: Shapes of the same inputs of the other model.
    """

    def __init__(self, old: Sequence[Shape], new: Sequence[Shape]) -> None:
        self.differ = tuple(old) != tuple(new)
        self._known: dict[int, set[int]] = {}
        for one, other in zip(old, new, strict=True):
            for length, now in zip(one, other, strict=True):
                self._known.setdefault(length, set()).add(now)

    def of(self, length: int) -> int:
        """What a length is now.

        Raises:
            CannotResizeError: There are several.
        """
        found = self._known.get(length, {length})
        if len(found) > 1:
            raise CannotResizeError(f"{length} is the length of several things")
        return next(iter(found))

    def of_list(
        self, name: str, sizes: Sequence[Any], old: Shape | None, new: Shape | None
    ) -> list[Any]:
        """What the lengths are that an operation is given.

        Args:
            name: The operation.
            sizes: The recorded lengths.
            old: The shape of what it read; None if it reads nothing.
            new: The shape of what it reads now.
        """
        if not self.differ:
            return list(sizes)
        views = name in VIEWS
        result: list[Any] = []
        unsure: list[int] = []
        for place, size in enumerate(sizes):
            if not isinstance(size, int) or size < 0:
                result.append(size)
                continue
            now = _beside(size, place, place - len(sizes), old, new, both=views)
            if now is None:
                found = self._known.get(size, {size})
                now = next(iter(found))
                if len(found) > 1 or (views and size not in self._known):
                    unsure.append(place)
            result.append(now)
        if views and new is not None:
            return _fitted(result, sizes, unsure, math.prod(new))
        for place in unsure:
            self.of(sizes[place])
        return result


def _beside(
    size: int, place: int, back: int, old: Shape | None, new: Shape | None, *, both: bool
) -> int | None:
    """The length at the same place of what an operation reads, from the end or the beginning; None
    if another length was there."""
    if old is None or new is None or size == 1:
        return 1 if size == 1 else None
    if -back <= len(old) and old[back] == size:
        return new[back]
    if both and place < len(old) and old[place] == size:
        return new[place]
    return None


def _fitted(
    sizes: list[int], before: Sequence[int], unsure: Sequence[int], total: int
) -> list[int]:
    """The lengths of a view of so many numbers; one that is unsure follows from the rest."""
    if -1 in sizes or math.prod(sizes) == total:
        return sizes
    # What was 0 or 1 stays, and a width is likelier to be the last.
    for place in reversed(unsure):
        rest = math.prod(size for other, size in enumerate(sizes) if other != place)
        if rest and total % rest == 0:
            return [*sizes[:place], total // rest, *sizes[place + 1 :]]
    raise CannotResizeError(f"a view of {list(before)} has no shape here")


class _DropoutRates:
    """What the rates of one model are in another.

    Args:
        old: Rates of the recording.
        new: Rates of the other model, in the same order.
    """

    def __init__(self, old: Iterable[float], new: Iterable[float]) -> None:
        self._pairs = set(zip(old, new, strict=True))
        self._left = {one for one, other in self._pairs if one != other}

    def place_in(self, node: Any, name: str) -> int | None:
        """The argument of an operation of dropout that is computed from the rate, if any."""
        if not self._pairs:
            return None
        if name in ("native_dropout", "bernoulli_"):
            return 1
        if name == "native_dropout_backward":
            return 2
        drawn = node.args[0] if name == "div_" else None
        schema = getattr(getattr(drawn, "target", None), "_schema", None)
        return 1 if schema is not None and schema.name == "aten::bernoulli_" else None

    def of(self, number: Any, name: str) -> Any:
        """What a number is now that an operation was given.

        Raises:
            CannotResizeError: It belongs to layers that now have different rates.
        """
        if not isinstance(number, float):
            return number

        def compute(rate: float) -> float:
            if name == "native_dropout":
                return rate
            return 1 / (1 - rate) if name == "native_dropout_backward" else 1 - rate

        found = {pair for pair in self._pairs if abs(compute(pair[0]) - number) <= NEAR}
        if len(found) > 1:
            raise CannotResizeError("layers of one rate have different ones now")
        for old, new in found:
            self._left.discard(old)
            return compute(new)
        return number

    def check(self) -> None:
        """Raises CannotResizeError if a rate that changes was found nowhere."""
        if self._left:
            raise CannotResizeError("a rate of dropout is not among the recorded numbers")
