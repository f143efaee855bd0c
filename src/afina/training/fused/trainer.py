"""`FusedTrainer`: trains models by fused epochs on JAX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from afina.training import keras_parts
from afina.training.epochs import reasons
from afina.training.epochs.accepting import accepted_arguments, preparing
from afina.training.fused.engine import CannotFuseError, Engine
from afina.training.fused.feeding import StreamTraining
from afina.training.fused.loop import Training
from afina.training.replacing import replaced
from afina.training.trainer import Account


class FusedTrainer:
    """Trains each epoch as one compiled program; a `Trainer`.

    Args:
        engine: The programs and data that the trainings of a search share; None makes a new one.
    """

    name = "fused"
    validates_on_streams = False
    stream_way = "in chunks"
    least_stream_steps = 2_000
    """A new architecture takes up to three programs, some 4 s of processor time, and a step saves
    about 0.2 ms: an estimate for architectures that about ten trials share."""

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = engine or Engine()

    def forget(self) -> None:
        """Forgets the data; they are read again when they are needed."""
        self.engine.data.forget()

    def why_not(
        self, model: keras.Model, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> str | None:
        """Why `model.fit(*args, **kwargs)` cannot be fused; None if it can be tried."""
        reason = reasons.why_not(model, args, kwargs)
        compiles = getattr(model, "jit_compile", None) is not False
        if reason is None or compiles or keras_parts.missing:
            return reason
        if not keras_parts.only_pictures_forbid_compiling(model):
            return reason
        with replaced(model, keras_parts.JIT_COMPILE, True):
            return reasons.why_not(model, args, kwargs)

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
            CannotFuseError: `why_not` names a reason, or the train step cannot be traced as one
                program. No epoch has been trained, and no callback has been called.
        """
        return self.training(model, args, kwargs or {}, account or Account()).run()

    def training(
        self,
        model: keras.Model,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        account: Account,
    ) -> Training:
        """The training that `fit` runs, before its first epoch; builds the model.

        Raises:
            CannotFuseError: `why_not` names a reason.
        """
        given = accepted_arguments(self, model, args, kwargs, CannotFuseError)
        with preparing(CannotFuseError):
            return Training(self.engine, model, given, account)

    def fit_stream(
        self, model: keras.Model, given: Mapping[str, Any], account: Account
    ) -> keras.callbacks.History:
        """Does what `model.fit(**given)` does, where `x` is a stream and `validation_data` arrays.

        Raises:
            CannotFuseError: The train step cannot be traced as one program.
        """
        with preparing(CannotFuseError):
            training = StreamTraining(self.engine, model, given, account)
        return training.run()
