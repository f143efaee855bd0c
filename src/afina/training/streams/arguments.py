"""`Streams`: the arguments of `fit` with arrays in place of streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from afina.errors import ArgumentError, wrong
from afina.training import keras_parts
from afina.training.epochs import reasons
from afina.training.memory import free_host_bytes
from afina.training.streams.kinds import (
    DATA_LOADER,
    GENERATOR,
    PY_DATASET,
    is_stream,
    kind_of,
)
from afina.training.streams.reading import LONGER, Reading, read

Materialize = bool | Literal["auto"]

MOST = 2 * 2**30
"""Bytes of the largest stream that is read into arrays."""

SHARE = 0.25
"""Share of the free memory that one stream may take."""

STEPS = {"x": "steps_per_epoch", "validation_data": "validation_steps"}
"""The arguments of `fit` that limit how much it reads of a stream."""


def check_materialize(materialize: Any) -> Materialize:
    """Raises ArgumentError unless it is True, False or "auto"."""
    if materialize is True or materialize is False or materialize == "auto":
        return materialize  # type: ignore[no-any-return]
    raise ArgumentError(wrong("materialize", 'must be True, False or "auto"', materialize))


@dataclass(frozen=True)
class Rewritten:
    """The arguments of a `fit` whose streams are arrays."""

    given: dict[str, Any]
    """All arguments by name."""

    note: str
    """What was read, for the trial's record."""


@dataclass
class Streams:
    """The streams of one search, each read once at most.

    Args:
        materialize: True reads all finite streams into arrays, whatever is random in them; "auto"
            those for which that keeps the meaning; False none.
    """

    materialize: Materialize = "auto"

    def __post_init__(self) -> None:
        check_materialize(self.materialize)

    _known: dict[tuple[int, int | None], tuple[Any, Reading | str]] = field(
        default_factory=dict, init=False
    )

    def forget(self) -> None:
        """Forgets all data; they are read again when they are needed."""
        self._known.clear()

    def find(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
        """All arguments of a `fit` by name; None if no stream is among them, or `fit` would refuse
        them."""
        given = reasons.fit_arguments(args, kwargs)
        if isinstance(given, str) or not any(is_stream(given[name]) for name in STEPS):
            return None
        refused = ["y", "sample_weight", "validation_split"]
        if kind_of(given["x"]) in (DATA_LOADER, GENERATOR):
            refused.append("class_weight")
        if is_stream(given["x"]) and any(_is_given(given[name]) for name in refused):
            return None
        return given

    def placeholders(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with small arrays in place of streams, to ask a trainer before reading."""
        small = dict(given)
        for name, steps in STEPS.items():
            if is_stream(given[name]):
                small[name] = np.zeros((1, 1)) if name == "x" else (np.zeros((1, 1)),)
                small[steps] = None
        return small

    def rewrite(
        self, given: Mapping[str, Any], names: Sequence[str] = tuple(STEPS)
    ) -> Rewritten | str:
        """The arguments with arrays in place of streams, or why they would not mean the same.

        Args:
            given: All arguments of `fit` by name.
            names: The arguments to rewrite.
        """
        new, notes = dict(given), []
        if is_stream(given["x"]):  # whose batch size is not that of arrays beside it
            new["validation_batch_size"] = new["validation_batch_size"] or new["batch_size"] or 32
        for name in names:
            data = given[name]
            if not is_stream(data):
                continue
            steps = given[STEPS[name]]
            found = self._read(data, steps)
            if found == LONGER or (isinstance(found, Reading) and steps not in (None, found.steps)):
                found = f"{STEPS[name]} is given"
            if isinstance(found, str):
                return f"{name} is a {type(data).__name__}, and {found}"
            shuffle = self._put(new, name, found)
            notes.append(f"{name} read into arrays" + (", shuffled anew" if shuffle else ""))
        return Rewritten(new, "; ".join(notes))

    def _read(self, data: Any, steps: int | None) -> Reading | str:
        if self.materialize is False:
            return "materialize is False"
        key = id(data), steps
        known = self._known.get(key)
        if known is None:  # the stream is kept: otherwise another could get its identity
            asked = self.materialize is True
            known = data, read(data, most=_most_bytes(), steps=steps, asked=asked)
            self._known[key] = known
        return known[1]

    def _put(self, new: dict[str, Any], name: str, found: Reading) -> bool:
        """Puts a reading into the arguments of `fit`; returns whether its order is Afina's."""
        new[STEPS[name]] = None
        if name == "validation_data":  # the order changes no number but by rounding
            new.update(validation_data=found.arrays, validation_batch_size=found.batch_size)
            return False
        shuffles: Any = {"same": False, "batches": keras_parts.WHOLE_BATCHES, "samples": True}
        shuffle = shuffles[found.order]
        if kind_of(new["x"]) == PY_DATASET and new["shuffle"] and not shuffle:
            shuffle = keras_parts.WHOLE_BATCHES
        arrays = (*found.arrays, None, None)[:3]
        new.update(zip(("x", "y", "sample_weight"), arrays, strict=True))
        new.update(batch_size=found.batch_size, shuffle=shuffle)
        return found.order != "same"


def _is_given(value: Any) -> bool:
    return value is not None and not (isinstance(value, float | int) and value == 0)


def _most_bytes() -> int:
    """Bytes that a stream may take here: no more than a share of what is free."""
    free = free_host_bytes()
    return MOST if free is None else min(MOST, int(SHARE * free))
