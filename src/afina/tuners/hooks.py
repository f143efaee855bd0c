"""Keras callbacks that pass epochs and batches on to a tuner's own hooks."""

from __future__ import annotations

from typing import Any

import keras

from afina.tuners.trial import Trial


class TunerCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls `tuner.on_epoch_begin`, `on_epoch_end`, `on_batch_begin` and `on_batch_end`.

    Args:
        tuner: Whose hooks to call.
        trial: Passed to each hook.
    """

    def __init__(self, tuner: Any, trial: Trial) -> None:
        super().__init__()
        self.tuner = tuner
        self.trial = trial

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Passes on."""
        self.tuner.on_epoch_begin(self.trial, self.model, epoch, logs=logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Passes on."""
        self.tuner.on_epoch_end(self.trial, self.model, epoch, logs=logs)

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Passes on."""
        self.tuner.on_batch_begin(self.trial, self.model, batch, logs)

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """Passes on."""
        self.tuner.on_batch_end(self.trial, self.model, batch, logs)


class EpochHooks(TunerCallback):
    """The same without the hooks of batches, for tuners that leave those alone: a hook at every
    batch keeps Keras from running ahead."""

    # Keras' own, which it knows to skip.
    on_batch_begin = keras.callbacks.Callback.on_batch_begin
    on_batch_end = keras.callbacks.Callback.on_batch_end
