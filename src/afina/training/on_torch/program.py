"""Epochs of training and validations as repeated calls of traced steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from afina.training.epochs import ProgramCache, ProgramLoop, Samples, is_all_kerass, program_key
from afina.training.epochs.merging import validation_batch_size
from afina.training.on_torch.batches import TorchBatches
from afina.training.on_torch.own_code import read_code
from afina.training.on_torch.resizing import rates_of
from afina.training.on_torch.sharing import Recordings
from afina.training.on_torch.tracing import (
    Kind,
    Step,
    pack,
    reason_of,
    step_by_keras,
    trace,
    values_of,
    variables_of,
)
from afina.training.trainer import Account, CannotTrainError


@dataclass(frozen=True)
class Portion:
    """Samples of an epoch or a validation that are taken in batches of one size."""

    step: Step | None
    """The traced step; None where Keras' own is quicker for so few batches."""

    size: int
    start: int
    end: int


class TorchProgram:
    """The epochs and validations of one model; an `EpochProgram`.

    Args:
        loop: The training.
        cache: The steps that trainings share.
        refused: Why steps could not be traced, by structure.
        recordings: The recorded steps that trainings share.
        account: Where to add the seconds that each part took.
        always: Whether to trace the train step for however few steps.
    """

    def __init__(
        self,
        loop: ProgramLoop,
        cache: ProgramCache[Step],
        refused: dict[Any, str],
        recordings: Recordings,
        account: Account,
        *,
        always: bool,
    ) -> None:
        self.model = loop.model
        self.train = loop.train
        self.validation = loop.validation
        self.cache = cache
        self.refused = refused
        self.recordings = recordings
        self.account = account
        self.always = always
        self.epochs = loop.given["epochs"] - loop.first_epoch
        self._is_own = not is_all_kerass(self.model)
        """Whether there is code of the user's, so that this training has its own steps."""
        self._values: list[Any] = []

    def prepare(self) -> None:
        """Traces the steps, or finds them.

        Raises:
            CannotTrainError: The train step cannot be traced, or it does not pay.
        """
        reason = read_code(self.model).impure if self._is_own else None
        if reason is not None:
            raise CannotTrainError(reason)
        self._key = self._key_now()
        if self._key is None:
            raise CannotTrainError("the model holds what cannot be told apart from model to model")
        self._find(must=True)

    def _key_now(self) -> Any:
        """What the steps depend on: all but the numbers in the variables."""
        if self._is_own:
            code = read_code(self.model)
            return None if code.impure else (id(self), code.looked_at, *self._variables())
        key = program_key(self.model)
        return None if key is None else (key, *self._variables())

    def _structure_now(self) -> Any:
        """What the steps depend on but for widths of layers and rates of dropout."""
        if self._is_own:
            return self._key
        with rates_of(self.model).left_out():
            key = program_key(self.model, any_width=True)
        return self._key if key is None else (key, *self._variables(any_width=True))

    def _find(self, *, must: bool) -> None:
        """Finds or makes the steps of all portions; if one must, that of the training."""
        self._structure = self._structure_now()
        size = self.train.batches.batch_size
        self._train = self._portions("train", self.train, size, must=must)
        self._validate: list[Portion] = []
        if self.validation is not None:
            size = validation_batch_size(self.model, self.validation)
            self._validate = self._portions("validate", self.validation, size)

    def _portions(
        self, kind: Kind, samples: Samples, size: int, *, must: bool = False
    ) -> list[Portion]:
        """All samples: batches of one size, and a last one that may be smaller."""
        rows, size = samples.size, min(size, samples.size)
        end = rows - rows % size
        cuts = [(size, 0, end), (rows - end, end, rows)]
        return [
            Portion(self._step(kind, samples, cut, must=must and cut[1] == 0), *cut)
            for cut in cuts
            if cut[1] < cut[2]
        ]

    def _step(
        self, kind: Kind, samples: Samples, cut: tuple[int, int, int], *, must: bool
    ) -> Step | None:
        """The traced step of a portion; None where Keras' own will do."""
        if self._key is None:  # a callback has added code of its own
            return None
        size, start, end = cut
        planned = self.epochs * (end - start) // size
        structure, leaves = samples.arrays.signature()
        data = structure, tuple((shape[1:], dtype) for shape, dtype in leaves)
        key = self._key, kind, size, data
        structure = self._structure, kind, size, data
        reason = self.refused.get(hash(structure))
        pays = self.recordings.pays(structure, planned, counts=must) or (must and self.always)
        pays = pays or self.cache.has(key)
        if reason is None and not pays:
            reason = f"the {planned} steps planned do not pay for tracing one"
        if reason is None:
            try:
                return self.cache.get(key, lambda: self._made(structure, kind, samples, cut))
            except Exception as error:
                reason = f"the step cannot be traced: {reason_of(error)}"
                self.refused[hash(structure)] = reason
        if must:
            raise CannotTrainError(reason)
        return None

    def _variables(self, *, any_width: bool = False) -> tuple[Any, ...]:
        """What the steps depend on in the variables: all but their numbers, and perhaps lengths."""
        return tuple(
            (
                value.ndim if any_width else tuple(value.shape),
                str(value.dtype),
                str(value.device),
                value.requires_grad,
            )
            for value in values_of(self.model)
        ) + tuple(variable.trainable for variable in variables_of(self.model))

    def _made(
        self, structure: Any, kind: Kind, samples: Samples, cut: tuple[int, int, int]
    ) -> Step:
        size, start, end = cut
        leaves = samples.arrays.on(None)
        first = [leaf[start : start + size] for leaf in leaves]
        second = [leaf[start + size : start + 2 * size] for leaf in leaves]
        if start + 2 * size > end:
            second = [leaf.flip(0) for leaf in first]
        with self.account.counted("trace"):
            if self._is_own:
                return trace(self.model, kind, samples.arrays.structure, (first, second))
            return self.recordings.step(
                structure, self.model, kind, samples.arrays.structure, (first, second)
            )

    def read_state(self) -> None:
        """Looks up the variables, and the steps if a callback has changed what they depend on: a
        layer's rate of dropout, what is trained."""
        now = self._key_now()
        if now != self._key:
            self._key = now
            self._find(must=False)
        self._values = [value.detach() for value in values_of(self.model)]

    def run_epoch(self, order: NDArray[np.int32]) -> Mapping[str, Any]:
        """Trains one epoch in the model's variables."""
        with self.account.counted("train"):
            self.model.train()
            self._run("train", self._train, self.train, order)
            _end_epoch(self.train)
            self.model.eval()
            return _numbers(self.model.get_metrics_result())

    def validate(self) -> Mapping[str, Any]:
        """Validates once."""
        assert self.validation is not None
        with self.account.counted("validate"):
            self.model.eval()
            self.model.reset_metrics()
            order = self.validation.batches.order()
            self._run("validate", self._validate, self.validation, order)
            _end_epoch(self.validation)
            return _numbers(self.model.get_metrics_result())

    def _run(
        self, kind: Kind, portions: list[Portion], samples: Samples, order: NDArray[np.int32]
    ) -> None:
        import torch

        leaves = samples.arrays.on(None)
        places = torch.as_tensor(order, dtype=torch.int64, device=leaves[0].device)
        for portion in portions:
            for rows in places[portion.start : portion.end].split(portion.size):
                if portion.step is None:
                    batch = [leaf.index_select(0, rows) for leaf in leaves]
                    step_by_keras(self.model, kind, pack(samples.arrays.structure, batch))
                    continue
                with torch.inference_mode():
                    batch = [leaf.index_select(0, rows) for leaf in leaves]
                    portion.step(*self._values, *batch)

    def write_back(self) -> None:
        """Nothing: the variables are the model's own."""


def _end_epoch(samples: Samples) -> None:
    assert isinstance(samples.batches, TorchBatches), "the trainer's data are of this kind"
    samples.batches.end_epoch()


def _numbers(logs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Logs without tensors."""
    import keras

    return keras.tree.map_structure(  # type: ignore[no-any-return]
        lambda log: keras.ops.convert_to_numpy(log), dict(logs)
    )
