"""`FromStreams`: a trainer for arrays that trains from streams too."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import keras

from afina.training.streams.arguments import STEPS, Streams
from afina.training.streams.kinds import GENERATOR, is_stream, kind_of, planned_steps
from afina.training.trainer import Account, CannotTrainError, Trainer


@runtime_checkable
class StreamTrainer(Trainer, Protocol):
    """A trainer that can also train on a stream as it comes."""

    stream_way: str
    """How it takes the batches, for the trial's record."""

    least_stream_steps: int
    """Fewest planned steps of a training on a stream for which that pays."""

    validates_on_streams: bool
    """Whether `validation_data` may be a stream too, and `x` arrays."""

    def fit_stream(
        self, model: keras.Model, given: Mapping[str, Any], account: Account
    ) -> keras.callbacks.History:
        """Does what `model.fit(**given)` does, with streams among the data."""
        ...


class Begun:
    """A generator whose first batches are remembered: a trainer that refuses has read some.

    Args:
        data: The generator.
    """

    MOST = 2
    """Batches that are remembered: Keras reads so many to learn their form."""

    def __init__(self, data: Iterator[Any]) -> None:
        self._data = data
        self._first: list[Any] = []

    def batches(self) -> Iterator[Any]:
        """The generator's batches, the first of which are remembered."""
        for batch in itertools.islice(self._data, self.MOST):
            self._first.append(batch)
            yield batch
        self._first.clear()  # the training has begun
        yield from self._rest()

    def restored(self) -> Iterator[Any]:
        """All batches, those that were read included."""
        yield from self._first
        yield from self._rest()

    def _rest(self) -> Iterator[Any]:
        """The batches that follow; the generator stays open where this ends early."""
        return itertools.chain(self._data)


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
        if not isinstance(self.trainer, StreamTrainer):
            raise CannotTrainError(found)
        left, notes = dict(given), []
        for name in STEPS:
            if not is_stream(given[name]):
                continue
            part = self.streams.rewrite(left, [name])
            if not isinstance(part, str):
                left = part.given
                notes.append(part.note)
            elif name == "x" or self.trainer.validates_on_streams:
                notes.append(f"{self.trainer.stream_way}, as {part}")
            else:
                raise CannotTrainError(part)
        if not is_stream(left["x"]) and not self.trainer.validates_on_streams:
            raise CannotTrainError(found)
        steps = planned_steps(given)
        if steps is not None and steps < self.trainer.least_stream_steps and not self.always:
            raise CannotTrainError(f"{found}, and {steps} steps do not pay for compiling chunks")
        begun = {name: Begun(left[name]) for name in STEPS if kind_of(left[name]) == GENERATOR}
        left.update({name: each.batches() for name, each in begun.items()})
        try:
            history = self.trainer.fit_stream(model, left, account)
        except CannotTrainError as error:
            error.given = {**given, **{name: each.restored() for name, each in begun.items()}}
            raise
        account.data = "; ".join(notes)
        return history
