"""The order of `fit`'s batches on PyTorch, from the same draws of PyTorch's global stream."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from afina.training import torch_parts
from afina.training.keras_parts import WHOLE_BATCHES, Batches


class TorchBatches(Batches):
    """The samples of one `fit` or `evaluate`, in the order in which a `DataLoader` takes them.

    A `DataLoader` draws numbers even if it does not shuffle, and some at the end of an epoch. So
    `end_epoch` follows once the batches of an `order` have been used: dropout masks come from the
    same stream.

    Args:
        x, y, sample_weight, given: As for `Batches`.
    """

    def __init__(self, x: Any, y: Any, sample_weight: Any, **given: Any) -> None:
        super().__init__(x, y, sample_weight, **given)
        shuffle = self.shuffle if self.shuffle != WHOLE_BATCHES else False
        self.iterator = torch_parts.part("iterator")(
            x=x,
            y=y,
            sample_weight=sample_weight,
            batch_size=given["batch_size"],
            shuffle=shuffle,
            class_weight=given.get("class_weight"),
        )

    def order(self) -> NDArray[np.int32]:
        """Row numbers of the next epoch, in the order in which `fit` would take them."""
        if self.shuffle == WHOLE_BATCHES:
            return super().order()
        if self._rows is None:
            # How many batches share the rows changes no draw, so all are taken as one.
            rows = np.arange(self.size, dtype=np.int32)
            self._rows = torch_parts.part("iterator")(
                x=rows, batch_size=self.size, shuffle=self.shuffle
            )
            self._rows.reset()
        _, _, [few] = next(iter(self._rows))
        taken = few[0] if isinstance(few, tuple | list) else few
        return np.asarray(taken.cpu(), dtype=np.int32)

    def end_epoch(self) -> None:
        """Draws what `fit` draws once the last batch of an epoch has been used."""
        if self._rows is not None:
            next(self._rows, None)

    def _builds_simply(self, model: Any) -> bool:
        """Never: `fit` looks at a first batch, and draws for that."""
        return False
