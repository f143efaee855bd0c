"""`TensorFlowTrainer`: trains models by fused epochs on TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from afina.training.epochs import DataCache, ProgramCache, ProgramLoop, reasons
from afina.training.epochs.accepting import accepted_arguments, check_room, preparing
from afina.training.on_tensorflow.program import StepLoop, TensorFlowProgram
from afina.training.on_tensorflow.stand_ins import Widths
from afina.training.on_tensorflow.streaming import StreamData, StreamProgram
from afina.training.trainer import Account, CannotTrainError

FUNCTIONS = 16
"""How many functions are kept, the most recently used ones; a training needs two."""


class TensorFlowTrainer:
    """Trains each epoch in one call of a TensorFlow function; a `Trainer`."""

    name = "fused"
    validates_on_streams = True
    stream_way = "batch by batch"
    least_stream_steps = 0

    def __init__(self) -> None:
        self.data = DataCache(_place)
        self.programs: ProgramCache[StepLoop] = ProgramCache(FUNCTIONS)
        self.widths = Widths()

    def forget(self) -> None:
        """Forgets the data; they are read again when they are needed."""
        self.data.forget()

    def why_not(
        self, model: keras.Model, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> str | None:
        """Why `model.fit(*args, **kwargs)` cannot be fused; None if it can be tried."""
        return reasons.why_not(model, args, kwargs, backend="tensorflow") or _why_not_strategy()

    def fit(
        self,
        model: keras.Model,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        account: Account | None = None,
    ) -> Any:
        """Does what `model.fit(*args, **kwargs)` does; returns the History.

        Args:
            model: Compiled.
            args: Positional arguments of `fit`.
            kwargs: Keyword arguments of `fit`.
            account: Where to add the seconds that each part took.

        Raises:
            CannotTrainError: `why_not` names a reason, or the train step cannot be traced. No epoch
                has been trained, and no callback has been called.
        """
        kwargs, account = kwargs or {}, account or Account()
        given = accepted_arguments(self, model, args, kwargs)

        def make(loop: ProgramLoop) -> TensorFlowProgram:
            return TensorFlowProgram(loop, self.programs, self.widths, account)

        with preparing():
            training = ProgramLoop(self.data, model, given, make)
        check_room(training)
        return training.run()

    def fit_stream(
        self, model: keras.Model, given: Mapping[str, Any], account: Account
    ) -> keras.callbacks.History:
        """Does what `model.fit(**given)` does, where `x` or `validation_data` is a stream, or both.

        Raises:
            CannotTrainError: The train step cannot be traced, or the batches are not dense arrays
                of numbers.
        """
        if model.steps_per_execution != 1:
            raise CannotTrainError("the model is compiled with steps_per_execution")

        def make(loop: ProgramLoop) -> TensorFlowProgram:
            return StreamProgram(loop, self.programs, self.widths, account)

        with preparing():
            data: Any = StreamData(self.data, given)
            training = ProgramLoop(data, model, given, make)
        return training.run()


def _why_not_strategy() -> str | None:
    import tensorflow as tf

    return "a TensorFlow strategy is set" if tf.distribute.has_strategy() else None


def _place(leaf: Any, device: Any) -> Any:
    import tensorflow as tf

    del device  # TensorFlow chooses
    return tf.constant(leaf)
