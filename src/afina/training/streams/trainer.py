"""`FromStreams`: a trainer for arrays that trains from streams too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import keras

from afina.training.streams.arguments import Streams
from afina.training.streams.kinds import is_stream, planned_steps
from afina.training.trainer import Account, CannotTrainError, Trainer

WORTH = 2_000
"""Fewest planned steps of a training in chunks. A new architecture takes up to three programs, some
4 s of processor time, and a step saves about 0.2 ms: an estimate for architectures that about ten
trials share."""


@runtime_checkable
class StreamTrainer(Trainer, Protocol):
    """A trainer that can also train on a stream as it comes."""

    def fit_stream(
        self, model: keras.Model, given: Mapping[str, Any], account: Account
    ) -> keras.callbacks.History:
        """Does what `model.fit(**given)` does; `x` is a stream, `validation_data` are arrays."""
        ...


class FromStreams:
    """Reads streams into arrays where that keeps their meaning, and has a trainer train on them.

    Args:
        trainer: Trains on arrays.
        streams: The streams of the search.
        always: Whether to train in chunks even if plain `fit` is quicker, as for few steps.
    """

    def __init__(self, trainer: Trainer, streams: Streams, *, always: bool = False) -> None:
        self.trainer = trainer
        self.streams = streams
        self.always = always
        self.name = trainer.name

    def why_not(
        self, model: keras.Model, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> str | None:
        """Why the trainer cannot train; of the streams, nothing is read yet."""
        given = self.streams.find(args, kwargs)
        if given is None:
            return self.trainer.why_not(model, args, kwargs)
        return self.trainer.why_not(model, (), self.streams.placeholders(given))

    def fit(
        self,
        model: keras.Model,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        account: Account,
    ) -> Any:
        """Does what `model.fit(*args, **kwargs)` does.

        Raises:
            CannotTrainError: A stream cannot be read into arrays, nor trained on in chunks.
        """
        given = self.streams.find(args, kwargs)
        if given is None:
            return self.trainer.fit(model, args, kwargs, account)
        found = self.streams.rewrite(given)
        if not isinstance(found, str):
            history = self.trainer.fit(model, (), found.given, account)
            account.data = found.note
            return history
        tested = self.streams.rewrite(given, ["validation_data"])
        if not isinstance(self.trainer, StreamTrainer) or not is_stream(given["x"]):
            raise CannotTrainError(found)
        if isinstance(tested, str):
            raise CannotTrainError(tested)
        steps = planned_steps(given)
        if steps is not None and steps < WORTH and not self.always:
            raise CannotTrainError(f"{found}, and {steps} steps do not pay for compiling chunks")
        history = self.trainer.fit_stream(model, tested.given, account)
        account.data = "; ".join(filter(None, [f"in chunks, as {found}", tested.note]))
        return history
