"""The seam between a search and the ways to train a model: what a trainer is asked and reports.

    class Mine:
        name = "mine"

        def why_not(self, model, args, kwargs):
            return None if model.count_params() < 1e6 else "the model is too large"

        def fit(self, model, args, kwargs, account):
            with account.counted("train"):
                return my_own_fit(model, *args, **kwargs)

    tuner = afina.RandomSearch(build, "val_loss", training=Mine())

`choice` asks the trainers in turn; a trial's note "training" says which one trained it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import keras

TIMED = ("build", "trace", "compile", "train", "validate", "fit", "save")
"""What a trial's time is spent on, in the order in which its notes list it."""


class CannotTrainError(Exception):
    """Raised by `Trainer.fit` for a training that it cannot do; the message says why.

    The model is as it was, and no callback has been called, so another trainer can take over.
    """

    given: Mapping[str, Any] | None = None
    """All arguments of `fit` by name, for that trainer, if a generator among those that were given
    has been read from."""


@dataclass
class Account:
    """How one trial was trained, and how many seconds each part took."""

    path: str = ""
    """Name of the trainer, followed by the reasons of those that could not: "fused", or "fit" with
    why the epochs were not fused."""

    data: str = ""
    """What was made of streams of data; empty for arrays."""

    choices: list[str] = field(default_factory=list)
    """What the trainer has chosen besides, each with its reason."""

    gains_on_jax: bool = False
    """Whether several such trainings side by side take less time on JAX than here."""

    build: float = 0.0
    """Building the model."""

    trace: float = 0.0
    """Tracing train steps, for trainers that compile them."""

    compile: float = 0.0
    """Compiling train steps."""

    train: float = 0.0
    """Computing train steps, for trainers that time them."""

    validate: float = 0.0
    """Computing validation steps, for trainers that time them."""

    fit: float = 0.0
    """All of `fit`, the four parts above included."""

    save: float = 0.0
    """Writing the checkpoint."""

    @contextlib.contextmanager
    def counted(self, part: str) -> Iterator[None]:
        """Adds the seconds that the block takes to one of `TIMED`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, part, getattr(self, part) + time.perf_counter() - began)

    def add(self, other: Account, share: float = 1.0) -> None:
        """Adds a share of another account's seconds."""
        for part in TIMED:
            setattr(self, part, getattr(self, part) + share * getattr(other, part))

    def notes(self) -> dict[str, str]:
        """The notes for the trial's record; empty if it was not trained."""
        if not self.path:
            return {}
        parts = {part: getattr(self, part) for part in TIMED}
        # The rest of `fit` is callbacks and what lies between.
        inside = self.trace + self.compile + self.train + self.validate
        parts["fit"] = max(0.0, self.fit - inside)
        seconds = ", ".join(f"{part} {value:.3f}" for part, value in parts.items())
        made = f" ({self.data})" if self.data else ""
        notes = {"training": self.path + made, "seconds": seconds}
        if self.choices:
            notes["choices"] = "; ".join(dict.fromkeys(self.choices))
        return notes


@runtime_checkable
class Trainer(Protocol):
    """One way to train a compiled Keras model, in place of `model.fit`.

    Pass one to a tuner as `training=`; `afina.testing.check_trainer` checks that it keeps these
    promises. A search with worker processes pickles it.
    """

    name: str
    """What the notes of a trial call it."""

    def why_not(
        self, model: keras.Model, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> str | None:
        """Says in one sentence why it cannot do `model.fit(*args, **kwargs)`; None if it can.

        Changes neither the model nor a random stream, and calls no callback.
        """
        ...

    def fit(
        self,
        model: keras.Model,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        account: Account,
    ) -> keras.callbacks.History:
        """Does what `model.fit(*args, **kwargs)` does, after `why_not` has returned None.

        Callbacks are called as `fit` calls them at the ends of epochs, validations and the
        training, `stop_training` is obeyed, and what they raise gets through.

        Args:
            model: Compiled.
            args: Positional arguments of `fit`.
            kwargs: Keyword arguments of `fit`.
            account: Where to add the seconds that each part took.

        Raises:
            CannotTrainError: A reason shows only now, before anything has changed.
        """
        ...
