"""Which way a model is trained: by fused epochs where they can be, else by plain `fit`, and why."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import keras

from afina.errors import ArgumentError, FatalValueError, wrong
from afina.training.fused import CannotFuseError, Engine, quick_initializers, reasons
from afina.training.fused.engine import Seconds
from afina.training.plain import fitting_threads, hasten

Mode = Literal["auto", "fit", "fused"]
MODES = ("auto", "fit", "fused")


@dataclass
class Account:
    """What is told of one trial's training: the way that was taken, and where the time went."""

    path: str = ""
    """"fused", or "fit" with the reason."""

    build: float = 0.0
    save: float = 0.0
    fit: float = 0.0
    fused: Seconds = field(default_factory=Seconds)

    @contextlib.contextmanager
    def counted(self, name: Literal["build", "save", "fit"]) -> Iterator[None]:
        """Adds the seconds that the block takes."""
        began = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.perf_counter() - began)

    def notes(self) -> dict[str, str]:
        """For the trial's record."""
        parts = {"build": self.build, **vars(self.fused), "fit": self.fit, "save": self.save}
        if self.path == "fused":  # the rest of `fit` is callbacks and what lies between
            inside = sum(vars(self.fused).values())
            parts["fit"] = max(0.0, self.fit - inside)
        told = ", ".join(f"{name} {value:.3f}" for name, value in parts.items())
        return {"training": self.path, "seconds": told} if self.path else {}


class Trainer:
    """Trains the models of one search.

    Args:
        mode: "auto" fuses epochs where it can; "fit" never does; "fused" always does.
        engine: For fused epochs.

    Raises:
        ArgumentError: `mode` is none of these.
    """

    def __init__(self, mode: Mode, engine: Engine) -> None:
        if mode not in MODES:
            raise ArgumentError(wrong("training", f"must be one of {MODES}", mode))
        self.mode = mode
        self.engine = engine

    def fit(
        self,
        model: keras.Model,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        account: Account,
    ) -> Any:
        """Does what `model.fit(*args, **kwargs)` does, in the quickest way that this model allows.

        Raises:
            FatalValueError: The mode is "fused", and the training cannot be fused.
        """
        if self.mode == "fit":
            account.path = "fit: as asked for"
        else:
            try:
                result = self.engine.fit(model, args, kwargs, account.fused)
            except CannotFuseError as error:
                self.refuse(str(error))
                account.path = f"fit: {error}"
            else:
                account.path = "fused"
                return result
            hasten(model, kwargs.get("callbacks"))
            with fitting_threads(model, kwargs):
                return model.fit(*args, **kwargs)
        return model.fit(*args, **kwargs)

    def refuse(self, reason: str) -> None:
        """Raises FatalValueError where nothing but fused epochs was asked for."""
        if self.mode == "fused":
            raise FatalValueError(
                wrong(
                    "training",
                    '"fused" needs a training that can be fused',
                    reason,
                    'training="auto" falls back to plain fit.',
                )
            )


def building() -> contextlib.AbstractContextManager[None]:
    """Put around building a model: initializers that cost no compilation for each new shape."""
    return quick_initializers()


def why_not_fused(mode: str) -> str | None:
    """Why no training of this process can be fused, as far as that is known before any model."""
    return "as asked for" if mode == "fit" else reasons.why_not_here()
