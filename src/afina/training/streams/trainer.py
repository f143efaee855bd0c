"""`FromStreams`: a trainer for arrays that trains from streams too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from afina.training.streams.arguments import Streams
from afina.training.trainer import Account, CannotTrainError, Trainer


class FromStreams:
    """Reads streams into arrays where that keeps their meaning, and has a trainer train on them.

    Args:
        trainer: Trains on arrays.
        streams: The streams of the search.
    """

    def __init__(self, trainer: Trainer, streams: Streams) -> None:
        self.trainer = trainer
        self.streams = streams
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
            CannotTrainError: A stream cannot be read into arrays.
        """
        given = self.streams.find(args, kwargs)
        if given is None:
            return self.trainer.fit(model, args, kwargs, account)
        found = self.streams.rewrite(given)
        if isinstance(found, str):
            raise CannotTrainError(found)
        history = self.trainer.fit(model, (), found.given, account)
        account.data = found.note
        return history
