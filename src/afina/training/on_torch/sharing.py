"""`Recordings`: the recorded steps of a search, and which are worth recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from afina.training.on_torch.recording import Recording
from afina.training.on_torch.resizing import CannotResizeError
from afina.training.on_torch.tracing import (
    Kind,
    Step,
    TraceError,
    record,
    record_again,
    step_of,
)

STRUCTURES = 8
"""Of how many structures recordings are kept, the most recently used ones."""

EACH = 3
"""How many recordings of a structure are kept: where one has two equal lengths of different
meaning, another may tell them apart."""

WORTH = 30
"""Fewest steps of models of one structure for which one is recorded. That takes as long as 7 steps
of a recurrent network save, 20 of a dense one, and up to 60 of a small one with many layers."""

AGAIN = 10
"""Fewest steps of a model for which a recording is made over."""


class Recordings:
    """Recorded steps by structure: what models have in common that differ in the widths of their
    layers and in rates of dropout."""

    def __init__(self) -> None:
        self.resized = 0
        """How many steps were made from the recording of another model."""
        self._kept: dict[Any, list[Recording]] = {}
        self._planned: dict[int, int] = {}
        self._failed: set[int] = set()

    def pays(self, structure: Any, planned: int, *, counts: bool) -> bool:
        """Whether a step of this structure is worth its recording.

        Args:
            structure: Of the model, with the kind of step and the data.
            planned: How many such steps a training is about to take.
            counts: Whether those of earlier trainings count, and these for later ones.
        """
        total = planned
        if counts:
            total += self._planned.get(hash(structure), 0)
            self._planned[hash(structure)] = total
        if structure in self._kept and hash(structure) not in self._failed:
            return planned >= AGAIN
        return total >= WORTH

    def step(
        self,
        structure: Any,
        model: keras.Model,
        kind: Kind,
        of_data: Any,
        batches: Sequence[Sequence[Any]],
    ) -> Step:
        """The step of a model, from a recording of another one if that will do.

        Args:
            structure: Of the model, with the kind of step and the data.
            model, kind, of_data, batches: As for `tracing.trace`.

        Raises:
            TraceError: The step cannot be recorded, or the recording does something else.
        """
        known = self._kept.pop(structure, [])
        if known and hash(structure) not in self._failed:
            try:
                step = self._from_others(known, model, kind, of_data, batches)
            except TraceError:  # a length or number was worked out wrongly
                self._failed.add(hash(structure))
            else:
                if step is not None:
                    self._keep(structure, known)
                    return step
        recording = record(model, kind, of_data, batches[0])
        step = step_of(recording, model, kind, of_data, batches)
        self._keep(structure, [*known, recording][-EACH:])
        return step

    def _keep(self, structure: Any, recordings: list[Recording]) -> None:
        self._kept[structure] = recordings  # the newest is last
        while len(self._kept) > STRUCTURES:
            del self._kept[next(iter(self._kept))]

    def _from_others(
        self,
        known: Sequence[Recording],
        model: keras.Model,
        kind: Kind,
        of_data: Any,
        batches: Sequence[Sequence[Any]],
    ) -> Step | None:
        """The step made from one of these recordings; None if each leaves a length open."""
        for recording in reversed(known):
            try:
                mine = record_again(recording, model, batches[0])
            except (CannotResizeError, RuntimeError):  # PyTorch refuses a shape
                continue
            step = step_of(mine, model, kind, of_data, batches[:1])
            self.resized += 1
            return step
        return None
