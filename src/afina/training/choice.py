"""The choice of a trainer: asks each in turn whether it can train a model, and records why not.

training=       trainers, in the order in which they are asked
"auto"          fused epochs, plain fit
"fused"         fused epochs
"fit"           plain fit
a `Trainer`     that one, fused epochs, plain fit
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import keras

from afina.errors import ArgumentError, FatalValueError, wrong
from afina.training import keras_parts
from afina.training.epochs import reasons
from afina.training.fused import Engine, FusedTrainer, quick_initializers
from afina.training.on_tensorflow import TensorFlowTrainer
from afina.training.on_tensorflow.asked import listening
from afina.training.on_torch import TorchTrainer
from afina.training.own_fit import fitting_by, keras_fits
from afina.training.plain import PlainTrainer
from afina.training.streams import FromStreams, Streams
from afina.training.trainer import Account, CannotTrainError, Trainer

Mode = Literal["auto", "fit", "fused"]
MODES = ("auto", "fit", "fused")


class TrainerChooser:
    """Trains the models of one search, each with the first trainer that can.

    Args:
        training: One of `MODES`, or a trainer to ask first.
        engine: Programs and data for fused epochs.
        streams: How streams of data are read; None reads those that mean the same as arrays.

    Raises:
        ArgumentError: `training` is neither.
    """

    def __init__(
        self, training: Mode | Trainer, engine: Engine, streams: Streams | None = None
    ) -> None:
        _check(training)
        self.training = training
        self.engine = engine
        self.streams = streams or Streams()
        self._fused = fused_trainer(engine, always=training == "fused")
        fused = FromStreams(self._fused, self.streams, always=training == "fused")
        self.trainers: tuple[Trainer, ...] = (fused, PlainTrainer())
        if training == "fused":
            self.trainers = (fused,)
        elif training == "fit":
            self.trainers = (PlainTrainer(hastens=False),)
        elif isinstance(training, Trainer):
            self.trainers = (training, *self.trainers)

    def forget(self) -> None:
        """Forgets all data; they are read again when they are needed."""
        self._fused.forget()
        self.streams.forget()

    def remember(self, count: int) -> None:
        """Keeps so many different arguments of `fit` on the device at least: one trial after the
        other will ask for them.

        Args:
            count: Of training and validation data, each for itself.
        """
        fused = self._fused
        data = fused.engine.data if isinstance(fused, FusedTrainer) else fused.data
        data.most = max(data.most, count)

    def fit(
        self,
        model: keras.Model,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        account: Account,
    ) -> Any:
        """Does what `model.fit(*args, **kwargs)` does.

        Raises:
            FatalValueError: `training` is "fused", and the epochs cannot be fused.
        """
        refused: dict[str, str] = {}
        for trainer in self.trainers:
            reason = trainer.why_not(model, args, kwargs)
            if reason is None:
                try:
                    with keras_fits():
                        result = trainer.fit(model, args, kwargs, account)
                except CannotTrainError as error:
                    reason = str(error)
                    if error.given is not None:
                        args, kwargs = (), error.given
                else:
                    account.path = self._path(trainer, refused)
                    return result
            refused[trainer.name] = reason
        [reason] = refused.values()  # only "fused" leaves no plain fit to fall back on
        raise _cannot_fuse(reason)

    @contextlib.contextmanager
    def inside(self, account: Account, own: str | None) -> Iterator[list[str]]:
        """Within the block, the user's code trains: each `model.fit(...)` in it is trained as `fit`
        would train it.

        Args:
            account: Where to add what each part took; its path becomes that of the trainings.
            own: Why it is the user's code that trains, such as "Net overrides fit"; None if it does
                not, and nothing changes.

        Yields:
            How each model was trained, one for each call of `model.fit` so far.
        """
        paths: list[str] = []
        if own is not None:
            account.path = f"fit: {own}"
        if own is None or self.training == "fit":
            yield paths
            return

        def fit(
            model: Any,
            args: Sequence[Any],
            kwargs: Mapping[str, Any],
            keras_fit: Callable[..., Any],
        ) -> Any:
            if keras_parts.overrides(model, "fit"):  # which is at work, and calls Keras' own
                reason = f"{type(model).__name__} overrides fit"
                self.refuse(reason)
                paths.append(f"fit: {reason}")
                return keras_fit(*args, **kwargs)
            result = self.fit(model, args, kwargs, account)
            paths.append(account.path)
            return result

        try:
            with fitting_by(fit), listening():
                yield paths
        finally:
            account.path = ", then ".join(dict.fromkeys(paths)) or f"fit: {own}"

    def _path(self, trainer: Trainer, refused: Mapping[str, str]) -> str:
        """The trainer's name, with the reasons of those that were asked before it."""
        if self.training == "fit":
            return f"{trainer.name}: as asked for"
        named = isinstance(self.training, Trainer)
        reasons = [f"{name}: {why}" if named else why for name, why in refused.items()]
        return f"{trainer.name}: {'; '.join(reasons)}" if reasons else trainer.name

    def refuse(self, reason: str) -> None:
        """Raises FatalValueError if only fused epochs were asked for."""
        if self.training == "fused":
            raise _cannot_fuse(reason)


def fused_trainer(
    engine: Engine, *, always: bool = False
) -> FusedTrainer | TensorFlowTrainer | TorchTrainer:
    """The trainer that fuses epochs on the backend that Keras runs on.

    Args:
        engine: Programs and data for fused epochs on JAX.
        always: Whether epochs are fused even if plain `fit` is quicker, as for few steps.
    """
    if keras.backend.backend() == "torch":
        return TorchTrainer(always=always)
    if keras.backend.backend() == "tensorflow":
        return TensorFlowTrainer()
    return FusedTrainer(engine)


def _check(training: Any) -> None:
    if isinstance(training, str) and training in MODES:
        return
    if not isinstance(training, Trainer) or isinstance(training, type):
        advice = "A trainer has a name and the methods why_not and fit."
        raise ArgumentError(
            wrong("training", f"must be one of {MODES} or a Trainer", training, advice)
        )
    if not isinstance(training.name, str) or training.name in ("", *MODES):
        rule = f"must have a name other than {MODES}"
        raise ArgumentError(wrong("training", rule, training.name))


def _cannot_fuse(reason: str) -> FatalValueError:
    return FatalValueError(
        wrong(
            "training",
            '"fused" needs a training that can be fused',
            reason,
            'training="auto" falls back to plain fit.',
        )
    )


@contextlib.contextmanager
def building() -> Iterator[None]:
    """Within the block, models are built by initializers that compile nothing for a new shape, and
    what `compile` was given is remembered where Keras does not keep it."""
    with quick_initializers(), listening():
        yield


def why_not_fused(training: Mode | Trainer) -> str | None:
    """Why trainings cannot run side by side in threads, as far as that is known before any model.

    They can where all are fused and each program computes in one thread: they release the python
    turn while programs run.
    """
    if training != "fit" and keras.backend.backend() == "tensorflow":
        return "TensorFlow shares its threads among all trainings"
    if isinstance(training, Trainer):
        return f"the trainer {training.name} is asked first"
    return "as asked for" if training == "fit" else reasons.why_not_here()
