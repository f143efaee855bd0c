"""Numbers of layers and optimizers as inputs of programs: rates, factors, weight decay, schedules.

Keras reads a dropout rate or an L2 factor as a Python number while it is traced, so that it becomes
a constant and each of ten rates a program of its own. Here an input of the program stands in for
the number while the step is traced:

    Dropout(0.3)   -- traced with an `Input` as its `rate` -->  program(state, ..., 0.3)

What Keras decides in Python stays in the key: a rate of 0, for which it skips the layer, and what
is None. Only attributes of Keras' own classes that are known to be read in a way that an input
stands up to are replaced; all other numbers are constants as before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from afina.training import keras_parts
from afina.training.replacing import replaced

layers, schedules = keras.layers, keras.optimizers.schedules

RATES: dict[type, tuple[str, ...]] = {
    layers.Dropout: ("rate",),
    layers.SpatialDropout1D: ("rate",),
    layers.SpatialDropout2D: ("rate",),
    layers.SpatialDropout3D: ("rate",),
    layers.AlphaDropout: ("rate",),
    layers.Attention: ("dropout",),
    layers.AdditiveAttention: ("dropout",),
    layers.MultiHeadAttention: (keras_parts.ATTENTION_DROPOUT,),
    layers.SimpleRNNCell: ("dropout", "recurrent_dropout"),
    layers.GRUCell: ("dropout", "recurrent_dropout"),
    layers.LSTMCell: ("dropout", "recurrent_dropout"),
}
"""Attributes between 0 and 1, of which Keras also uses 1 minus the number."""

FACTORS: dict[type, tuple[str, ...]] = {
    layers.GaussianNoise: ("stddev",),
    layers.ActivityRegularization: ("l1", "l2"),
    keras.regularizers.L1: ("l1",),
    keras.regularizers.L2: ("l2",),
    keras.regularizers.L1L2: ("l1", "l2"),
}
"""Attributes above 0."""

NUMBERS_OF_SCHEDULES: dict[type, tuple[str, ...]] = {
    schedules.ExponentialDecay: ("initial_learning_rate", "decay_steps", "decay_rate"),
    schedules.InverseTimeDecay: ("initial_learning_rate", "decay_steps", "decay_rate"),
    schedules.PolynomialDecay: ("initial_learning_rate", "decay_steps", "end_learning_rate"),
    schedules.CosineDecay: (
        "initial_learning_rate",
        "decay_steps",
        "alpha",
        "warmup_target",
        "warmup_steps",
    ),
    schedules.CosineDecayRestarts: ("initial_learning_rate", "first_decay_steps", "alpha"),
}
"""Attributes above 0 of schedules of the learning rate."""

WEIGHT_DECAY = "weight_decay"


class Input:
    """Stands in for a number above 0 while a step is traced.

    Args:
        value: The number, as an input of the program.
        rest: 1 minus the number, rounded as Python rounds it; None for a number that may exceed 1.
    """

    __hash__ = object.__hash__

    def __init__(self, value: Any, rest: Any = None) -> None:
        self.value = value
        self.rest = rest

    def __jax_array__(self) -> Any:
        return self.value

    # What Keras asks before it computes. An input is above 0, and a rate below 1.
    def __bool__(self) -> bool:
        return True

    def __gt__(self, other: Any) -> bool:
        return self._is_above(other)

    def __ge__(self, other: Any) -> bool:
        return self._is_above(other)

    def __lt__(self, other: Any) -> bool:
        return not self._is_above(other)

    def __le__(self, other: Any) -> bool:
        return not self._is_above(other)

    def __eq__(self, other: object) -> bool:
        return self is other or self._differs(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def _differs(self, other: Any) -> bool:
        """False for a number that the input is known to differ from."""
        self._is_above(other)
        return False

    def _is_above(self, other: Any) -> bool:
        if other == 0:
            return True
        if other == 1 and self.rest is not None:
            return False
        raise TypeError("a number that is an input of a program was compared")

    # What it computes with Python numbers; JAX does the rest.
    def __add__(self, other: Any) -> Any:
        return self.value + other

    def __radd__(self, other: Any) -> Any:
        return other + self.value

    def __mul__(self, other: Any) -> Any:
        return self.value * other

    def __rmul__(self, other: Any) -> Any:
        return other * self.value

    def __sub__(self, other: Any) -> Any:
        return self.value - other

    def __rsub__(self, other: Any) -> Any:
        known = isinstance(other, int | float) and other == 1 and self.rest is not None
        return self.rest if known else other - self.value

    def __truediv__(self, other: Any) -> Any:
        return self.value / other

    def __rtruediv__(self, other: Any) -> Any:
        return other / self.value

    def __neg__(self) -> Any:
        return -self.value


@dataclass(frozen=True)
class Setting:
    """A number of a model that may be an input."""

    owner: Any
    """The layer, regularizer, optimizer or schedule that holds it."""

    name: str
    """The attribute."""

    is_rate: bool
    path: tuple[str, ...] | None = None
    """How to come from the optimizer to the owner; None if it is not the optimizer's."""

    @property
    def value(self) -> float:
        """The number as it is now."""
        return float(getattr(self.owner, self.name))

    def of_twin(self, optimizer: Any) -> Setting:
        """The same number of another optimizer of the same configuration."""
        owner = optimizer
        for name in self.path or ():
            owner = vars(owner)[name]
        return Setting(owner, self.name, self.is_rate, self.path)


@dataclass(frozen=True)
class ModelNumbers:
    """The numbers of a model that are inputs of its program; none by default."""

    every: tuple[Setting, ...] = ()
    places: tuple[tuple[Any, ...], ...] = ()
    """Where in the model each of them was found, for the key of the program; a regularizer that
    several layers share is found several times."""

    are_inputs: bool = True
    """False for constants of the program, which it takes but does not look at."""

    @classmethod
    def of(cls, model: keras.Model) -> ModelNumbers:
        """The numbers of a compiled model that its program can take as inputs."""
        way: tuple[str, ...]
        found: dict[tuple[int, str], Setting] = {}
        places: list[tuple[Any, ...]] = []

        def add(owner: Any, names: Sequence[str], where: Any, path: Any = None) -> None:
            for name in names:
                setting = Setting(owner, name, type(owner) in RATES, path)
                if _is_input(setting):
                    key = id(owner), name
                    found.setdefault(key, setting)
                    places.append((where, name, list(found).index(key)))

        for number, layer in enumerate(keras_parts.layers_of(model)):
            add(layer, _names(layer), number)
            for name, part in sorted(vars(layer).items()):
                if isinstance(part, keras.regularizers.Regularizer):
                    add(part, _names(part), (number, name))
        optimizer, way = model.optimizer, ()
        if "inner_optimizer" in vars(optimizer):
            optimizer, way = optimizer.inner_optimizer, ("inner_optimizer",)
        if keras_parts.is_kerass(type(optimizer)):
            add(optimizer, (WEIGHT_DECAY,), way, way)
            schedule, way = keras_parts.rate_of(optimizer), (*way, keras_parts.LEARNING_RATE)
            add(schedule, NUMBERS_OF_SCHEDULES.get(type(schedule), ()), way, way)
        return cls(tuple(found.values()), tuple(places))

    def as_constants(self) -> ModelNumbers:
        """The same numbers as constants."""
        return ModelNumbers(self.every, (), are_inputs=False)

    def values(self) -> list[float]:
        """The numbers as a program takes them: for a rate two, itself and 1 minus it."""
        numbers: list[float] = []
        for setting in self.every:
            numbers += [setting.value, *([1.0 - setting.value] if setting.is_rate else [])]
        return numbers

    @contextlib.contextmanager
    def left_out(self) -> Iterator[None]:
        """Within the block all models that differ in these numbers only look alike."""
        with contextlib.ExitStack() as stack:
            for setting in self.every if self.are_inputs else ():
                same = replaced(setting.owner, setting.name, 0.5)
                stack.enter_context(same)
            yield

    @contextlib.contextmanager
    def fed(
        self,
        values: Sequence[Any],
        twin: Any = None,
        *,
        stand_in: Callable[[Any, Any], Any] | None = None,
    ) -> Iterator[None]:
        """Within the block the model computes with these inputs.

        Args:
            values: Inputs in the order of `values`.
            twin: An optimizer that takes the place of the model's, with the same numbers.
            stand_in: Makes what takes the place of a number from its input, and that of 1 minus it
                if it is a rate; `Input` by default.
        """
        given = iter(values)
        with contextlib.ExitStack() as stack:
            for setting in self.every if self.are_inputs else ():
                value, rest = next(given), next(given) if setting.is_rate else None
                number = (stand_in or Input)(value, rest)
                owners = [setting]
                if twin is not None and setting.path is not None:
                    owners.append(setting.of_twin(twin))
                for each in owners:
                    stack.enter_context(replaced(each.owner, each.name, number))
            yield


def _names(part: Any) -> tuple[str, ...]:
    """The attributes of a layer or regularizer that can be inputs."""
    return RATES.get(type(part), ()) or FACTORS.get(type(part), ())


def _is_input(setting: Setting) -> bool:
    """Whether the number is one that nothing in Keras' Python code depends on."""
    held = vars(setting.owner).get(setting.name)
    if held is None or isinstance(held, bool | str):
        return False
    try:
        value = float(held)
    except (TypeError, ValueError):
        return False
    return 0 < value < (1 if setting.is_rate else float("inf"))
